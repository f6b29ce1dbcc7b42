"""What is known about a number of a table, in words: shown on demand in its cell of the page."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline_lib.configuration.entries import CLEAN
from pipeline_lib.configuration.layout_keys import clips_of_each_video
from pipeline_lib.reporting.audits import verdict_of
from pipeline_lib.reporting.formats import fall_text, number
from pipeline_lib.reporting.marks import ROW_MARK

Details = list[tuple[str, str]]


def details_of(record: Mapping[Any, Any], layout: Mapping[str, Any]) -> Details:
    """Return (term, text) of a cell: number, interval, clips, seeds, attack, verdict of its audits, worst case, print.

    record: of a table in long form with `faults`. layout: of `tables.build_table`.
    """
    if pd.isna(record["measured"]) or pd.isna(record["low"]):
        return []
    label = record["row"].removesuffix(f" {ROW_MARK}")
    row: Mapping[str, Any] = next((one for one in layout["rows"] if one["label"] == label), {})
    clips = clips_of_each_video(layout)
    found = [
        ("measured", f"{record['measured']:.2f} %"),
        ("95 % interval", f"{record['low']:.2f} to {record['high']:.2f} %"),
        ("clips", f"{record['n']}"),
        ("seeds", str(record["seeds"])),
        ("sd over seeds", "" if pd.isna(record.get("sd")) else f"{record['sd']:.2f} points"),
        *attacks_of(row.get("entries", {}).get(record["column"], [])),
        ("audit", ", ".join(verdicts(row.get("audits", {}).get(record["column"], []), clips))),
        ("audit of the source", ", ".join(verdicts(row.get("source_audits", {}).get(record["column"], []), clips))),
        ("no measure", record.get("faults", "")),
        ("chance", record.get("flag", "")),
        *worst_details(record),
        *pair_details(record),
        *paper_details(record),
    ]
    return [(term, text) for term, text in found if text]


def attacks_of(entries: Sequence[Mapping[str, Any]]) -> Details:
    """Return the attack of a cell, and the models on which its clips were made if these are others."""
    attacks = dict.fromkeys(str(one["attack"]) for one in entries)
    others = dict.fromkeys(str(one["source"]) for one in entries if one["source"] not in (None, one["target"]))
    found = [("attack", ", ".join("none" if name == CLEAN else name for name in attacks))]
    return [*found, ("made on", ", ".join(others))]


def verdicts(audits: Sequence[str], clips_by_video: int) -> list[str]:
    """Return the verdicts of the audits, each once."""
    return list(dict.fromkeys(verdict_of(path, clips_by_video) for path in audits))


def worst_details(record: Mapping[Any, Any]) -> Details:
    """Return the worst case with its interval, and what falls in it."""
    if pd.isna(record.get("worst")):
        return []
    text = f"{record['worst']:.2f} % ({record['worst_low']:.2f} to {record['worst_high']:.2f})"
    trouble = ", ".join(filter(None, (record.get("worst_faults", ""), record["worst_flag"])))
    return [("worst case", text), ("papers' attack to worst case", fall_text(record)), ("of the worst case", trouble)]


def pair_details(record: Mapping[Any, Any]) -> Details:
    """Return the difference to the row's pair with its interval and p."""
    if pd.isna(record.get("minus")):
        return []
    text = f"{record['minus']:+.2f} points"
    if not pd.isna(record["minus_low"]):
        text += f" ({record['minus_low']:.2f} to {record['minus_high']:.2f}), p = {record['minus_p']:.3g} by Holm"
    return [(f"minus {record['other']}", text)]


def paper_details(record: Mapping[Any, Any]) -> Details:
    """Return the printed value, and measured minus printed."""
    if pd.isna(record["paper"]):
        return []
    return [("paper", f"{number(record['paper'])} %"), ("here minus paper", f"{record['difference']:+.2f} points")]
