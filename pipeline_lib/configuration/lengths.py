"""Attacks compared with the data sets that they are used on: the frames and the pixels that they need, and bounds as
large as a clip."""

from collections.abc import Mapping
from typing import Any

from pipeline_lib.configuration.clip_numbers import frames_by_clip
from pipeline_lib.configuration.entries import CLEAN
from pipeline_lib.configuration.messages import fail
from pipeline_lib.configuration.pooling import datasets_of_studies
from pipeline_lib.configuration.studies import Plan, used_cells, used_models
from pipeline_lib.entries.facts import declared, entries_in, field_named_by
from pipeline_lib.jobs.costs import evaluated
from pipeline_lib.records.model_names import entry_of


def frames_of(plan: Plan, dataset: str) -> int:
    """Frames of a data set's clips; images have one."""
    return frames_by_clip(plan["datasets"][dataset])


def check_lengths(plan: Plan) -> None:
    """Raises PipelineError for an attack, of a cell or of a training, that needs longer clips or larger frames than a
    data set has, or has a bound that contains all clips of that size."""
    for dataset, attack in dict.fromkeys((dataset, cell["attack"]) for dataset, cell in used_cells(plan)):
        if attack != CLEAN:
            _check(f"attacks.{attack}", plan["attacks"][attack], plan, dataset)
    for dataset in datasets_of_studies(plan):
        # One model of each entry: they differ in their seeds.
        models = {entry_of(model): model for model in used_models(plan, dataset)}
        for name, model in models.items():
            _check(f"models.{name}", plan["models"][model]["defense"], plan, dataset)


def _check(where: str, entry: Any, plan: Plan, dataset: str) -> None:
    frames, size = frames_of(plan, dataset), plan["datasets"][dataset]["size"]
    # An attack may enlarge the frames before a region is placed in them.
    size += 2 * max((field_named_by(part, "adds_margin") or 0 for part in entries_in(entry)), default=0)
    for part in entries_in(entry):
        _check_least(where, part, "clips of {} frames or more; those", frames, dataset, "at_least_frames")
        _check_least(where, part, "frames of {} pixels or more on each side; those", size, dataset, "at_least_pixels")
        _check_bound(where, part, plan, dataset)


def _check_least(where: str, part: Mapping[str, Any], words: str, given: int, dataset: str, fact: str) -> None:
    """Raises PipelineError for an entry whose class declares in `fact` that it needs more than what is given."""
    needed = evaluated(fact, part, (given, given, given)) if declared(part, fact) is not None else 0
    if needed > given:
        name = str(part["method"]).rpartition(":")[2]
        raise fail(where, f"{name} needs {words.format(needed)} of {dataset} have {given}")


def _check_bound(where: str, part: Mapping[str, Any], plan: Plan, dataset: str) -> None:
    if declared(part, "no_bound_if") is None:
        return
    size = plan["datasets"][dataset]["size"]
    if evaluated("no_bound_if", part, (frames_of(plan, dataset), size, size)):
        name, epsilon = str(part["method"]).rpartition(":")[2], part["epsilon"]
        words = f"{name} has the epsilon {epsilon:g}, larger than the distance between any two clips of {dataset}"
        raise fail(where, f"{words}: pixels are on the [0, 1] scale, on which 8 gray levels are 8/255")
