"""The audits of the adversarial sets in one table, with a verdict on each: robustness, or a masked gradient?"""

import html as markup
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline_lib.errors import PipelineError
from pipeline_lib.reporting import formats
from pipeline_lib.reporting.publish import publish

AUDIT_COLUMNS = (
    "clips",
    "iterations",
    "zero_gradients",
    "zero_elements",
    "start_loss",
    "end_loss",
    "changed_predictions",
    "reached_goals",
    "unchanged_clips",
    "live_bound_ratio",
    "bound_ratio",
    "box_excess",
    "model_gap",
    "gap_allowed",
    "clean_accuracy",
    "live_accuracy",
    "stored_accuracy",
)
SET_COLUMNS = ("dataset", "source", "attack", "storage")
SOUND = "ok"
MASKED = "masked gradient"
BROKEN = "bound broken"
OTHER_MODEL = "other model evaluated"
UNTOUCHED = "clips left out"
NO_EFFECT = "no effect"
ZERO_GRADIENTS_ALLOWED = 0.01
ZERO_ELEMENTS_ALLOWED = 0.5
UNCHANGED_ALLOWED = 0.01
# Of the bound and of [0, 1]: above the rounding of float32, below half a grey level for every bound in use.
ROUNDING = 1e-3
RISE_EXPECTED = 0.01
CAPTION = (
    "One row per adversarial set: the model it was made on (source), the iterations, the share of clips whose first "
    "gradient is exactly zero and the share of zero elements in it, the mean loss before and after, the share of "
    "changed predictions, of stored clips that reached the attack's goal (its target; without one, any wrong class), "
    "and of unchanged clips, the largest ratio to the bound of the attack's own tensors (live) "
    "and of the stored clips (storage: 8-bit ones on the lattice, or float32), how far live pixels leave "
    "[0, 1], how far the attacked model's loss is from the evaluated model's on the same clips, and the accuracy in "
    "percent on clean, live and stored clips. Verdicts: "
    '"bound broken": a ratio above 1, pixels outside the region, or values outside [0, 1]. "other model evaluated": a '
    'gap above the allowed one, which is larger for attacks in bf16. "masked gradient": more than 1 % of the '
    "gradients or 50 % of their elements are zero, or the stored accuracy equals the clean one and the loss hardly "
    'rose, although the attack moved the clips. "clips left out": more than 1 % of the clips are still the clean '
    'ones. "no effect": that accuracy is equal although the loss rose, so the attack is too weak. Such numbers are no '
    "robustness."
)
COST_TITLE = "storage"
COST_COLUMNS = ("dataset", "attack", "storage", "sets", "clips", "live", "stored", "cost", "largest")
COST_CAPTION = (
    "What storing costs an attack: the accuracy in percent on its own clips (live) and on the stored ones, over all "
    "clips of all its sets, and the difference in points, which is what rounding to 8 bits takes from the attack "
    "(float32 keeps every value). One clip is 100 / clips points; largest: of one set, with its sign."
)

STYLE = """
td:nth-child(-n+5), th:nth-child(-n+5) { text-align: left; }
h2 ~ .scroll :is(td, th):nth-child(n+4) { text-align: right; }
b.masked { color: #a83200; }
"""


def build_audit(paths: Sequence[Mapping[str, str]]) -> pd.DataFrame:
    """Return one row per entry: dataset, source, attack, storage, the columns of its audit, and `verdict`.

    paths: entries with `SET_COLUMNS` and `audit`, the path of a CSV with one row of `AUDIT_COLUMNS`
        (`zero_gradients` and `changed_predictions` are shares in 0..1, accuracies are in percent).
    """
    rows = [{**{name: entry[name] for name in SET_COLUMNS}, **read_audit(entry["audit"])} for entry in paths]
    table = pd.DataFrame(rows, columns=[*SET_COLUMNS, *AUDIT_COLUMNS])
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
    """Return "ok" or what is wrong, the gravest first.

    Accuracies are the same if they differ by less than half a clip. An attack that moved nothing (`bound_ratio` 0,
    a bound of zero) may well leave the accuracy as it is.
    """
    if max(audit["bound_ratio"], audit["live_bound_ratio"]) > 1 + ROUNDING or audit["box_excess"] > ROUNDING:
        return BROKEN
    if audit["model_gap"] > audit["gap_allowed"]:
        return OTHER_MODEL
    vanishing = audit["zero_gradients"] > ZERO_GRADIENTS_ALLOWED or audit["zero_elements"] > ZERO_ELEMENTS_ALLOWED
    half_a_clip = 50 / audit["clips"]
    unchanged = abs(audit["stored_accuracy"] - audit["clean_accuracy"]) < half_a_clip and audit["bound_ratio"] > 0
    rose = audit["end_loss"] - audit["start_loss"] > RISE_EXPECTED * (1 + audit["start_loss"])
    # Without iterations no gradient was asked for, and none can be masked.
    if vanishing or (unchanged and not rose and audit["iterations"] > 0):
        return MASKED
    if audit["unchanged_clips"] > UNCHANGED_ALLOWED and audit["bound_ratio"] > 0:
        return UNTOUCHED
    return NO_EFFECT if unchanged else SOUND


