"""From the configuration as written to plain entries: names resolved, references followed, seeds expanded."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline_lib.configuration.entries import (
    CLEAN,
    Sections,
    fail,
    lookup,
    named,
    resolve,
    resolve_attack,
    resolve_fields,
)
from pipeline_lib.configuration.figures import resolve_figures
from pipeline_lib.configuration.structure import Schema, check_structure, without_nulls
from pipeline_lib.configuration.studies import resolve_studies, used_models
from pipeline_lib.configuration.sweeps import written_out
from pipeline_lib.configuration.targets import core_defense
from pipeline_lib.precision import check_precision
from pipeline_lib.provenance.fingerprints import canonical

VIDEO_FILES = "pipeline_lib.clips.videos:VideoFiles"
TRADES = "pipeline_lib.defenses.trades:Trades"


def read_config(config: Mapping[str, Any], schema: Schema) -> dict[str, dict]:
    """The plan of a configuration that has its defaults: checked against the schema, then resolved."""
    written = without_nulls(config)
    check_structure(written, schema)
    return resolve_config(written)


def resolve_config(config: Mapping[str, Any]) -> dict[str, dict]:
    """All entries by kind: datasets, attacks (sweeps written out), models (seeds expanded), studies and figures."""
    check_precision("evaluation.precision", config["evaluation"]["precision"])
    written, sweeps = written_out(config["attacks"])
    sections = {"Attack": written, "Network": config["networks"]}
    attacks = {name: resolve_attack(f"attacks.{name}", entry, sections) for name, entry in written.items()}
    if CLEAN in attacks:
        raise fail(f"attacks.{CLEAN}", "this name is kept for the absence of an attack")
    models = dict(_models(config, sections))
    plan = {"datasets": _datasets(config), "attacks": attacks, "models": models}
    plan["studies"] = resolve_studies(config, plan)
    return plan | {"figures": resolve_figures(config, sweeps, plan)}


def _datasets(config: Mapping[str, Any]) -> dict[str, dict]:
    return {name: _dataset(f"datasets.{name}", entry) for name, entry in config["datasets"].items()}


def _dataset(where: str, entry: Mapping[str, Any]) -> dict:
    if len({"root", "render", "download"} & entry.keys()) != 1:
        raise fail(where, "give either 'root', the folder with the files and their lists, or 'render', or 'download'")
    if ("sampling" in entry) == ("images" in entry):
        raise fail(where, "give either 'sampling', which frames of a video are its clip, or 'images'")
    methods = {"lists", "render", "download", "sampling"} & entry.keys()
    resolved = dict(entry) | {key: resolve(f"{where}.{key}", entry[key], {}) for key in methods}
    decoding = resolve_fields(f"{where}.decoding", entry["decoding"], "pipeline_lib.clips.decode:Decoding", {})
    return resolved | {"decoding": decoding, "decoder": _decoder(where, entry)}


def _decoder(where: str, entry: Mapping[str, Any]) -> dict:
    """What makes clips of a data set's files: the method under `images`, or the decoder of videos."""
    if "images" in entry:
        return resolve(f"{where}.images", dict(entry["images"]) | {"size": entry["size"]}, {})
    given = {"size": entry["size"], "sampling": entry["sampling"]}
    return {"method": VIDEO_FILES} | resolve_fields(where, given, VIDEO_FILES, {})


def _models(config: Mapping[str, Any], sections: Sections) -> Iterator[tuple[str, dict]]:
    for name, entry in config["models"].items():
        for seed in _seeds(entry, config):
            yield f"{name}-s{seed}", _model(name, entry, seed, config, sections)


def _seeds(entry: Mapping[str, Any], config: Mapping[str, Any]) -> list[int]:
    return [int(seed) for seed in entry.get("seeds", config["seeds"])]


def _model(name: str, entry: Mapping[str, Any], seed: int, config: Mapping[str, Any], sections: Sections) -> dict:
    where = f"models.{name}"
    training = lookup(f"{where}.training", entry["training"], config["training"], "training")
    return {
        "network": named(f"{where}.network", entry["network"], "Network", sections),
        "defense": _defense(f"{where}.defense", entry["defense"], sections),
        "training": resolve_fields(
            f"training.{entry['training']}", training, "pipeline_lib.training.task:Training", {}
        ),
        "initial": _initial(where, name, entry.get("initial"), seed, config),
        "seed": seed,
    }


def _defense(where: str, entry: Mapping[str, Any], sections: Sections) -> dict:
    defense = resolve(where, entry, sections)
    _refuse_goal(where, core_defense({"defense": defense}))
    owner: dict[str, str] = {}
    for branch, attacks in core_defense({"defense": defense}).get("branches", {}).items():
        for i, attack in enumerate(map(canonical, attacks or [None])):
            if owner.setdefault(attack, branch) != branch:
                what = "this attack has" if attacks and attacks[i] else "clean clips have"
                raise fail(f"{where}.branches.{branch}[{i}]", f"{what} the branch {owner[attack]!r} already")
    return defense


def _refuse_goal(where: str, defense: Mapping[str, Any]) -> None:
    """TRADES gives its attack what to climb: a goal would be passed over."""
    inner = defense
    while "attack" in inner:
        inner = inner["attack"]
    if defense["method"] == TRADES and "goal" in inner:
        raise fail(f"{where}.attack", "trades climbs a divergence, and this attack has a goal: name one without")


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
    seeds = _seeds(config["models"][initial], config)
    return f"{initial}-s{seed if seed in seeds else seeds[0]}"


def check_weight_files(plan: Mapping[str, dict]) -> None:
    """Raises PipelineError for a missing file of weights that a model of the studies and figures starts from."""
    todo = set(used_models(plan))
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
