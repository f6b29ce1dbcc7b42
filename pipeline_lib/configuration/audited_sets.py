"""The adversarial sets behind numbers, whose audits mark them."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline_lib.configuration.clip_numbers import clips_by_video
from pipeline_lib.configuration.entries import CLEAN
from pipeline_lib.configuration.files import Cell
from pipeline_lib.configuration.given_sets import is_given
from pipeline_lib.configuration.layout_keys import worst_of
from pipeline_lib.configuration.paths import Paths
from pipeline_lib.configuration.studies import Plan, used_cells
from pipeline_lib.entries.storages import storage_of

Cells = Sequence[Mapping[str, Any]]
"""Resolved cells of a study's column, one for each seed."""


def sets_on_target(datasets: Sequence[str], cells: Cells) -> list[Cell]:
    """The sets made on the target itself, on each data set. Sets of other sources do not describe the target."""
    return [one for one in _made(datasets, cells) if one.source == one.target]


def sets_of_sources(datasets: Sequence[str], cells: Cells) -> list[Cell]:
    """The sets made on another target (transfer): without a gradient it makes no adversarial sets."""
    # A file comes without an audit.
    return [one for one in _made(datasets, cells) if one.source != one.target and not is_given(one.source)]


def _made(datasets: Sequence[str], cells: Cells) -> list[Cell]:
    return [Cell(dataset, **one) for one in cells if one["attack"] != CLEAN for dataset in datasets]


def audited_sets(plan: Plan, paths: Paths) -> list[dict[str, Any]]:
    """Data set, source, attack and storage of every adversarial set that the studies and figures use, sorted.

    worst: the attack of its worst case, if a study shows one. clips_by_video and predictions, of data sets with several
    clips of each video: their number, and the file with the predictions of the source.
    """
    used = [(dataset, cell) for dataset, cell in used_cells(plan) if not is_given(cell["source"])]
    sets = sorted({(dataset, cell["source"], cell["attack"]) for dataset, cell in used if cell["attack"] != CLEAN})
    worst = _worst_attacks(plan)
    return [
        {
            "dataset": dataset,
            "source": source,
            "attack": attack,
            "storage": storage_of(plan["attacks"][attack]),
        }
        | ({"worst": worst[dataset, source, attack]} if (dataset, source, attack) in worst else {})
        | _of_windows(plan, paths, dataset, source, attack)
        for dataset, source, attack in sets
    ]


def _of_windows(plan: Plan, paths: Paths, dataset: str, source: str, attack: str) -> dict[str, Any]:
    if (clips := clips_by_video(plan["datasets"][dataset])) == 1:
        return {}
    return {"clips_by_video": clips, "predictions": paths.prediction(dataset, source, source, attack)}


def _worst_attacks(plan: Plan) -> dict[tuple[str, str, str], str]:
    """Data set, source and attack of each set with a worst case -> its attack."""
    return {
        (dataset, own["source"], own["attack"]): other["attack"]
        for study in plan["studies"].values()
        for dataset in study["datasets"]
        for label, row in worst_of(study).items()
        for column, worst in row.items()
        for own, other in zip(study["rows"][label][column], worst, strict=True)
    }
