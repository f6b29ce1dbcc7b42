"""The structure of the configuration: checked against the schema, with the schema's defaults filled in."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline_lib.configuration.messages import fail
from pipeline_lib.errors import known
from pipeline_lib.provenance.caches import cache_file, write_cache

Schema = Mapping[str, Any]

KEPT = 50  # configurations that are known to fit


def without_nulls(config: Any) -> Any:
    """The configuration without keys that are null: an overlay removes an entry of the default that way."""
    if not isinstance(config, dict):
        return config
    return {key: without_nulls(value) for key, value in config.items() if value is not None}


def with_defaults(config: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """A copy in which keys that are missing or null have the schema's default, if any."""
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    complete = dict(config)
    complete |= {
        key: each["default"] for key, each in properties.items() if "default" in each and config.get(key) is None
    }
    for key, value in complete.items():
        inner = properties.get(key, others)
        if isinstance(value, dict) and isinstance(inner, dict):
            complete[key] = with_defaults(value, inner)
    return complete


def check_structure(config: Mapping[str, Any], schema: Schema) -> None:
    """Raises PipelineError for the first entry that does not fit the schema, with its path and the known keys.

    The digests of the last configurations that fit are kept: loading jsonschema takes longer than the check.
    """
    store, own = cache_file(Path(__file__), ".fits"), hashlib.sha256(repr((config, schema)).encode()).hexdigest()
    known_to_fit = store.read_text().split() if store.exists() else []
    if own not in known_to_fit:
        _check_structure(config, schema)
        write_cache(store, "\n".join([*known_to_fit[1 - KEPT :], own]))


def _check_structure(config: Mapping[str, Any], schema: Schema) -> None:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft202012Validator(schema).iter_errors(config))
    if error is None:
        return
    where = ".".join(map(str, error.absolute_path)) or "top level"
    if error.validator == "additionalProperties" and "properties" in error.schema:
        extra = sorted(set(error.instance) - set(error.schema["properties"]))
        raise fail(where, f"unknown key {', '.join(map(repr, extra))}; {known(error.schema['properties'], extra[0])}")
    raise fail(where, error.message)
