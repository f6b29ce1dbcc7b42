"""The plan as text and as an HTML page."""

import html

import pandas as pd

from pipeline_lib.plan.jobs import Job
from pipeline_lib.plan.planned import Planned
from pipeline_lib.plan.rates import Rate
from pipeline_lib.plan.summary import GB, PETA, Row, Summary
from pipeline_lib.reporting import formats

COLUMNS = ("jobs", "done", "left", "PFLOP", "hours", "disk, GB", "peak memory of a job, GB")
NOT_COUNTED = (
    "Not counted: decoding and figures that take more than the start of a job; logs and unfinished runs on disk. "
    "A union is counted as if every attack had to attack every clip."
)


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table as text, empty where there is nothing."""
    numbers = (row.operations / PETA, row.hours, row.disk / GB, row.memory / 1000)
    return (row.rule, str(row.done), str(row.left), *(f"{value:.3g}" if value else "" for value in numbers))


def table(summary: Summary) -> pd.DataFrame:
    """One row for each rule, and the total."""
    rows = [cells(row) for row in (*summary.rows, summary.total)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).set_index(COLUMNS[0])


def sections(planned: Planned, summary: Summary, rate: Rate) -> dict[str, list[str]]:
    """Sentences below the table, by heading; those without any are left out."""
    hours, longest = summary.longest
    total = summary.total
    found = {
        "time": [
            f"{total.hours:.3g} hours for {total.operations / PETA:.4g} PFLOP on {rate.words}.",
            f"From start to end on one machine about {summary.elapsed:.3g} hours: each job takes time to start."
            if total.left
            else "",
            f"The longest job: {longest.name}, {hours:.3g} hours{_requested(longest)}." if longest and hours else "",
        ],
        "disk": [
            f"{kind}: {left / GB:.3g} GB to write" + (f", {done / GB:.3g} GB there" if done else "")
            for kind, (done, left) in summary.disk.items()
        ],
        "memory": [
            f"{job.name}: {job.work.memory / 1000:.3g} GB"
            + (f" (asks a cluster for {job.asked.memory / 1000:.3g} GB)" if job.asked else "")
            for job in summary.largest
        ],
        "missing": list(planned.missing),
        "skipped": [f"{total.done} of {total.done + total.left} jobs: their results are those of this configuration"],
        "assumptions": [*_numbers(planned), *planned.uncounted, NOT_COUNTED],
    }
    if not total.done:
        found.pop("skipped")
    return {heading: kept for heading, lines in found.items() if (kept := [line for line in lines if line])}


def _requested(job: Job) -> str:
    return f" (asks a cluster for {job.asked.minutes / 60:.3g} hours, by the key `tflops`)" if job.asked else ""


def _numbers(planned: Planned) -> list[str]:
    used = {job.wildcards["dataset"] for job in planned.jobs if "dataset" in job.wildcards}
    words = {
        "lists": "from its lists",
        "entry": "from its entry",
        "official": "the official lists",
        "assumed": "assumed",
    }
    numbers = planned.estimates.numbers
    return [
        f"data set {name}: {numbers[name].train:,} training and {numbers[name].test:,} test clips, "
        f"{words[numbers[name].source]}"
        for name in sorted(used)
    ]


def text(title: str, planned: Planned, summary: Summary, rate: Rate) -> str:
    """The plan for a terminal, which is Markdown too."""
    rows = [list(COLUMNS), *([str(cell) for cell in row] for row in table(summary).reset_index().to_numpy())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "-|-".join("-" * width for width in widths))
    parts = [f"## Plan of {title}", "", *(f"| {line} |" for line in lines)]
    for heading, sentences in sections(planned, summary, rate).items():
        parts += ["", f"### {heading}", "", *(f"- {sentence}" for sentence in sentences)]
    return "\n".join(parts).replace("|-", "|-").replace("| -", "|--").replace("- |", "--|") + "\n"


def page(title: str, planned: Planned, summary: Summary, rate: Rate) -> str:
    """The plan as a self-contained page."""
    wide = table(summary).map(html.escape)
    parts = [formats.html_table("Operations are floating-point operations of what is left.", wide)]
    for heading, sentences in sections(planned, summary, rate).items():
        items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
        parts.append(f"<h2>{heading}</h2><ul>{items}</ul>")
    return formats.page(f"Plan of {title}", "\n".join(parts))
