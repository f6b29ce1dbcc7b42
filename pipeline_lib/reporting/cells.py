"""The cells of a table, measured from predictions: an accuracy or a summary, and the scores of its clips."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
import pandas as pd

from pipeline_lib.configuration.layout_keys import data_sets_of, worst_of
from pipeline_lib.entries.building import load
from pipeline_lib.errors import PipelineError
from pipeline_lib.reporting.clusters import per_video
from pipeline_lib.reporting.measured import Comparisons, Measured, Rows
from pipeline_lib.reporting.metrics import (
    Estimate,
    accuracy,
    correct_clips,
    envelope,
)
from pipeline_lib.reporting.pooled import in_groups, read_pooled
from pipeline_lib.reporting.predictions import Predictions, check_same_videos

Reader = Callable[[tuple[str, ...]], Predictions]
"""Paths of predictions, one for each data set -> the predictions."""


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """All cells of a table, by row and column, and the labels of its clips, by video (None without a cell).

    worst: the worst cases, by row and column, of the columns that have one, and of the summaries of rows with any.
    """

    rows: Rows
    labels: pd.Series | None
    worst: Rows = field(default_factory=dict)

    @cached_property
    def comparisons(self) -> Comparisons:
        return Comparisons(self.rows)

    @cached_property
    def worst_comparisons(self) -> Comparisons:
        return Comparisons(self.worst)


def measure(layout: Mapping[str, Any]) -> Numbers:
    """Return the cells of a layout (`tables.build_table`): its columns and, for rows with all of them, its summaries.

    A row may have `worst`: column -> `cells` (paths of predictions, one per seed) and `audits`. A summary's worst case
    is that of its columns; those without one count as they are.
    Raises PipelineError unless all predictions are of the same videos with the same labels.
    """
    if not any(worst_of(row) for row in layout["rows"]):
        return measured_layout(layout)
    own, worst = measured_layouts(layout, at_worst(layout))
    return replace(own, worst={row["label"]: dict(with_worst_case(layout, row, worst.rows)) for row in layout["rows"]})


def with_worst_case(
    layout: Mapping[str, Any], row: Mapping[str, Any], worst: Mapping[str, Mapping[str, Measured]]
) -> Iterator[tuple[str, Measured]]:
    """Yield column and cell of a row's worst cases, and of its summaries if it has any."""
    summaries = [summary["column"] for summary in layout["summaries"]]
    for column in [*row["worst"], *summaries] if worst_of(row) else []:
        if column in worst[row["label"]]:
            yield column, worst[row["label"]][column]


def at_worst(layout: Mapping[str, Any]) -> dict[str, Any]:
    """Return the layout with the predictions of the worst cases in place of the columns', where there are any."""
    rows = []
    for row in layout["rows"]:
        worst = {column: each["cells"] for column, each in worst_of(row).items()}
        rows.append({**row, "cells": row["cells"] | worst})
    return {**layout, "rows": rows}


def measured_layout(layout: Mapping[str, Any]) -> Numbers:
    """Return the cells of a layout, without worst cases."""
    [found] = measured_layouts(layout)
    return found


def measured_layouts(*layouts: Mapping[str, Any]) -> list[Numbers]:
    """Return the cells of layouts with the same rows and other files, without worst cases. A row's files are read once.

    All are of the same clips.
    """
    first: Predictions | None = None
    found: list[dict[str, dict[str, Measured]]] = [{} for _ in layouts]
    for same in zip(*(layout["rows"] for layout in layouts), strict=True):
        reader = cache(partial(read_pooled, datasets=data_sets_of(layouts[0])))
        for layout, row, rows in zip(layouts, same, found, strict=True):
            read = read_row(layout, row, reader)
            for table in (one for seeds in read.values() for one in seeds):
                first = table if first is None else first
                check_same_videos(first, table)
            rows[row["label"]] = measured_cells(layout, row, read)
    labels = None if first is None else pd.Series(first.labels, first.videos)
    return [Numbers(rows=rows, labels=labels) for rows in found]


