"""The weights that models start from: other models, or files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline_lib.configuration.messages import fail, lookup
from pipeline_lib.configuration.studies import used_models
from pipeline_lib.configuration.targets import INITIAL, MEMBERS, selects
from pipeline_lib.records.model_names import entry_of, model_name


def seeds_of_entry(entry: Mapping[str, Any], config: Mapping[str, Any]) -> list[int]:
    """The seeds of a model's entry, or those of all models."""
    return [int(seed) for seed in entry.get("seeds", config["seeds"])]


def check_selection(where: str, entry: Mapping[str, Any], model: Mapping[str, Any]) -> None:
    """Raises PipelineError for weights of a selection module if the defense of a resolved model has none."""
    if entry.get("selector_initial") and not selects(model):
        raise fail(f"{where}.selector_initial", "this defense has no selection module; remove the key or use multibn")


def initial_of(
    where: str, name: str, initial: str | Mapping[str, str] | None, seed: int, config: Mapping[str, Any]
) -> str | dict[str, str] | None:
    """The model to start from (of the same seed if it exists, else its first seed), or a file of weights."""
    if not isinstance(initial, str):
        return None if initial is None else dict(initial)
    _check_chain(where, [name], initial, config)
    seeds = seeds_of_entry(config["models"][initial], config)
    return model_name(initial, seed if seed in seeds else seeds[0])


def _check_chain(where: str, chain: list[str], parent: str, config: Mapping[str, Any]) -> None:
    """Raises PipelineError if a model starts, through others, from itself. chain: the models up to `parent`'s child."""
    if parent in chain:
        raise fail(where, f"circular reference: {' <- '.join([*chain, parent])}")
    entry = lookup(where, parent, config["models"], "model")
    if MEMBERS in entry:
        raise fail(
            where, f"{parent!r} is an ensemble, whose weights are those of several networks: name one of its members"
        )
    for key in INITIAL:
        if isinstance(entry.get(key), str):
            _check_chain(where, [*chain, parent], entry[key], config)


def check_weight_files(plan: Mapping[str, dict]) -> None:
    """Raises PipelineError for a missing file of weights that a model of the studies and figures starts from."""
    todo = set(used_models(plan))
    seen: set[str] = set()
    while todo:
        model = min(todo)
        todo.remove(model)
        seen.add(model)
        todo |= {*plan["models"][model].get(MEMBERS, [])} - seen
        for key in INITIAL:
            initial = plan["models"][model][key]
            if isinstance(initial, str):
                todo |= {initial} - seen
            elif initial and not Path(initial["file"]).is_file():
                where = f"models.{entry_of(model)}.{key}.file"
                there = Path(initial["file"]).absolute()
                raise fail(where, f"there is no file {there}; put it there or correct the path")