def storage_cost(audit: pd.DataFrame) -> pd.DataFrame:
    """Return one row per data set, attack and storage: sets, clips, live and stored accuracy, cost, largest.

    cost: stored minus live accuracy in points, of all clips; positive where the stored attack is weaker. largest: that
    of the set where it is farthest from 0.
    """
    rows = []
    for names, sets in audit.groupby(["dataset", "attack", "storage"]):
        live, stored = (np.average(sets[f"{kind}_accuracy"], weights=sets["clips"]) for kind in ("live", "stored"))
        costs = (sets["stored_accuracy"] - sets["live_accuracy"]).to_numpy()
        largest = costs[np.abs(costs).argmax()]
        rows.append((*names, len(sets), int(sets["clips"].sum()), live, stored, stored - live, largest))
    return pd.DataFrame(rows, columns=list(COST_COLUMNS)).round(6)


def write_audit(audit: pd.DataFrame, *, csv: Path, markdown: Path, latex: Path, html: Path) -> None:
    """Write the audit as CSV, and rounded for reading, with what storing costs each attack below it, as Markdown,
    LaTeX (booktabs) and an HTML page."""
    publish(csv, audit.round(6).to_csv(index=False, lineterminator="\n"))
    tables = [("audit", CAPTION, readable(audit)), (COST_TITLE, COST_CAPTION, readable_cost(audit))]
    publish(markdown, "\n".join(formats.markdown(*table) for table in tables))
    publish(latex, "\n".join(formats.latex(*table) for table in tables))
    parts = [formats.html_table(caption, text.map(html_verdict)) for _, caption, text in tables]
    publish(html, formats.page("audit", f"\n<h2>{COST_TITLE}</h2>\n".join(parts), STYLE))


def readable(audit: pd.DataFrame) -> pd.DataFrame:
    """Return the audit as text, indexed by data set: verdict in front, shares in percent, headings in words."""
    shares = ["zero_gradients", "zero_elements", "changed_predictions", "reached_goals", "unchanged_clips"]
    sizes = ["live_bound_ratio", "bound_ratio", "box_excess", "model_gap", "gap_allowed"]
    accuracies = ["clean", "live", "stored"]
    text = audit.rename(columns={f"{name}_accuracy": name for name in accuracies}).astype(
        {"clips": int, "iterations": int}
    )
    text[shares] = text[shares].map(lambda share: f"{100 * share:.1f} %")
    text[accuracies] = text[accuracies].map(lambda percent: f"{percent:.1f}")
    text[["start_loss", "end_loss"]] = text[["start_loss", "end_loss"]].map(lambda loss: f"{loss:.3f}")
    text[sizes] = text[sizes].map(lambda size: f"{size:.4f}")
    text.insert(3, "verdict", text.pop("verdict"))
    return text.rename(columns=lambda name: name.replace("_", " ")).astype(str).set_index("dataset")


def readable_cost(audit: pd.DataFrame) -> pd.DataFrame:
    """Return `storage_cost` as text, indexed by data set; costs with their sign."""
    text = storage_cost(audit)
    text[["live", "stored"]] = text[["live", "stored"]].map(lambda percent: f"{percent:.1f}")
    text[["cost", "largest"]] = text[["cost", "largest"]].map(lambda points: f"{points:+.1f}" if points else "0.0")
    return text.astype(str).set_index("dataset")


def html_verdict(cell: str) -> str:
    found = (MASKED, BROKEN, OTHER_MODEL, UNTOUCHED, NO_EFFECT)
    return f'<b class="masked">{cell}</b>' if cell in found else markup.escape(cell)
