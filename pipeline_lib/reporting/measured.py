"""A measured cell of a table, and the comparisons of its rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from pipeline_lib.reporting.metrics import Cell, Estimate
from pipeline_lib.reporting.paired import Comparison, compare


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A cell, its scores in [0, 1], and each seed's estimate.

    scores: clips x seeds, videos x seeds where a video has several clips; None for a summary without.
    """

    cell: Cell
    scores: pd.DataFrame | None
    by_seed: Mapping[int, Estimate] = field(default_factory=dict)


Rows = Mapping[str, Mapping[str, Measured]]
"""row -> column -> cell."""


@dataclass(frozen=True)
class Comparisons:
    """The comparisons of rows of a table in its columns, each of them calculated once."""

    rows: Rows
    known: dict[tuple[str, ...], Comparison | None] = field(default_factory=dict)

    def of(self, table: str, column: str, row: str, other: str) -> Comparison | None:
        """Return row minus other, None without common seeds, and for a summary without scores. Both have the column.

        The names seed the bootstrap (`paired.compare`).
        """
        names = (table, column, row, other)
        if names not in self.known:
            first, second = self.rows[row][column].scores, self.rows[other][column].scores
            self.known[names] = None if first is None or second is None else compare(first, second, *names)
        return self.known[names]
