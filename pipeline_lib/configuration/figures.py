"""Figures of features and of masking, from the configuration as written to cells: which target meets which attack.

A cell is what is predicted: clips of `attack` made on `source`, by `target`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipeline_lib.configuration.entries import CLEAN, fail, lookup
from pipeline_lib.configuration.targets import source_for, split_target, trained
from pipeline_lib.entries.facts import NO_STAGES, declared, innermost, stages_of_entry

Plan = Mapping[str, Any]
Targets = Callable[[str, str], list[str]]
"""(where, `entry` or `entry/branch` as written) -> its targets, one for each seed; an error for an unknown one."""
Measure = Callable[[Mapping[str, Any]], float | None]


def features(where: str, entry: Mapping[str, Any], plan: Plan, targets: Targets) -> dict:
    """Each row's first seed: features belong to one set."""
    lookup(f"{where}.dataset", entry["dataset"], plan["datasets"], "dataset")
    attack = entry["attack"]
    lookup(f"{where}.attack", attack, plan["attacks"], "attack")
    rows = {label: targets(f"{where}.rows.{label}", written)[0] for label, written in entry["rows"].items()}
    for label, target in rows.items():
        if stages_of_entry(plan["models"][split_target(target)[0]]["network"]) == []:
            raise fail(f"{where}.rows.{label}", NO_STAGES)
    return dict(entry) | {"rows": {label: white_box(target, attack) for label, target in rows.items()}}


def white_box(target: str, attack: str) -> dict[str, str]:
    return {"target": target, "attack": attack, "source": target}


def figure_cells(plan: Plan) -> Iterator[tuple[str, dict[str, str]]]:
    """Data set and cell of everything that these figures show; some more than once."""
    for figure in plan["features"].values():
        yield from ((figure["dataset"], cell) for cell in figure["rows"].values())
    for sheet in plan["masking"].values():
        yield from ((sheet["dataset"], cell) for part in sheet["parts"] for cell in part["cells"])


def masking(where: str, entry: Mapping[str, Any], plan: Plan, targets: Targets) -> dict:
    """The sheet of one transform defense: its parts in order, each with the attack, a value and a cell for each seed.

    The value is the epsilon of the attacks of `bounds` and the iterations of those of `steps`.
    """
    lookup(f"{where}.dataset", entry["dataset"], plan["datasets"], "dataset")
    own, attack = targets(f"{where}.target", entry["target"]), entry["attack"]
    lookup(f"{where}.attack", attack, plan["attacks"], "attack")
    parts = [_part("clean", CLEAN, own), *_plain(where, entry, own, plan, targets), _part("white_box", attack, own)]
    if "eot" in entry:
        parts.append(_part("eot", _expectation(f"{where}.eot", entry["eot"], plan), own))
    if "transfer" in entry:
        sources = targets(f"{where}.transfer", entry["transfer"])
        parts.append(_part("transfer", attack, own, [source_for(one, sources, plan["models"]) for one in own]))
    for key, part, measure in (("bounds", "bound", epsilon_of), ("steps", "steps", steps_of)):
        names = entry.get(key, [])
        for name, value in zip(names, _growing(f"{where}.{key}", names, measure, plan), strict=True):
            parts.append(_part(part, name, own) | {"value": value})
    if entry.get("bounds"):
        _check_unbounded(f"{where}.bounds", entry["bounds"][-1], plan)
    return {"title": entry.get("title", entry["target"]), "dataset": entry["dataset"], "parts": parts}


def _part(part: str, attack: str, own: list[str], sources: list[str] | None = None) -> dict[str, Any]:
    """Clips of the attack made on the source of each target, or on the target itself, as the targets see them."""
    cells = [{"target": t, "attack": attack, "source": s} for t, s in zip(own, sources or own, strict=True)]
    return {"part": part, "attack": attack, "value": None, "cells": cells}


def _plain(where: str, entry: Mapping[str, Any], own: list[str], plan: Plan, targets: Targets) -> list[dict]:
    """The same trained weights, attacked without BPDA; none for a transform that is differentiated exactly."""
    if "without_bpda" not in entry:
        return []
    where, name = f"{where}.without_bpda", entry["without_bpda"]
    plain = targets(where, name)
    models = [split_target(target)[0] for target in plain]
    if any(plan["models"][model]["defense"].get("backward") != "none" for model in models):
        raise fail(where, f"model {name!r} is attacked by BPDA as well: give its defense `backward: none`")
    if [trained(one, plan["models"]) for one in plain] != [trained(one, plan["models"]) for one in own]:
        hint = f"give it `initial: {entry['target']}` and a training of 0 epochs"
        raise fail(where, f"model {name!r} has other weights than {entry['target']!r}: {hint}")
    return [_part("without_bpda", entry["attack"], plain)]


def _expectation(where: str, name: str, plan: Plan) -> str:
    if declared(lookup(where, name, plan["attacks"], "attack"), "averages") is None:
        raise fail(where, f"attack {name!r} is none on an expectation: give it `method: expectation` and `samples`")
    return name


def _growing(where: str, names: list[str], measure: Measure, plan: Plan) -> list[float]:
    values: list[float] = []
    for i, name in enumerate(names):
        value = measure(innermost(lookup(f"{where}[{i}]", name, plan["attacks"], "attack")))
        if value is None:
            raise fail(f"{where}[{i}]", f"attack {name!r} has none of its own: choose attacks of method ascent")
        if values and value <= values[-1]:
            raise fail(f"{where}[{i}]", f"attack {name!r} has {value:g} after {values[-1]:g}: list growing ones")
        values.append(value)
    return values


def _check_unbounded(where: str, name: str, plan: Plan) -> None:
    """The verdict expects that the last bound leaves nothing: it has to reach every clip of [0, 1]."""
    attack = innermost(plan["attacks"][name])
    reach = attack["steps"] * attack["perturbation"].get("step_size", 0)
    if epsilon_of(attack) != 1 or reach < 1 - 1e-6:
        raise fail(where, f"attack {name!r}, the last one, is bounded: give it epsilon 1.0, and steps of 1 in total")


def epsilon_of(attack: Mapping[str, Any]) -> float | None:
    perturbation = attack.get("perturbation")
    return perturbation.get("epsilon") if isinstance(perturbation, Mapping) else None


def steps_of(attack: Mapping[str, Any]) -> float | None:
    return attack.get("steps")
