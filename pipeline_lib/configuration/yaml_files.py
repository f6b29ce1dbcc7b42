"""Checks of the configuration files: text that YAML and Snakemake would ignore or misread without an error.

Snakemake keeps neither line numbers nor repeated keys: the files are read once more here.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline_lib.configuration.messages import fail
from pipeline_lib.errors import PipelineError, known

TEXT, MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
# Keys of paths in which `~` is the home folder: the section, and the keys inside each of its entries.
PATHS = (("datasets", "root"), ("models", "initial", "file"), ("models", "selector_initial", "file"))
LARGEST_FILE = 5_000_000  # bytes; the largest one of this project has 11,000, and YAML takes seconds for each million
SECTIONS = ("datasets", "networks", "attacks", "training", "models", "studies", "figures")


def read_file(path: Path) -> dict[str, Any]:
    """The content of a configuration file, checked. PipelineError names file, line and key."""
    import yaml

    if (size := path.stat().st_size) > LARGEST_FILE:
        raise PipelineError(f"{path}: {size:,} bytes are too many for a configuration: at most {LARGEST_FILE:,}")
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise PipelineError(f"{path}, line {line}: not UTF-8: save the file in that encoding") from error
    try:
        return _as_mapping(path, json.loads(text, object_pairs_hook=lambda pairs: _without_repeats(path, pairs)))
    except PipelineError:
        raise
    except ValueError:  # not JSON: YAML
        node = yaml.compose(text, yaml.CSafeLoader)
        if node is not None:
            _check_node(path, node, "", [], set())
        return _as_mapping(path, yaml.load(text, yaml.CSafeLoader))


def _as_mapping(path: Path, content: Any) -> dict[str, Any]:
    if content is not None and not isinstance(content, dict):
        raise PipelineError(f"{path}: expected keys and values, found {type(content).__name__}")
    return content or {}


def _without_repeats(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated = next(key for key in found if sum(key == other for other, _ in pairs) > 1)
        raise PipelineError(f"{path}: the key {repeated!r} occurs twice in one entry: the first would be ignored")
    return found


def _check_node(path: Path, node: Any, where: str, inside: list[Any], checked: set[int]) -> None:
    """`inside`: the enclosing nodes. `checked`: nodes already checked, as an anchor may be used many times."""
    if any(node is outer for outer in inside):
        raise PipelineError(f"{path}, line {_line(node)}: {where or 'the file'} contains itself (an anchor in itself)")
    if id(node) in checked or isinstance(node.value, str):
        return
    for name, value in _entries(path, node, where):
        _check_node(path, value, f"{where}.{name}".lstrip("."), [*inside, node], checked)
    checked.add(id(node))


def _entries(path: Path, node: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Names and nodes of a node's children; the keys of a mapping are checked."""
    if node.id == "sequence":
        yield from ((str(number), value) for number, value in enumerate(node.value))
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        if key.tag == MERGE:
            yield "<<", value
            continue
        name = str(key.value)
        full, line = f"{where}.{name}".lstrip("."), _line(key)
        if key.tag != TEXT:
            kind = key.tag.rpartition(":")[2]
            raise PipelineError(f"{path}, line {line}: {full}: YAML reads this key as {kind}, not as text: quote it")
        if name in lines:
            raise PipelineError(
                f"{path}, lines {lines[name]} and {line}: {full} occurs twice: the first would be ignored"
            )
        lines[name] = line
        yield name, value


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1


def with_types(config: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with numbers, booleans and nulls inside `--config name='{...}'`, read by Snakemake as text."""
    return dict(config) | {
        key: _typed(config[key], value)
        for key, value in given.items()
        if isinstance(value, dict | list) and key in config
    }


def _typed(value: Any, given: Any) -> Any:
    if isinstance(given, dict) and isinstance(value, Mapping):
        return dict(value) | {key: _typed(value[key], given[key]) for key in given if key in value}
    if isinstance(given, list) and isinstance(value, list):
        return [_typed(*pair) for pair in zip(value, given, strict=True)]
    return _scalar(value) if isinstance(value, str) else value


def _scalar(text: str) -> Any:
    """The value that YAML reads from this text, if that is a number, a boolean or null; else the text."""
    import yaml

    if not text:
        return text
    try:
        value = yaml.load(text, yaml.CSafeLoader)
    except yaml.YAMLError:
        return text
    return value if value is None or isinstance(value, bool | int | float) else text


def check_nulls(config: Mapping[str, Any], layers: Sequence[Mapping[str, Any]]) -> None:
    """Raises PipelineError for a null that removes an entry that no file has.

    The first file has nothing below it: its nulls remove nothing, as those of the effective configuration that the
    report is made with.
    """
    harmless = {(where, name) for where, entries in _sections(layers[0]) for name in entries}
    for where, section in _sections(config):
        names = {name for layer in layers for at, entries in _sections(layer) if at == where for name in _real(entries)}
        for name in section:
            if section[name] is None and name not in names and (where, name) not in harmless:
                raise fail(f"{where}.{name}", f"unknown name: null removes an entry; {known(names, name)}")


def _sections(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name and entries of each section with named entries."""
    return ((name, config[name]) for name in SECTIONS if isinstance(config.get(name), Mapping))


def _real(entries: Mapping[str, Any]) -> Iterator[str]:
    return (name for name, entry in entries.items() if entry is not None)


def with_home(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with a leading `~` of paths expanded to the home folder."""
    changed = dict(config)
    if isinstance(results := config.get("results"), str):
        changed["results"] = _expanded(results)
    for section, *keys in PATHS:
        if isinstance(entries := changed.get(section), Mapping):
            changed[section] = {name: _with_home_at(entry, tuple(keys)) for name, entry in entries.items()}
    return changed


def _with_home_at(entry: Any, keys: tuple[str, ...]) -> Any:
    if not keys:
        return _expanded(entry) if isinstance(entry, str) else entry
    if not isinstance(entry, Mapping) or keys[0] not in entry:
        return entry
    return dict(entry) | {keys[0]: _with_home_at(entry[keys[0]], keys[1:])}


def _expanded(path: str) -> str:
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError as error:  # no such user
        raise PipelineError(f"config: {path}: {error}; give the whole path") from error
