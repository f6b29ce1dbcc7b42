"""A table's CSV: the pooled rows, below each one its seeds, and beside both what was measured."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline_lib.reporting.cells import Numbers, of_seed
from pipeline_lib.reporting.facts import Fact, Facts
from pipeline_lib.reporting.measured import Measured
from pipeline_lib.reporting.worst_cases import values

# Columns of the file beside those of a table: `seed` is empty in a pooled row.
BESIDE = ("seed", "attack", "model", "data", "identity")
OF_FACTS = BESIDE[1:]


def long_form(table: pd.DataFrame, numbers: Numbers | None, facts: Facts) -> pd.DataFrame:
    """Return the rows of the CSV: those of the table, and below each one a row for each of its seeds.

    `attack`, `model`, `data`: in words, empty where they differ between the columns of a summary or are not recorded.
    `identity`: of the predictions, one for each seed, separated by spaces. numbers: without them there are no seeds.
    """
    records: list[dict[Any, Any]] = []
    of_rows = facts_by_row(facts)
    for row in table.to_dict("records"):
        cells = numbers.rows.get(row["row"], {}) if numbers else {}
        measured = cells.get(row["column"])
        found = facts_of_cell(row, of_rows.get(row["row"], {}))
        records.append({**row, "seed": "", **in_words(found.values())})
        worst = numbers.worst.get(row["row"], {}).get(row["column"]) if numbers else None
        records += seed_rows(row, measured, worst, found) if measured else []
    return pd.DataFrame(records, columns=[*table.columns, *BESIDE]).astype({"n": "Int64"})


def facts_by_row(facts: Facts) -> dict[str, dict[str, Sequence[Fact | None]]]:
    """Return row -> column -> facts."""
    rows: dict[str, dict[str, Sequence[Fact | None]]] = {}
    for (row, column), found in facts.items():
        rows.setdefault(row, {})[column] = found
    return rows


def facts_of_cell(row: Mapping[Any, Any], facts: Mapping[str, Sequence[Fact | None]]) -> dict[int, list[Fact]]:
    """Return the facts of a cell for each of its seeds, by position; of a summary, those of all columns of its row.

    facts: of its row, by column.
    """
    of_summary = list(facts.values()) if row["seeds"] else []
    shown = [facts[row["column"]]] if row["column"] in facts else of_summary
    places = range(max(map(len, shown), default=0))
    return {place: [one for each in shown if place < len(each) and (one := each[place])] for place in places}


def in_words(found: Iterable[Iterable[Fact]]) -> dict[str, str]:
    """Return what facts have in common, and their identities."""
    every = [one for facts in found for one in facts]
    different = {name: {getattr(one, name) for one in every} for name in OF_FACTS[:-1]}
    words = {name: next(iter(values)) if len(values) == 1 else "" for name, values in different.items()}
    return words | {"identity": " ".join(dict.fromkeys(one.identity for one in every))}


def seed_rows(
    row: Mapping[Any, Any], measured: Measured, worst: Measured | None, found: Mapping[int, list[Fact]]
) -> list[dict[Any, Any]]:
    """Return the rows of a cell's seeds: their numbers and worst cases; what compares rows is empty."""
    kept = {name: row[name] for name in ("table", "row", "column", "paper", "constant", "chance")}
    texts: dict[Any, Any] = {name: "" for name, value in row.items() if isinstance(value, str)}
    rows = []
    for place, (seed, one) in enumerate(measured.by_seed.items()):
        figures: dict[str, Any] = {"measured": one.percent, "low": one.low, "high": one.high, "n": one.n, "best": False}
        figures |= {"difference": one.percent - row["paper"], "seeds": str(seed), "seed": str(seed)}
        weak = {name: False for name in ("weak", "worst_best") if name in row}
        beside = worst_of_seed(row, measured, worst, seed) if worst else {}
        rows.append({**texts, **kept, **figures, **weak, **beside, **in_words([found.get(place, [])])})
    return rows


def worst_of_seed(row: Mapping[Any, Any], measured: Measured, worst: Measured, seed: int) -> dict[str, Any]:
    """Return the values of a cell's worst case for one of its seeds."""
    names = (str(row[name]) for name in ("table", "column", "row"))
    return values(of_seed(measured, seed), of_seed(worst, seed), *names, "worst case")