def read_row(layout: Mapping[str, Any], row: Mapping[str, Any], reader: Reader) -> dict[str, list[Predictions]]:
    """Return column -> predictions of each seed, for the columns of the row."""
    where, types = f"table {layout['name']}, row {row['label']}", layout.get("types")
    shown = [column for column in layout["columns"] if row["cells"].get(column)]
    read = {column: read_seeds(where, row, column, data_sets_of(layout), reader) for column in shown}
    for seeds in read.values():
        require_same_number(where, seeds)
    if types:
        read = {column: [as_selections(table, types[column]) for table in seeds] for column, seeds in read.items()}
    return read


def measured_cells(
    layout: Mapping[str, Any], row: Mapping[str, Any], read: Mapping[str, Sequence[Predictions]]
) -> dict[str, Measured]:
    """Return column -> cell for the columns that are read and, if these are all, for the summaries."""
    seeds = row["seeds"]
    cells = {column: measured(map(accuracy, predictions), seeds) for column, predictions in read.items()}
    if read and len(read) == len(layout["columns"]):
        by_seed = [
            correct_clips(dict(zip(read, predictions, strict=True))) for predictions in zip(*read.values(), strict=True)
        ]
        cells |= {each["column"]: summary_cell(each["method"], by_seed, seeds) for each in layout["summaries"]}
    return cells


def read_seeds(
    where: str, row: Mapping[str, Any], column: str, datasets: Sequence[str], reader: Reader
) -> list[Predictions]:
    """Return the predictions of each seed, on all data sets."""
    paths, seeds = row["cells"][column], len(row["seeds"])
    if len(paths) != seeds * len(datasets):
        on = f" on {len(datasets)} data sets" if len(datasets) > 1 else ""
        raise PipelineError(f"{where}: column {column} has {len(paths)} predictions for {seeds} seeds{on}")
    return [reader(tuple(each)) for each in in_groups(paths, len(datasets))]


def as_selections(predictions: Predictions, branch: str) -> Predictions:
    """Predictions of a selection module: all labels are 1, and the prediction is 1 if `branch` was selected."""
    selected = np.array([int(one == branch) for one in predictions.selected])
    if len(selected) != len(predictions):
        raise PipelineError(f"{predictions.path}: no column selected; the model has no selection module")
    return replace(predictions, labels=np.ones_like(selected), predictions=selected)


def summary_cell(method: str, by_seed: Sequence[pd.DataFrame], seeds: Sequence[int]) -> Measured:
    """Return a summary of all columns, calculated for each seed on its own.

    method: `module:function`. PipelineError if it returns no `Estimate`.
    """
    function = load(method)
    estimates = [function(correct) for correct in by_seed]
    for found in estimates:
        if not isinstance(found, Estimate):
            raise PipelineError(f"summary {method}: returned {found!r}, expected an Estimate (reporting/metrics.py)")
    return measured(estimates, seeds)


def measured(estimates: Iterable[Estimate], seeds: Sequence[int]) -> Measured:
    """Return the cell of the seeds' estimates, with scores if all have them."""
    found = list(estimates)
    scores = {seed: one.scores for seed, one in zip(seeds, found, strict=True) if one.scores is not None}
    whole = per_video(side_by_side(scores)) if len(scores) == len(found) else None
    return Measured(cell=envelope(found), scores=whole, by_seed=dict(zip(seeds, found, strict=True)))


def side_by_side(scores: Mapping[int, pd.Series]) -> pd.DataFrame:
    """Return the scores as clips x seeds, by video."""
    clips = next(iter(scores.values())).index
    if not all(one.index.equals(clips) for one in scores.values()):
        return pd.DataFrame(dict(scores))
    return pd.DataFrame(np.column_stack([one.to_numpy() for one in scores.values()]), clips, list(scores))


def of_seed(cell: Measured, seed: int) -> Measured:
    """Return the cell of one of its seeds."""
    return measured([cell.by_seed[seed]], [seed])


def require_same_number(where: str, predictions: Sequence[Predictions]) -> None:
    """Raise PipelineError unless all predictions have the same number of clips."""
    counts = {one.path: len(one) for one in predictions}
    if len(set(counts.values())) != 1:
        raise PipelineError(f"{where}: predictions have different numbers of clips: {counts}")
