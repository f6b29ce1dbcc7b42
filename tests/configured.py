"""The configuration of every table of the embedded data sets, and the plan of any configuration as it is written."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline_lib.configuration.config import read_config
from pipeline_lib.configuration.stacking import effective_config
from pipeline_lib.configuration.structure import with_defaults

ROOT = Path(__file__).parents[1]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
CONFIG = effective_config(ROOT / "config", [ROOT / "config/demo_more.yaml"], {})


def stacked(*names: str, given: Mapping[str, Any] | None = None) -> dict:
    """The effective configuration of the project's files of these names."""
    return effective_config(ROOT / "config", [ROOT / f"config/{name}.yaml" for name in names], given or {})


def resolved(config: dict) -> dict[str, dict]:
    """As the workflow does: with the defaults of the schema, checked against it, resolved."""
    return read_config(with_defaults(config, SCHEMA), SCHEMA)


def changed(path: str, value: object) -> dict:
    """That configuration with one value set, by its dotted path."""
    config = copy.deepcopy(CONFIG)
    *parents, last = path.split(".")
    entry = config
    for name in parents:
        entry = entry[name]
    entry[last] = value
    return config
