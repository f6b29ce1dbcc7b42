"""From the configuration as written to plain entries: names resolved, references followed, seeds expanded."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline_lib.entries import Sections, fail, known, lookup, named, resolve, resolve_fields
from pipeline_lib.figure_entries import CLEAN, features, figure_cells, masking
from pipeline_lib.provenance import canonical
from pipeline_lib.targets import branches, selects, split_target, targets_of


def check_structure(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Raises PipelineError for the first entry that does not fit the schema, with its path and the known keys."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft202012Validator(schema).iter_errors(config))
    if error is None:
        return
    where = ".".join(map(str, error.absolute_path)) or "top level"
    if error.validator == "additionalProperties" and "properties" in error.schema:
        extra = sorted(set(error.instance) - set(error.schema["properties"]))
        raise fail(where, f"unknown key {', '.join(map(repr, extra))}; {known(error.schema['properties'])}")
    raise fail(where, error.message)


def without_nulls(config: Any) -> Any:
    """The configuration without its keys that are null: so an overlay takes an entry of the default away."""
    if not isinstance(config, dict):
        return config
    return {key: without_nulls(value) for key, value in config.items() if value is not None}


def resolve_config(config: Mapping[str, Any]) -> dict[str, dict]:
    """All entries by kind: datasets, attacks, models (seeds expanded), studies, and the figures by kind."""
    sections = {"Attack": config["attacks"], "Network": config["networks"]}
    attacks = {name: resolve(f"attacks.{name}", entry, sections) for name, entry in config["attacks"].items()}
    if CLEAN in attacks:
        raise fail(f"attacks.{CLEAN}", "this name is kept for the absence of an attack")
    models = dict(_models(config, sections))
    plan = {"datasets": _datasets(config), "attacks": attacks, "models": models}
    return plan | {"studies": _studies(config, plan)} | _figures(config, plan)


def _datasets(config: Mapping[str, Any]) -> dict[str, dict]:
    return {name: _dataset(f"datasets.{name}", entry) for name, entry in config["datasets"].items()}


def _dataset(where: str, entry: Mapping[str, Any]) -> dict:
    if ("render" in entry) == (entry.get("root") is not None):
        raise fail(where, "give either 'root', the folder with the videos and their lists, or 'render'")
    resolved = dict(entry) | {key: resolve(f"{where}.{key}", entry[key], {}) for key in ("lists", "sampling")}
    if "render" in entry:
        resolved["render"] = resolve(f"{where}.render", entry["render"], {})
    given = entry.get("decoding", {})
    resolved["decoding"] = resolve_fields(f"{where}.decoding", given, "pipeline_lib.clips.decode:Decoding", {})
    return resolved


def _models(config: Mapping[str, Any], sections: Sections) -> Iterator[tuple[str, dict]]:
    for name, entry in config["models"].items():
        for seed in entry.get("seeds", config["seeds"]):
            yield f"{name}-s{seed}", _model(name, entry, seed, config, sections)


def _model(name: str, entry: Mapping[str, Any], seed: int, config: Mapping[str, Any], sections: Sections) -> dict:
    where = f"models.{name}"
    training = lookup(f"{where}.training", entry["training"], config["training"], "training")
    return {
        "network": named(f"{where}.network", entry["network"], "Network", sections),
        "defense": _defense(f"{where}.defense", entry["defense"], sections),
        "training": resolve_fields(f"training.{entry['training']}", training, "pipeline_lib.training:Training", {}),
        "initial": _initial(where, name, entry.get("initial"), seed, config),
        "seed": seed,
    }


def _defense(where: str, entry: Mapping[str, Any], sections: Sections) -> dict:
    defense = resolve(where, entry, sections)
    owner: dict[str, str] = {}
    for branch, attacks in defense.get("branches", {}).items():
        for i, attack in enumerate(map(canonical, attacks)):
            if owner.setdefault(attack, branch) != branch:
                raise fail(f"{where}.branches.{branch}[{i}]", f"this attack has the branch {owner[attack]!r} already")
    return defense


def _initial(
    where: str, name: str, initial: str | Mapping[str, str] | None, seed: int, config: Mapping[str, Any]
) -> str | dict[str, str] | None:
    """The model to start from, the one of the same seed if there is one, else its first seed; or a file of weights."""
    if not isinstance(initial, str):
        return None if initial is None else dict(initial)
    chain = [name]
    entry: Mapping[str, Any] = {"initial": initial}
    while isinstance(parent := entry.get("initial"), str):
        if parent in chain:
            raise fail(f"{where}.initial", f"models start from one another: {' <- '.join([*chain, parent])}")
        chain.append(parent)
        entry = lookup(f"{where}.initial", parent, config["models"], "model")
    seeds = config["models"][initial].get("seeds", config["seeds"])
    return f"{initial}-s{seed if seed in seeds else seeds[0]}"


def check_weight_files(plan: Mapping[str, dict]) -> None:
    """Raises PipelineError for a missing file of weights that a model of the studies and figures starts from."""
    todo = {split_target(target)[0] for target in _used_targets(plan)}
    seen: set[str] = set()
    while todo:
        model = min(todo)
        todo.remove(model)
        seen.add(model)
        initial = plan["models"][model]["initial"]
        if isinstance(initial, str):
            todo |= {initial} - seen
        elif initial and not Path(initial["file"]).is_file():
            where = f"models.{model.rpartition('-s')[0]}.initial.file"
            raise fail(where, f"there is no file {Path(initial['file']).absolute()}; put it there or correct the path")


def _used_targets(plan: Mapping[str, dict]) -> Iterator[str]:
    for study in plan["studies"].values():
        yield from (target for row in study["rows"].values() for targets in row.values() for target in targets)
        yield from [study["source"]] if study["source"] else []
    yield from (figure["source"] for figure in plan["perturbations"].values())
    for figure in plan["iterations"].values():
        yield from (target for targets in figure["rows"].values() for target in targets)
    yield from (cell[key] for _, cell in figure_cells(plan) for key in ("target", "source"))


def _studies(config: Mapping[str, Any], plan: Mapping[str, dict]) -> dict[str, dict]:
    return {name: _study(f"studies.{name}", entry, plan) for name, entry in config["studies"].items()}


def _study(where: str, entry: Mapping[str, Any], plan: Mapping[str, dict]) -> dict:
    lookup(f"{where}.dataset", entry["dataset"], plan["datasets"], "dataset")
    for label, attack in entry["columns"].items():
        _attack(f"{where}.columns.{label}", attack, plan)
    source = entry.get("source")
    rows = {label: _row(f"{where}.rows.{label}", row, entry["columns"], plan) for label, row in entry["rows"].items()}
    types = entry.get("types")
    if types is not None:
        _check_types(where, types, entry["columns"], rows, plan)
    return {
        "title": entry["title"],
        "dataset": entry["dataset"],
        "paper": list(entry.get("paper", [])),
        "source": None if source is None else targets_of(f"{where}.source", source, plan["models"])[0],
        "columns": dict(entry["columns"]),
        "types": types,
        "parameters": entry.get("parameters", False),
        "summaries": list(entry.get("summaries", [])),
        "rows": rows,
    }


def _check_types(where: str, types: Mapping[str, str], columns: Mapping, rows: Mapping, plan: Mapping) -> None:
    """The rows of a table of selections are models that select, and each column's type is a branch of theirs."""
    for column in columns:
        lookup(f"{where}.types.{column}", column, types, "column")
    for label, row in rows.items():
        for target in {target for targets in row.values() for target in targets}:
            model, branch = split_target(target)
            if branch is not None or not selects(plan["models"][model]):
                raise fail(f"{where}.rows.{label}", "types compare what a selection module chose: name such a model")
            for column, name in types.items():
                lookup(f"{where}.types.{column}", name, dict.fromkeys(branches(plan["models"][model])), "branch")


