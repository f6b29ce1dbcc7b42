"""The reference of the configuration's keys, as one page made from the schema and the classes of settings."""

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
SCHEMA: dict[str, Any] = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "config/config.yaml").read_text())
SPEC = importlib.util.spec_from_file_location("reference", ROOT / "docs/reference.py")
assert SPEC
assert SPEC.loader
reference = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(reference)

# Keys that are applied and taken away before the schema is looked at.
BEFORE = {
    "only": (
        "names of studies and figures",
        "All others are left out, as if they were not in the file. Usually on the command line. Charts and training "
        "curves of the studies that are left are made too.",
    ),
    "templates": (
        "named entries",
        "Tables without a data set, which a study takes as its `base`: `multibn_table` (white-box), "
        "`multibn_branches_table`, `multibn_selection_table`, `multibn_black_box_table`, "
        "`multav_table`, `oudefend_table`.",
    ),
}
# Section -> class of settings whose fields are keys, and what they are keys of.
SETTINGS = {
    "training": ("pipeline_lib.training.task:Training", "each entry"),
    "datasets": ("pipeline_lib.clips.decode:Decoding", "`decoding`"),
}
HEAD = "| key | type | default | meaning |\n|---|---|---|---|\n"


def page() -> str:
    """The page: the top level, then a section for each kind of named entries."""
    properties = SCHEMA["properties"]
    top = "".join(row(name, part, default(name, part)) for name, part in properties.items())
    top += "".join(f"| `{name}` | {kind} | none | {meaning} |\n" for name, (kind, meaning) in BEFORE.items())
    inner = (section(name, part) for name, part in properties.items() if keys_of(part) or name in SETTINGS)
    return "\n".join(["# Keys of the configuration\n", INTRODUCTION, "## Top level\n", HEAD + top, *inner])


INTRODUCTION = """Made from `workflow/schemas/config.schema.yaml` and from the classes. How the keys work together:
[a configuration of your own](../configuration/index.md). The keys of an entry with a `method` are the fields of its
class: [reference of methods](index.md). Numbers may be fractions: `4/255`.
"""


def section(name: str, part: Mapping[str, Any]) -> str:
    """The keys of one kind of entries, and of the settings inside them."""
    rows = "".join(row(key, one, default(f"{name}.{key}", one)) for key, one in keys_of(part).items())
    tables = [HEAD + rows] if rows else []
    if name in SETTINGS:
        target, owner = SETTINGS[name]
        known = reference.fields(target)
        texts = [one.text for one in reference.documented_bases(target)]
        tables.append(f"Keys of {owner}:\n\n" + reference.table(known, reference.meanings_of(texts, known)) + "\n")
    return f"## {name}\n\n{part['description']}\n\n" + "\n".join(tables)


def keys_of(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """The keys of an object, or of each of its named entries."""
    entries = part.get("additionalProperties")
    return part.get("properties") or (entries.get("properties", {}) if isinstance(entries, dict) else {})


def row(name: str, part: Mapping[str, Any], value: str) -> str:
    return f"| `{name}` | {kind(part)} | {value} | {part['description']} |\n"


def default(name: str, part: Mapping[str, Any]) -> str:
    """The default of a key in words: of the schema, or of `config/config.yaml` for keys that it gives."""
    owner, _, key = name.partition(".")
    given = CONFIG.get(owner) if not key else CONFIG.get(owner, {}).get(key)
    if "default" in part:
        return f"`{plain(part['default'])}`" if part["default"] not in ("", [], {}) else "none"
    simple = given is not None and not isinstance(given, dict) and given != []
    if simple:
        return f"`{plain(given)}`"
    entries = SCHEMA["properties"][owner].get("additionalProperties", False)
    required = entries.get("required", []) if isinstance(entries, dict) else []
    return "required" if key in required else "none"


def plain(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()


def kind(part: Mapping[str, Any]) -> str:
    """The type of a key in words."""
    return ", or ".join(dict.fromkeys(kinds(part))) or "any"


def kinds(part: Mapping[str, Any]) -> Iterator[str]:
    if "$ref" in part:
        yield REFERRED.get(part["$ref"].rpartition("/")[2]) or kind(SCHEMA["$defs"][part["$ref"].rpartition("/")[2]])
    for one in part.get("anyOf", []):
        yield from kinds(one)
    if "enum" in part:
        yield " or ".join(f"`{value}`" for value in part["enum"])
    types = part.get("type", [])
    for one in [types] if isinstance(types, str) else types:
        yield in_words(one, part)


REFERRED = {
    "seeds": "list of integers, at least 0",
    "method": "method",
    "methods": "named entries",
    "labels": "label: name",
    "row": "target, or mapping",
    "initial": "name in `models`, or `{file: ...}`",
}
WORDS = {"string": "text", "boolean": "true or false", "object": "mapping", "null": "none"}


def in_words(name: str, part: Mapping[str, Any]) -> str:
    """One type of the schema, with its limits."""
    if name == "array":
        return f"list of {kind(part['items'])}"
    if name == "object" and "propertyNames" in part and isinstance(part.get("additionalProperties"), dict):
        return "named entries"
    limit = f", at least {part['minimum']}" if "minimum" in part and name in ("integer", "number") else ""
    return WORDS.get(name, name) + limit


if __name__ == "<run_path>":  # mkdocs-gen-files
    import mkdocs_gen_files

    with mkdocs_gen_files.open("reference/configuration.md", "w") as file:
        file.write(page())
