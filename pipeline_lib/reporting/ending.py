"""The end of a run on the terminal: where the report is, the first study's table in short, and what is doubtful."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROWS = 12


def ending(results: Path) -> str:
    """Return a few lines from `summary.json` and the table of audits, as far as these exist."""
    report, summary, audit = results / "report.html", results / "summary.json", results / "tables/audit.csv"
    lines = ["", f"Report: {report}" if report.exists() else f"No report yet: {report} does not exist."]
    if summary.exists():
        lines += headline(json.loads(summary.read_text()), order_of(results / "config.yaml"))
    if audit.exists():
        lines += doubts(audit)
    return "\n".join([*lines, f"Tables: {results / 'tables'}, figures: {results / 'figures'}"])


def order_of(config: Path) -> list[str]:
    """Return the names of the studies in the order of the run's configuration; `summary.json` has them by name."""
    import yaml

    return list(yaml.safe_load(config.read_text()).get("studies") or {}) if config.exists() else []


def headline(summary: Mapping[str, Any], order: Sequence[str] = ()) -> list[str]:
    """Return the first study's accuracies in percent: the first column and the summaries, with worst cases."""
    if not summary["studies"]:
        return ["There is no study."]
    name = next(one for one in [*order, *summary["studies"]] if one in summary["studies"])
    study = summary["studies"][name]
    own = [record for record in summary["records"] if record["study"] == name]
    rows = list(dict.fromkeys(record["row"] for record in own))
    shown = [*study["columns"][:1], *(each["column"] for each in study["summaries"])]
    cells = {(record["row"], record["column"]): cell(record) for record in own}
    width = min(40, max(map(len, rows), default=0))
    lines = ["", f"{study['title']} (accuracy in percent; in brackets the worst case):"]
    lines += [" " * width + "".join(f"{column[:15]:>16}" for column in shown)]
    lines += [
        f"{row[:width]:<{width}}" + "".join(f"{cells.get((row, column), '-'):>16}" for column in shown)
        for row in rows[:ROWS]
    ]
    return [*lines, *([f"and {len(rows) - ROWS} rows more"] if len(rows) > ROWS else []), ""]


def cell(record: Mapping[str, Any]) -> str:
    """Return for example `49.0 (20.4)`, with an asterisk for a number with flags."""
    worst = f" ({record['worst']['measured']:.1f})" if record.get("worst") else ""
    return f"{record['measured']:.1f}{'*' if record['flags'] else ''}{worst}"


def doubts(audit: Path) -> list[str]:
    """Return how many adversarial sets have which verdict other than ok."""
    import csv
    from collections import Counter

    verdicts = [row["verdict"].partition(":")[0] for row in csv.DictReader(audit.read_text().splitlines())]
    counts = Counter(verdict for verdict in verdicts if verdict not in ("ok", "no bound stated"))
    if not counts:
        return [f"Audits: all {len(verdicts)} adversarial sets are sound."]
    words = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    return [f"Doubtful: {words}, of {len(verdicts)} adversarial sets (* in the table)."]


if __name__ == "__main__":
    print(ending(Path(sys.argv[1] if len(sys.argv) > 1 else "results")))
