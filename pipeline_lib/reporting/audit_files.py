"""Writes the table of audits as CSV, Markdown, LaTeX, and as a page that shows the exceptions first."""

import html as markup
from pathlib import Path

import pandas as pd

from pipeline_lib.reporting import formats
from pipeline_lib.reporting.audits import FAULTS, NO_BOUND, NO_EFFECT, SOUND, WEAK, WEAKER, storage_cost
from pipeline_lib.reporting.html_tables import HtmlCell, scrolled_table
from pipeline_lib.reporting.publish import publish

COST_TITLE = "storage"
# The columns of the table of exceptions; the table of all sets has more.
SHORT = ("source", "attack", "verdict", "clean", "stored", "clips", "iterations", "zero gradients", "bound ratio")
# Verdicts that are no exception.
USUAL = (SOUND, NO_BOUND)

STYLE = """
td:nth-child(-n+4), th:nth-child(-n+4) { text-align: left; }
h2.storage ~ .scroll :is(td, th):nth-child(n+4) { text-align: right; }
b.masked { color: var(--fault); }
details > p { margin-top: .6rem; }
"""


def write_audit(audit: pd.DataFrame, captions: str, *, csv: Path, markdown: Path, latex: Path, html: Path) -> None:
    """Write the audit as CSV; and rounded, with each attack's cost of storage below it, as Markdown, LaTeX (booktabs)
    and an HTML page.

    captions: two paragraphs, one for each table (`workflow/report/audit.rst`).
    """
    of_audit, of_cost = (" ".join(paragraph.split()) for paragraph in captions.strip().split("\n\n"))
    publish(csv, audit.round(6).to_csv(index=False, lineterminator="\n"))
    tables = [("audit", of_audit, readable(audit)), (COST_TITLE, of_cost, readable_cost(audit))]
    publish(markdown, "\n".join(formats.markdown(*table) for table in tables))
    publish(latex, "\n".join(formats.latex(*table) for table in tables))
    publish(html, audit_page(audit, of_audit, of_cost))


def audit_page(audit: pd.DataFrame, of_audit: str, of_cost: str) -> str:
    """Return the page: doubtful sets; then captions and all sets, both folded; and the cost of storage."""
    everything = readable(audit).map(html_verdict)
    parts = [
        exceptions(audit),
        folded("What the columns and verdicts mean", f"<p>{markup.escape(of_audit)}</p>"),
        folded(f"All {len(audit)} sets", scrolled_table(everything, "all sets")),
        f'<h2 class="storage">{COST_TITLE}</h2>',
        formats.html_table(of_cost, readable_cost(audit).map(markup.escape)),
    ]
    return formats.page("audit", "\n".join(parts), STYLE)


def exceptions(audit: pd.DataFrame) -> str:
    """Return the sets with another verdict than `USUAL`, those with faults first, and their number."""
    found = audit[~audit["verdict"].isin(USUAL)]
    if found.empty:
        return f"<p>No exception: each of the {len(audit)} adversarial sets is sound.</p>"
    grave = found["verdict"].isin(FAULTS)
    shown = readable(pd.concat([found[grave], found[~grave]]))[list(SHORT)]
    words = (
        f"Exceptions: {len(found)} of {len(audit)} adversarial sets; {int(grave.sum())} of these measure no robustness."
    )
    return f"<p>{words}</p>\n{scrolled_table(shown.map(html_verdict), 'exceptions')}"


def folded(title: str, body: str) -> str:
    """Return a part of the page that opens on demand."""
    return f"<details><summary>{markup.escape(title)}</summary>\n{body}\n</details>"


def readable(audit: pd.DataFrame) -> pd.DataFrame:
    """Return the audit as text, indexed by data set: verdict first, fractions in percent, headings in words."""
    fractions = ["zero_gradients", "zero_elements", "changed_predictions", "reached_goals", "unchanged_clips"]
    fractions += ["recovered_clips", "last_fall", "last_rise", "below_floor", "one_answer", "answer_entropy"]
    sizes = ["live_bound_ratio", "bound_ratio", "box_excess", "model_gap", "gap_allowed"]
    accuracies = ["clean", "live", "stored"]
    text = audit.rename(columns={f"{name}_accuracy": name for name in accuracies}).astype(
        {"clips": int, "iterations": int, "classes": int}
    )
    text[fractions] = text[fractions].map(lambda fraction: f"{100 * fraction:.1f} %")
    percents = [*accuracies, "balanced_accuracy"]
    text[percents] = text[percents].map(lambda percent: f"{percent:.1f}")
    losses = ["start_loss", "end_loss", "predicted_increase", "first_rise"]
    text[losses] = text[losses].map(lambda loss: f"{loss:.3f}")
    text[sizes] = text[sizes].map(lambda size: f"{size:.4f}" if size >= 0 else "none")
    text.insert(3, "verdict", text.pop("verdict"))
    return text.rename(columns=lambda name: name.replace("_", " ")).astype(str).set_index("dataset")


def readable_cost(audit: pd.DataFrame) -> pd.DataFrame:
    """Return `storage_cost` as text, indexed by data set; costs with a sign."""
    text = storage_cost(audit)
    text[["live", "stored"]] = text[["live", "stored"]].map(lambda percent: f"{percent:.1f}")
    text[["cost", "largest"]] = text[["cost", "largest"]].map(lambda points: f"{points:+.1f}" if points else "0.0")
    return text.astype(str).set_index("dataset")


def html_verdict(cell: str) -> HtmlCell:
    """Return a cell, colored if it is a doubtful verdict."""
    if cell in FAULTS:
        return HtmlCell(content=f'<b class="masked">{cell}</b>', kind="fault")
    if cell in (NO_EFFECT, *WEAK) or cell.startswith(f"{WEAKER}:"):
        return HtmlCell(content=f"<b>{cell}</b>", kind="weak")
    return HtmlCell(content=markup.escape(cell))
