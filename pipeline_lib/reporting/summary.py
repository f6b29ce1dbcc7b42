"""All numbers of the tables in one file, `summary.json`: a record for each cell, with what it was measured by."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline_lib.configuration.layout_keys import data_sets_of
from pipeline_lib.reporting.claim_records import claim_records
from pipeline_lib.reporting.faults import with_faults
from pipeline_lib.reporting.pooled import read_pooled
from pipeline_lib.reporting.predictions import Predictions, by_video
from pipeline_lib.reporting.publish import publish
from pipeline_lib.reporting.tables import PARAMETERS, read_long

FORMAT = 1
Layout = Mapping[str, Any]


def build_summary(
    layouts: Mapping[str, Layout],
    tables: Mapping[str, Path | str],
    entries: Mapping[str, Mapping[str, Any]],
    claims: Path | str | None = None,
) -> dict[str, Any]:
    """Return the summary, plain data: `format`, `attacks`, `models` (entries by name), `studies`, `claims`, `records`.

    layouts: study -> layout (`tables.build_table`). tables: study -> CSV of its table. entries: `attacks` and `models`.
    claims: CSV of the table of claims, None without claims (`claim_records.claim_records`).
    A study has `title`, `dataset`, `columns`, `summaries` and `clips` (`clips_digest`). A record is a number: `study`,
    `row`, `column`, `entries` (target, attack and source for each seed; of a summary none: it is over the study's
    columns), `identity` (of the predictions, for each seed; of a summary, of all columns), `measured`, `low`, `high`,
    `sd` (percent), `n`, `seeds`, `worst` (the numbers of the worst case), `constant` and `chance` (percent), `flags`
    (of `chance`, and faults of an audit), `best`. Missing: null.
    """
    return {
        "format": FORMAT,
        **{kind: dict(entries[kind]) for kind in ("attacks", "models")},
        "studies": {name: study(layout) for name, layout in layouts.items()},
        "claims": [] if claims is None else claim_records(claims),
        "records": [record for name, layout in layouts.items() for record in records(layout, read_long(tables[name]))],
    }


def study(layout: Layout) -> dict[str, Any]:
    """Return what the numbers of a study have in common."""
    paths, datasets = next(iter(layout["rows"][0]["cells"].values())), data_sets_of(layout)
    kept = {key: layout[key] for key in ("title", "dataset", "columns", "summaries")}
    return {**kept, "clips": clips_digest(read_pooled(paths[: len(datasets)], datasets))}


def clips_digest(predictions: pd.DataFrame | Predictions) -> str:
    """Return a digest of the names and labels of the clips, in any order."""
    found = by_video(predictions)
    labels = sorted(zip(found.videos, found.labels, strict=True))
    lines = "".join(f"{video}\0{label}\n" for video, label in labels)
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def records(layout: Layout, table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the records of a study's measured numbers, pooled over seeds. table: of `read_long`."""
    table = table[table["seed"] == ""]
    rows = {row["label"]: row.get("entries", {}) for row in layout["rows"]}
    shown = with_faults(table, layout)
    for cell in shown[(table["column"] != PARAMETERS) & table["measured"].notna()].to_dict("records"):
        faults = [*cell["flag"].split(", "), *cell["faults"].split(", ")]
        yield {
            "study": layout["name"],
            **{key: cell[key] for key in ("row", "column")},
            "entries": rows[cell["row"]].get(cell["column"], []),
            "identity": cell["identity"].split() or None,
            **{key: number(cell[key]) for key in ("measured", "low", "high", "sd")},
            "n": int(cell["n"]),
            "seeds": [int(seed) for seed in cell["seeds"].split()],
            "worst": worst_case(cell),
            **{key: number(cell[key]) for key in ("constant", "chance")},
            "flags": [flag for flag in faults if flag],
            "best": bool(cell["best"]),
        }


def worst_case(cell: Mapping[Any, Any]) -> dict[str, Any] | None:
    """Return the numbers of a cell's worst case, None without one."""
    if pd.isna(cell.get("worst")):
        return None
    found = {
        key: number(cell[f"worst{ending}"]) for key, ending in (("measured", ""), ("low", "_low"), ("high", "_high"))
    }
    flags = [*cell["worst_flag"].split(", "), *cell["worst_faults"].split(", ")]
    return {**found, "weak": bool(cell["weak"]), "flags": [flag for flag in flags if flag]}


def number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def write_summary(summary: Mapping[str, Any], path: Path) -> None:
    """Write the summary as JSON, one record in a line."""
    head = {key: value for key, value in summary.items() if key != "records"}
    lines = ",\n".join(f"  {json.dumps(record, ensure_ascii=False)}" for record in summary["records"])
    text = json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}")
    publish(path, f'{text},\n "records": [\n{lines}\n ]\n}}\n')
