"""The part of a table's layout whose files can be used: the rest of its cells is not computed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline_lib.configuration.layout_keys import worst_of

Reason = Callable[[str], str | None]
"""path -> why a file cannot be used, None if it can; or the error with which the job behind it ended, None without."""
Cells = Mapping[str, Mapping[str, Sequence[str]]]
"""column -> `cells` (predictions, one for each seed), `audits`, and for columns `source_audits`."""

AUDITS = ("audits", "source_audits")


def no_error(path: str) -> None:
    """The errors of jobs that are not known."""


class Missing(NamedTuple):
    """A file that a cell needs and that cannot be used, why, and the error with which the job behind it ended."""

    row: str
    column: str
    path: str
    reason: str
    error: str | None


@dataclass(frozen=True, kw_only=True)
class PartialLayout:
    """A layout without the cells that are not computed.

    absent: (row, column) of the latter, also of summaries and, with `None` as column, of sizes. worst_absent: those of
    worst cases. seeds: row -> those of its seeds that it lacks. cells, planned: numbers of cells that are computed, and
    of all; worst cases count, summaries and sizes do not.
    """

    layout: Mapping[str, Any]
    absent: set[tuple[str, str | None]]
    worst_absent: set[tuple[str, str]]
    missing: Sequence[Missing]
    seeds: Mapping[str, Sequence[int]]
    cells: int
    planned: int


def partial_layout(layout: Mapping[str, Any], reason: Reason, error: Reason = no_error) -> PartialLayout:
    """The cells of a layout (`tables.build_table`) that can be computed.

    A row keeps those of its seeds with the most columns; a column that lacks one of them is not computed.
    """
    rows = [partial_row(row, reason) for row in layout["rows"]]
    both = list(zip(layout["rows"], rows, strict=True))
    summaries = {summary["column"] for summary in layout["summaries"]}
    absent, worst_absent = set[tuple[str, str | None]](), set[tuple[str, str]]()
    for row, kept in both:
        whole = len(row["cells"]) == len(layout["columns"])
        lost, lost_worst = row["cells"].keys() - kept["cells"].keys(), worst_of(row).keys() - worst_of(kept).keys()
        absent |= {(row["label"], column) for column in lost | (summaries if whole and lost else set())}
        absent |= {(row["label"], None)} if row.get("history") and not kept["history"] else set()
        worst_absent |= {
            (row["label"], column) for column in lost_worst | (summaries if whole and lost_worst else set())
        }
    return PartialLayout(
        layout={**layout, "rows": rows},
        absent=absent,
        worst_absent=worst_absent,
        missing=[one for row in layout["rows"] for one in missing_files(row, reason, error)],
        seeds={row["label"]: [one for one in row["seeds"] if one not in kept["seeds"]] for row, kept in both},
        cells=sum(map(count, rows)),
        planned=sum(map(count, layout["rows"])),
    )


def count(row: Mapping[str, Any]) -> int:
    return len(row["cells"]) + len(worst_of(row))


def columns_of(row: Mapping[str, Any]) -> Cells:
    """The columns of a row, as those of its worst cases are given."""
    beside = {name: row[name] for name in AUDITS if name in row}
    return {
        column: {"cells": paths, **{name: audits.get(column, []) for name, audits in beside.items()}}
        for column, paths in row["cells"].items()
    }


def partial_row(row: Mapping[str, Any], reason: Reason) -> dict[str, Any]:
    """A row of a layout with the cells that can be computed, and their seeds."""
    places = best_places(row, reason)
    columns = usable(row, columns_of(row), places, reason)
    worst = {key: one for key, one in usable(row, worst_of(row), places, reason).items() if key in columns}
    history = row.get("history")
    found = {key: value for key, value in row.items() if key != "worst"} | ({"worst": worst} if worst else {})
    return found | {
        "seeds": [row["seeds"][place] for place in places],
        "cells": {column: one["cells"] for column, one in columns.items()},
        **{name: {column: one[name] for column, one in columns.items()} for name in AUDITS if name in row},
        "entries": {
            column: at(row["entries"][column], places) for column in columns if column in row.get("entries", {})
        },
        "selectors": {
            column: [path for path in paths if not reason(path)]
            for column, paths in row.get("selectors", {}).items()
            if column in columns
        },
        "history": None if not history or reason(history) else history,
    }


def best_places(row: Mapping[str, Any], reason: Reason) -> list[int]:
    """The places of the seeds with the most columns that can be computed; none if there is no column."""
    numbers = [len(usable(row, columns_of(row), [place], reason)) for place in range(len(row["seeds"]))]
    return [place for place, number in enumerate(numbers) if number and number == max(numbers)]


def usable(
    row: Mapping[str, Any], columns: Cells, places: Sequence[int], reason: Reason
) -> dict[str, dict[str, list[str]]]:
    """The columns whose files of some seeds can all be used, with these files: of each seed one for each data set."""
    seeds = len(row["seeds"])
    found = {
        column: {
            name: of_seeds(paths, places, seeds) if len(paths) == len(one["cells"]) else [*paths]
            for name, paths in one.items()
        }
        for column, one in columns.items()
    }
    return {
        column: one
        for column, one in found.items()
        if one["cells"] and not any(reason(path) for paths in one.values() for path in paths)
    }


def at(items: Sequence[Any], places: Sequence[int]) -> list[Any]:
    return [items[place] for place in places]


def of_seeds(paths: Sequence[str], places: Sequence[int], seeds: int) -> list[str]:
    """The files of some seeds, of as many files for each seed."""
    each = len(paths) // seeds
    return [path for place in places for path in paths[place * each : (place + 1) * each]]


def missing_files(row: Mapping[str, Any], reason: Reason, error: Reason) -> list[Missing]:
    """The files of a row that cannot be used."""
    columns = [*columns_of(row).items(), *((f"{name} (worst case)", one) for name, one in worst_of(row).items())]
    needed = [(column, path) for column, one in columns for paths in one.values() for path in paths]
    needed += [("parameters", row["history"])] if row.get("history") else []
    return [Missing(row["label"], column, path, why, error(path)) for column, path in needed if (why := reason(path))]
