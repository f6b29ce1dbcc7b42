"""The audits of the adversarial sets in one table, with a verdict on each: robustness, or a masked gradient?"""

import html as markup
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline_lib.errors import PipelineError
from pipeline_lib.reporting import formats
from pipeline_lib.reporting.publish import publish

AUDIT_COLUMNS = (
    "clips",
    "zero_gradients",
    "start_loss",
    "end_loss",
    "changed_predictions",
    "bound_ratio",
    "clean_accuracy",
    "live_accuracy",
    "stored_accuracy",
)
MASKED = "masked gradient"
ZERO_GRADIENTS_ALLOWED = 0.01
CAPTION = (
    "One row per adversarial set: the model it was made on (source), the share of clips whose first gradient is "
    "exactly zero, the mean loss before and after, the share of changed predictions, the largest ratio to the bound, "
    "and the accuracy in percent on the clean clips, on the attack's own tensors (live) and on the stored 8-bit clips. "
    'Verdict "masked gradient": more than 1 % of the gradients are zero, or the stored accuracy equals the clean one '
    "although the attack moved the clips. Such numbers are no robustness."
)

STYLE = """
td:nth-child(-n+4), th:nth-child(-n+4) { text-align: left; }
b.masked { color: #a83200; }
"""


def build_audit(paths: Sequence[Mapping[str, str]]) -> pd.DataFrame:
    """Return one row per entry: dataset, source, attack, the columns of its audit, and `verdict`.

    paths: entries with `dataset`, `source`, `attack` and `audit`, the path of a CSV with one row of `AUDIT_COLUMNS`
        (`zero_gradients` and `changed_predictions` are shares in 0..1, accuracies are in percent).
    """
    names = ("dataset", "source", "attack")
    rows = [{**{name: entry[name] for name in names}, **read_audit(entry["audit"])} for entry in paths]
    table = pd.DataFrame(rows, columns=[*names, *AUDIT_COLUMNS])
    return table.assign(verdict=[verdict(row) for row in table.to_dict("records")])


def read_audit(path: Path | str) -> dict[str, float]:
    """Return the audit's one row; PipelineError naming the file if it is not one row of `AUDIT_COLUMNS`."""
    table = pd.read_csv(path)
    missing = [column for column in AUDIT_COLUMNS if column not in table]
    if missing or len(table) != 1:
        trouble = f"columns {missing} are missing" if missing else f"{len(table)} rows"
        raise PipelineError(f"{path}: {trouble}; an audit is one row of {list(AUDIT_COLUMNS)}")
    return {str(name): value for name, value in table.to_dict("records")[0].items()}


def verdict(audit: Mapping[Any, Any]) -> str:
    """Return "masked gradient" or "ok".

    Accuracies are the same if they differ by less than half a clip. An attack that moved nothing (`bound_ratio` 0,
    a bound of zero) may well leave the accuracy as it is.
    """
    half_a_clip = 50 / audit["clips"]
    unchanged = abs(audit["stored_accuracy"] - audit["clean_accuracy"]) < half_a_clip
    if audit["zero_gradients"] > ZERO_GRADIENTS_ALLOWED or (unchanged and audit["bound_ratio"] > 0):
        return MASKED
    return "ok"


def write_audit(audit: pd.DataFrame, *, csv: Path, markdown: Path, latex: Path, html: Path) -> None:
    """Write the audit as CSV, and rounded for reading as Markdown, LaTeX (booktabs) and an HTML page."""
    publish(csv, audit.round(6).to_csv(index=False, lineterminator="\n"))
    text = readable(audit)
    publish(markdown, formats.markdown("audit", CAPTION, text))
    publish(latex, formats.latex("audit", CAPTION, text))
    publish(html, formats.html_page("audit", CAPTION, text.map(html_verdict), STYLE))


def readable(audit: pd.DataFrame) -> pd.DataFrame:
    """Return the audit as text, indexed by data set: verdict in front, shares in percent, headings in words."""
    shares, accuracies = ["zero_gradients", "changed_predictions"], ["clean", "live", "stored"]
    text = audit.rename(columns={f"{name}_accuracy": name for name in accuracies}).astype({"clips": int})
    text[shares] = text[shares].map(lambda share: f"{100 * share:.1f} %")
    text[accuracies] = text[accuracies].map(lambda percent: f"{percent:.1f}")
    text[["start_loss", "end_loss"]] = text[["start_loss", "end_loss"]].map(lambda loss: f"{loss:.3f}")
    text["bound_ratio"] = text["bound_ratio"].map(lambda ratio: f"{ratio:.4f}")
    text.insert(3, "verdict", text.pop("verdict"))
    return text.rename(columns=lambda name: name.replace("_", " ")).astype(str).set_index("dataset")


def html_verdict(cell: str) -> str:
    return f'<b class="masked">{cell}</b>' if cell == MASKED else markup.escape(cell)
