"""The effective configuration: files laid over each other, what they extend below them, the command line on top."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline_lib.configuration.messages import fail, lookup
from pipeline_lib.configuration.yaml_files import check_nulls, read_file, with_home, with_types
from pipeline_lib.errors import PipelineError, known

SHARED, DEMO = "config", "demo"
# Mappings whose order is shown: in tables and in the legends of figures.
SHOWN_IN_ORDER = ("rows", "columns")
Content = dict[str, Any]


def effective_config(
    shipped: Path, files: Sequence[Path], given: Mapping[str, Any], written: Mapping[str, Any] | None = None
) -> Content:
    """The configuration of a run; it extends nothing, so that one file with this content means the same.

    shipped: the folder with the configurations that `extends` names; the demo's is read if nothing else is named.
    files: configuration files, the last one on top.
    given: of `--config`, above all files; inside braces Snakemake reads numbers, booleans and nulls as text.
    written: another configuration above the files: that of a Snakemake module.

    Raises:
        PipelineError: a file that is missing or cannot be read, a circular `extends` or `base`, a null for a name that
        does not exist, an unknown name in `only`.
    """
    top = laid_over(written or {}, with_types(given, given))
    below = top.pop("extends", SHARED if written else [])
    start = [Path(file) for file in files] or ([] if below else [shipped / f"{DEMO}.yaml"])
    layers = list(_stack(shipped, [*_extended(shipped, Path.cwd(), below), *start]))
    config = stacked([*layers, top])
    check_nulls(config, layers)
    return with_home(_selected(_with_bases(config))) | {"extends": []}


def stacked(contents: Iterable[Mapping[str, Any]]) -> Content:
    """The contents laid over each other, the last one on top."""
    config: Content = {}
    for content in contents:
        config = laid_over(config, content)
    return config


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> Content:
    """As Snakemake merges configuration files: mappings key by key, anything else is replaced; rows and columns come in
    the order of `in_order_of`."""
    merged = dict(below)
    for key, value in above.items():
        under = below.get(key)
        if not (isinstance(value, Mapping) and isinstance(under, Mapping)):
            merged[key] = value
            continue
        merged[key] = laid_over(under, value)
        if key in SHOWN_IN_ORDER:
            placed = [name for name, one in value.items() if one is not None or name not in under]
            merged[key] = {name: merged[key][name] for name in in_order_of(list(under), placed)}
    return merged


def in_order_of(below: Sequence[str], above: Sequence[str]) -> list[str]:
    """The names of both, each once: those of `above` in its order, the others in theirs.

    A new name follows the one before it in `above`, or is in front of the next one there; without either it is at the
    end. Names that `above` takes away (null) are not counted among its own.
    """
    order, last = list(below), None
    for name in above:
        if last is not None and (name not in order or order.index(name) < order.index(last)):
            order = [one for one in order if one != name]
            order.insert(order.index(last) + 1, name)
        elif name not in order:
            known = next((one for one in above if one in order), None)
            order.insert(len(order) if known is None else order.index(known), name)
        last = name
    return order


def _stack(shipped: Path, files: Iterable[Path]) -> Iterator[Content]:
    """The contents of files and of all that they extend, each file once, at its first place."""
    done: set[Path] = set()

    def laid(path: Path, inside: tuple[Path, ...]) -> Iterator[Content]:
        if path in inside:
            raise PipelineError(f"{path}: extends itself: {' <- '.join(map(str, [*inside, path]))}")
        if path in done:
            return
        content = read_file(path)
        for other in _extended(shipped, path.parent, content.get("extends", SHARED)):
            yield from laid(other, (*inside, path))
        done.add(path)
        yield content

    for file in files:
        yield from laid(file.resolve(), ())


def _extended(shipped: Path, folder: Path, names: Any) -> list[Path]:
    """The files that `extends` names: a name without ending is of the project, any other a path from the folder."""
    listed = [names] if isinstance(names, str) else names
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise fail("extends", f"expected the name of a configuration, or a list of them, got {names!r}")
    return [_named(shipped, folder, name) for name in listed]


def _named(shipped: Path, folder: Path, name: str) -> Path:
    path = (folder / name).expanduser() if Path(name).suffix else shipped / f"{name}.yaml"
    if not path.is_file():
        names = known(file.stem for file in shipped.glob("*.yaml"))
        raise fail("extends", f"there is no {path}; {names}, or the path of a file of your own with its ending")
    return path.resolve()


def _with_bases(config: Content) -> Content:
    """`base` in a study is written out: a table of `templates`, or another study, below its own keys."""
    studies, templates = config.get("studies"), config.get("templates")
    rest = {key: value for key, value in config.items() if key != "templates"}
    if not isinstance(studies, Mapping):
        return rest
    named = _entries(studies) | _entries(templates)  # a study may have its table's name
    return rest | {"studies": {name: _with_base(f"studies.{name}", entry, named) for name, entry in studies.items()}}


def _entries(section: Any) -> Content:
    return {name: entry for name, entry in section.items() if entry is not None} if isinstance(section, Mapping) else {}


def _with_base(where: str, entry: Any, named: Mapping[str, Any]) -> Any:
    if not isinstance(entry, Mapping) or entry.get("base") is None:
        return entry
    others = {name: other for name, other in named.items() if other is not entry}
    base = _with_base(where, lookup(f"{where}.base", entry["base"], others, "table"), others)
    return laid_over(base, {key: value for key, value in entry.items() if key != "base"})


def _selected(config: Content) -> Content:
    """With `only`, the studies and figures that it names; their order is that of the configuration."""
    only = config.pop("only", None)
    if only is None:
        return config
    names = [only] if isinstance(only, str) else only
    sections = {key: _entries(config.get(key)) for key in ("studies", "figures")}
    for name in names if isinstance(names, list) else [names]:
        lookup("only", name, sections["studies"] | sections["figures"], "study or figure")
    return config | {
        key: {name: entry for name, entry in entries.items() if name in names} for key, entries in sections.items()
    }
