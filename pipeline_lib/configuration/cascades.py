"""Unions by cascades (`union: cascade` of a study): one job per row instead of the sets of all its columns."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline_lib.configuration.entries import CLEAN
from pipeline_lib.configuration.given_sets import is_given
from pipeline_lib.configuration.messages import fail
from pipeline_lib.configuration.sweeps import slug
from pipeline_lib.configuration.targets import split_target
from pipeline_lib.entries.bounds import bound_of_entry
from pipeline_lib.entries.facts import entries_in, learning_of, own_entry
from pipeline_lib.errors import known
from pipeline_lib.provenance.fingerprints import canonical

Plan = Mapping[str, Any]
Cells = Mapping[str, Sequence[Mapping[str, Any]]]
UNION = "union"  # the column of a cascade, and the only summary that it can give
CASCADE = "cascade"
WORST = "-worst"


def cascades_of(
    where: str, entry: Mapping[str, Any], rows: Mapping[str, Cells], worst: Mapping[str, Cells], plan: Plan
) -> dict[str, dict[str, Any]]:
    """The cascades of a study by name, empty without `union`: the row's `label`, its `model` and `clean` cells, and the
    `attacks` in their order, each with the `branch` that it attacks.

    Those of worst cases, for rows that have any, end in `WORST`: with the worst case of each column that has one.

    Raises:
        PipelineError: attacks of another model than the row's, or that are learned first; a summary other than the
            union.
    """
    if "union" not in entry:
        return {}
    _check(where, entry)
    found: dict[str, dict[str, Any]] = {}
    for label, row in rows.items():
        for ending, cells in (("", row), (WORST, dict(row) | dict(worst.get(label, {})))):
            if ending and not worst.get(label):
                continue
            for name, cascade in _of_row(f"{where}.rows.{label}", label, cells, entry, plan).items():
                if name + ending in found:
                    raise fail(f"{where}.rows.{label}", f"two rows are named {name!r}: write the labels differently")
                found[name + ending] = cascade
    return found


def _check(where: str, entry: Mapping[str, Any]) -> None:
    others = [f"the summary {name!r}" for name in entry["summaries"] if name != UNION]
    others += [f"`{key}`" for key in ("types", "parameters") if entry.get(key)]
    if others:
        raise fail(f"{where}.union", f"a cascade gives the union only, not {others[0]}")
    if UNION in entry["columns"]:
        raise fail(f"{where}.columns.{UNION}", "this label is that of the cascade's column")
    if isinstance(entry["union"], list) and sorted(entry["union"]) != sorted(entry["columns"]):
        raise fail(f"{where}.union", f"an order has each column once; {known(entry['columns'])}")


def _of_row(where: str, label: str, row: Cells, entry: Mapping[str, Any], plan: Plan) -> dict[str, dict[str, Any]]:
    """The cascade of each seed of a row by its name."""
    found = {}
    for seed in range(len(next(iter(row.values())))):
        cells = {column: each[seed] for column, each in row.items()}
        clean = [cell for cell in cells.values() if cell["attack"] == CLEAN]
        attacks = {column: cell for column, cell in cells.items() if cell["attack"] != CLEAN}
        names = {cell[key] for cell in attacks.values() for key in ("target", "source")}
        models = sorted({name if is_given(name) else split_target(name)[0] for name in names})
        if len(models) != 1 or any(cell["source"] != cell["target"] for cell in attacks.values()):
            raise fail(
                where, f"a cascade attacks one model itself, and this row has {', '.join(models) or 'no attack'}"
            )
        order = _order(entry["union"], attacks, plan["models"][models[0]], plan["attacks"])
        for column in order:
            if learning_of(plan["attacks"][attacks[column]["attack"]]) is not None:
                raise fail(f"{where}.{column}", "an attack that is learned first cannot be part of a cascade")
        steps = [{"attack": attacks[c]["attack"], "branch": split_target(attacks[c]["target"])[1]} for c in order]
        number = plan["models"][models[0]]["seed"]
        found[f"{slug(label)}-s{number}"] = {"label": label, "model": models[0], "clean": clean, "attacks": steps}
    return found


def _order(
    union: Any, attacks: Mapping[str, Mapping[str, Any]], model: Mapping[str, Any], entries: Mapping[str, Any]
) -> list[str]:
    """The columns in the given order; else those of attacks in a set that the model is trained in last, as it
    withstands them best."""
    if isinstance(union, list):
        return [column for column in union if column in attacks]
    trained = {canonical(bound_of_entry(entry)) for entry in entries_in(model["defense"])}

    def is_trained_in(column: str) -> bool:
        return canonical(bound_of_entry(own_entry(entries[attacks[column]["attack"]]))) in trained

    return sorted(attacks, key=is_trained_in)


def with_cascades(study: dict[str, Any], cascades: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved study that shows its columns without an attack, and the union of all columns by its cascades."""
    if not cascades:
        return study
    rows = {
        label: {column: cells for column, cells in row.items() if all(cell["attack"] == CLEAN for cell in cells)}
        for label, row in study["rows"].items()
    }
    shown = [column for column in study["columns"] if any(column in row for row in rows.values())]
    kept = {key: value for key, value in study.items() if key != "worst"}
    return kept | {"columns": [*shown, UNION], "summaries": [], "rows": rows, "cascades": dict(cascades)}
