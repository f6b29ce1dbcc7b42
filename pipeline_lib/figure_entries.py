"""Figures of features and of masking, from the configuration as written to cells: which target meets which attack.

A cell is what is predicted: clips of `attack` made on `source`, by `target`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipeline_lib.entries import lookup

Plan = Mapping[str, Any]
Targets = Callable[[str, str], list[str]]
"""(where, `entry` or `entry/branch` as written) -> its targets, one for each seed; an error for an unknown one."""


def features(where: str, entry: Mapping[str, Any], plan: Plan, targets: Targets) -> dict:
    """Each row's first seed: features belong to one set."""
    lookup(f"{where}.dataset", entry["dataset"], plan["datasets"], "dataset")
    attack = entry["attack"]
    lookup(f"{where}.attack", attack, plan["attacks"], "attack")
    rows = {label: targets(f"{where}.rows.{label}", written)[0] for label, written in entry["rows"].items()}
    return dict(entry) | {"rows": {label: white_box(target, attack) for label, target in rows.items()}}


def white_box(target: str, attack: str) -> dict[str, str]:
    return {"target": target, "attack": attack, "source": target}


def figure_cells(plan: Plan) -> Iterator[tuple[str, dict[str, str]]]:
    """Data set and cell of everything that these figures show; some more than once."""
    for figure in plan["features"].values():
        yield from ((figure["dataset"], cell) for cell in figure["rows"].values())
