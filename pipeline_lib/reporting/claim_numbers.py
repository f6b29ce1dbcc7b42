"""The numbers that claims compare: those of the studies' tables, and those of their worst cases."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline_lib.configuration.claim_cells import cells_of
from pipeline_lib.configuration.layout_keys import worst_of
from pipeline_lib.reporting.cells import Numbers, at_worst, measured_layout
from pipeline_lib.reporting.chance import clean_columns
from pipeline_lib.reporting.faults import with_faults
from pipeline_lib.reporting.measured import Measured

Layout = Mapping[str, Any]
Layouts = Mapping[str, Layout]
Place = tuple[str, str, str]  # study, row, column


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """The cells of studies under one kind of attack, and the faults that an audit found in them."""

    numbers: Mapping[str, Numbers]
    faults: Mapping[Place, str]

    def cell(self, place: Place) -> Measured:
        study, row, column = place
        return self.numbers[study].rows[row][column]


def own_numbers(layouts: Layouts) -> Measurements:
    """Return the numbers of the studies' tables."""
    numbers = {name: measured_layout(layout) for name, layout in layouts.items()}
    return Measurements(numbers=numbers, faults=faults_of(layouts, "faults"))


def worst_numbers(layouts: Layouts) -> Measurements:
    """Return the numbers of the studies' worst cases; a column without one counts as it is."""
    shown = {name: layout for name, layout in layouts.items() if any(worst_of(row) for row in layout["rows"])}
    numbers = {name: measured_layout(at_worst(layout)) for name, layout in shown.items()}
    return Measurements(numbers=numbers, faults=faults_of(shown, "worst_faults"))


def faults_of(layouts: Layouts, kind: str) -> dict[Place, str]:
    found: dict[Place, str] = {}
    for study, layout in layouts.items():
        cells = pd.DataFrame(cells_of(layout), columns=["row", "column"]).assign(worst=0.0)
        shown = with_faults(cells, layout)
        places = zip([study] * len(shown), shown["row"], shown["column"], strict=True)
        found |= dict(zip(places, shown[kind], strict=True))
    return found


def places_of(comparison: Mapping[str, Any]) -> tuple[Place, Place]:
    """Return where the two cells of a computed comparison are."""
    first, second = (
        (study, comparison[key]["row"], comparison[key]["column"])
        for study, key in zip(comparison["studies"], ("first", "second"), strict=True)
    )
    return first, second


def in_the_worst_case(claim: Mapping[str, Any], layouts: Layouts) -> dict[str, Any]:
    """Return a claim with those comparisons whose cells have a worst case, or no attack; none if no cell has one."""
    kinds = [{kind_of(place, layouts) for place in places_of(one)} for one in claim["comparisons"]]
    kept = [one for one, kind in zip(claim["comparisons"], kinds, strict=True) if "attacked" not in kind]
    return {**claim, "comparisons": kept if any("worst" in kind for kind in kinds if "attacked" not in kind) else []}


def kind_of(place: Place, layouts: Layouts) -> str:
    """Return `worst` for a cell with a worst case, `clean` for one without an attack, else `attacked`."""
    study, label, column = place
    layout = layouts[study]
    row = next(row for row in layout["rows"] if row["label"] == label)
    summary = column in {summary["column"] for summary in layout["summaries"]}
    if column in worst_of(row) or (summary and worst_of(row)):
        return "worst"
    return "clean" if column in clean_columns(row) else "attacked"
