"""Claims as records of `summary.json`, and those of several runs side by side."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline_lib.records.seed_words import seeds_in_words
from pipeline_lib.reporting.claim_files import read_claims_table, result_text
from pipeline_lib.reporting.claims import COUNTS, NOT_COMPUTED, NUMBERS, RESULTS, WORST

ABOUT = ("id", "work", "place", "statement", "note", "comparisons", "printed")
Summary = Mapping[str, Any]
NOTE = "Claims about studies that all files have, with the clips and seeds of the comparison that decides."


def claim_records(table: Path | str) -> list[dict[str, Any]]:
    """Return a record for each claim that is computed, from the CSV of `claim_files.write_claims`: plain data.

    Its keys are the columns of `claims.build_claims`; `studies`, `seeds` and `faults` are lists, `worst` is the result
    in the worst case, None without one. Missing: None.
    """
    found = read_claims_table(table)
    return [record(row) for row in found[found["outcome"] != NOT_COMPUTED].to_dict("records")]


def record(row: Mapping[Any, Any]) -> dict[str, Any]:
    about = {key: plain(row, key) for key in ABOUT}
    worst = result(row, WORST) if row[f"{WORST}outcome"] else None
    return {**about, "studies": row["studies"].split(), **result(row, ""), "worst": worst}


def result(row: Mapping[Any, Any], before: str) -> dict[str, Any]:
    """Return the result under the papers' attacks, or in the worst case for the prefix `WORST`."""
    lists = {"seeds": [int(seed) for seed in row[f"{before}seeds"].split()]}
    lists["faults"] = [fault for fault in row[f"{before}faults"].split(", ") if fault]
    return {key: lists.get(key, plain(row, before + key)) for key in RESULTS}


def plain(row: Mapping[Any, Any], key: str) -> Any:
    """Return a value as plain data, None for a missing one."""
    value = row[key]
    if key in COUNTS:
        return None if pd.isna(value) else int(value)
    return (None if pd.isna(value) else float(value)) if key in NUMBERS else value


def claims_side_by_side(summaries: Mapping[str, Summary], studies: Iterable[str]) -> pd.DataFrame:
    """Return the claims about these studies as text. Index: the claim; columns: the attack and name of the summary.

    summaries: by name. studies: those that all of them have, on the same clips. A claim that a summary lacks is empty.
    """
    common, cells = set(studies), dict[str, dict[str, str]]()
    labels: dict[str, str] = {}
    for name, summary in summaries.items():
        for one in (claim for claim in summary.get("claims", []) if common.issuperset(claim["studies"])):
            labels.setdefault(one["id"], f"{one['statement']} ({one['work']}, {one['place']})")
            row = cells.setdefault(one["id"], {})
            row[f"papers' attack, {name}"] = text_of(one, one)
            row[f"worst case, {name}"] = text_of(one, one["worst"])
    table = pd.DataFrame.from_dict(cells, orient="index").fillna("")
    order = [f"{attack}, {name}" for attack in ("papers' attack", "worst case") for name in summaries]
    shown = [column for column in order if column in table and (table[column] != "").any()]
    return table[shown].rename(index=labels).rename_axis("claim")


def text_of(claim: Mapping[str, Any], found: Mapping[str, Any] | None) -> str:
    """Return a claim's result, with the clips and seeds of the comparison that decides."""
    if found is None:
        return ""
    seeds = seeds_in_words(" ".join(map(str, found["seeds"])))
    return f"{result_text({**claim, **found}, '')}; n = {found['n'] or 0}, {seeds}"