def _row(where: str, row: str | Mapping[str, str], columns: Mapping[str, str], plan: Mapping[str, dict]) -> dict:
    """The targets of each column of a row: one model for all columns, or a model for each."""
    cells = dict.fromkeys(columns, row) if isinstance(row, str) else row
    for column in cells:
        lookup(f"{where}.{column}", column, columns, "column")
    return {column: targets_of(f"{where}.{column}", written, plan["models"]) for column, written in cells.items()}


def _attack(where: str, name: str, plan: Mapping[str, dict]) -> None:
    lookup(where, name, plan["attacks"] | {CLEAN: {}}, "attack")


def _figures(config: Mapping[str, Any], plan: Mapping[str, dict]) -> dict[str, dict]:
    given = config["figures"]

    def targets(where: str, written: str) -> list[str]:
        return targets_of(where, written, plan["models"])

    return {
        "perturbations": {
            n: _perturbations(f"figures.perturbations.{n}", e, plan) for n, e in given["perturbations"].items()
        },
        "iterations": {n: _iterations(f"figures.iterations.{n}", e, plan) for n, e in given["iterations"].items()},
        "features": {
            n: features(f"figures.features.{n}", e, plan, targets) for n, e in given.get("features", {}).items()
        },
        "masking": {n: masking(f"figures.masking.{n}", e, plan, targets) for n, e in given.get("masking", {}).items()},
    }


def _perturbations(where: str, entry: Mapping[str, Any], plan: Mapping[str, dict]) -> dict:
    lookup(f"{where}.dataset", entry["dataset"], plan["datasets"], "dataset")
    for i, name in enumerate(entry["attacks"]):
        lookup(f"{where}.attacks[{i}]", name, plan["attacks"], "attack")
    return dict(entry) | {"source": targets_of(f"{where}.source", entry["source"], plan["models"])[0]}


def _iterations(where: str, entry: Mapping[str, Any], plan: Mapping[str, dict]) -> dict:
    lookup(f"{where}.dataset", entry["dataset"], plan["datasets"], "dataset")
    lookup(f"{where}.attack", entry["attack"], plan["attacks"], "attack")
    rows = {label: targets_of(f"{where}.rows.{label}", row, plan["models"]) for label, row in entry["rows"].items()}
    return dict(entry) | {"rows": rows}
