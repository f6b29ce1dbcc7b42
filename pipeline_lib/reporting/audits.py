"""The audits of the adversarial sets in one table, with a verdict on each: robustness, or a masked gradient?"""

import html as markup
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline_lib.errors import PipelineError
from pipeline_lib.records.audits import Audit
from pipeline_lib.reporting import formats
from pipeline_lib.reporting.publish import publish

AUDIT_COLUMNS = Audit._fields
SET_COLUMNS = ("dataset", "source", "attack", "storage")
SOUND = "ok"
NOT_FINITE = "not finite"
MASKED = "masked gradient"
BROKEN = "bound broken"
OTHER_MODEL = "other model evaluated"
UNTOUCHED = "clips left out"
NO_EFFECT = "no effect"
NO_BOUND = "no bound stated"
OVERSHOT = "last iterate worse"
UNFINISHED = "not converged"
# Sets of attacks that leave more than their bound does.
WEAK = (OVERSHOT, UNFINISHED)
# Numbers of such sets measure no robustness. A set without an effect may be one of a robust model.
FAULTS = (NOT_FINITE, BROKEN, OTHER_MODEL, MASKED, UNTOUCHED)
ZERO_GRADIENTS_ALLOWED = 0.01
UNCHANGED_ALLOWED = 0.01
FELL = 1.0  # percent
# Of the rise of the loss of clips that are still correct: what may come of the last tenth of the iterations.
LATE_RISE = 0.05
# Of the bound and of [0, 1]: above the rounding of float32, below half a grey level for every bound in use.
ROUNDING = 1e-3
# A predicted increase that counts, of 1 + the loss at the start: below it the bound is too small to tell.
LEAST_PREDICTED = 0.02
# What must come of it at least. A sound attack exceeds the prediction, as cross-entropy is convex in the logits, but
# BPDA predicts too much: 0.28 of it came of a step on non-local means, 0.95 or more on the other transforms of this
# package.
LEAST_FOUND = 0.1
# Where most elements are zero, the gradient is no BPDA through the identity, and has to be correct.
MOSTLY = 0.5
LEAST_FOUND_OF_FEW_ELEMENTS = 0.5
COST_TITLE = "storage"
COST_COLUMNS = ("dataset", "attack", "storage", "sets", "clips", "live", "stored", "cost", "largest")

STYLE = """
td:nth-child(-n+5), th:nth-child(-n+5) { text-align: left; }
h2 ~ .scroll :is(td, th):nth-child(n+4) { text-align: right; }
b.masked { color: #a83200; }
"""


def build_audit(paths: Sequence[Mapping[str, str]]) -> pd.DataFrame:
    """Return one row per entry: dataset, source, attack, storage, the columns of its audit, and `verdict`.

    paths: entries with `SET_COLUMNS` and `audit`, the path of a CSV with one row of `AUDIT_COLUMNS`
        (`zero_gradients` and `changed_predictions` are fractions in 0..1, accuracies are in percent).
    """
    rows = [{**{name: entry[name] for name in SET_COLUMNS}, **read_audit(entry["audit"])} for entry in paths]
    table = pd.DataFrame(rows, columns=[*SET_COLUMNS, *AUDIT_COLUMNS])
    return table.assign(verdict=[verdict(row) for row in table.to_dict("records")])


def read_audit(path: Path | str) -> dict[str, float]:
    """Return the audit's one row; PipelineError naming the file if it is not one row of `AUDIT_COLUMNS`."""
    table = pd.read_csv(path)
    missing = [column for column in AUDIT_COLUMNS if column not in table]
    if missing or len(table) != 1:
        other = f"made by another version of this code; delete it and run again (columns {missing} are missing)"
        trouble = other if missing else f"{len(table)} rows"
        raise PipelineError(f"{path}: {trouble}; an audit is one row of {list(AUDIT_COLUMNS)}")
    return {str(name): value for name, value in table.to_dict("records")[0].items()}


def verdict(audit: Mapping[Any, Any]) -> str:
    """Return "ok" or what is wrong, the gravest first.

    Accuracies are the same if the stored one is not lower by half a clip. An attack that was allowed to move nothing
    (`bound_ratio` 0 and all clips unchanged) may well leave the accuracy as it is.
    """
    # An infinite ratio is one of pixels outside the region.
    if any(math.isnan(audit[name]) for name in AUDIT_COLUMNS) or math.isinf(audit["end_loss"]):
        return NOT_FINITE
    if max(audit["bound_ratio"], audit["live_bound_ratio"]) > 1 + ROUNDING or audit["box_excess"] > ROUNDING:
        return BROKEN
    if audit["model_gap"] > audit["gap_allowed"]:
        return OTHER_MODEL
    fell, half_a_clip = audit["clean_accuracy"] - audit["stored_accuracy"], 50 / audit["clips"]
    # A random start turns a clip or two by itself.
    futile = fell < max(FELL, half_a_clip) and loss_contradicts_gradient(audit)
    if audit["zero_gradients"] > ZERO_GRADIENTS_ALLOWED or futile:
        return MASKED
    if audit["unchanged_clips"] > UNCHANGED_ALLOWED and audit["bound_ratio"] != 0:
        return UNTOUCHED
    if fell < half_a_clip and audit["unchanged_clips"] < 1:
        return NO_EFFECT
    return NO_BOUND if audit["bound_ratio"] < 0 else finish(audit)


def finish(audit: Mapping[Any, Any]) -> str:
    """Return "ok", or how the attack would be stronger with smaller or more steps in the same bound.

    A clip is no sign: two are, if they are a hundredth of all.
    """
    counts = max(FELL / 100, 1.5 / audit["clips"])
    if audit["recovered_clips"] > counts:
        return OVERSHOT
    climbing = audit["live_accuracy"] / 100 > counts and audit["last_rise"] > LATE_RISE
    return UNFINISHED if climbing or audit["last_fall"] > counts else SOUND


def loss_contradicts_gradient(audit: Mapping[Any, Any]) -> bool:
    """Return whether the first gradient says that the first step raises the loss, and neither that nor the end does.

    Of a model that is robust, or an attack that is weak, the gradient predicts little.
    """
    predicted = audit["predicted_increase"]
    found = max(audit["first_rise"], audit["end_loss"] - audit["start_loss"])
    fraction = LEAST_FOUND_OF_FEW_ELEMENTS if audit["zero_elements"] > MOSTLY else LEAST_FOUND
    return predicted > LEAST_PREDICTED * (1 + audit["start_loss"]) and found < fraction * predicted


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


def write_audit(audit: pd.DataFrame, captions: str, *, csv: Path, markdown: Path, latex: Path, html: Path) -> None:
    """Write the audit as CSV, and rounded for reading, with what storing costs each attack below it, as Markdown,
    LaTeX (booktabs) and an HTML page.

    captions: two paragraphs, one for each of the two tables (`workflow/report/audit.rst`).
    """
    of_audit, of_cost = (" ".join(paragraph.split()) for paragraph in captions.strip().split("\n\n"))
    publish(csv, audit.round(6).to_csv(index=False, lineterminator="\n"))
    tables = [("audit", of_audit, readable(audit)), (COST_TITLE, of_cost, readable_cost(audit))]
    publish(markdown, "\n".join(formats.markdown(*table) for table in tables))
    publish(latex, "\n".join(formats.latex(*table) for table in tables))
    parts = [formats.html_table(caption, text.map(html_verdict)) for _, caption, text in tables]
    publish(html, formats.page("audit", f"\n<h2>{COST_TITLE}</h2>\n".join(parts), STYLE))


def readable(audit: pd.DataFrame) -> pd.DataFrame:
    """Return the audit as text, indexed by data set: verdict in front, fractions in percent, headings in words."""
    fractions = ["zero_gradients", "zero_elements", "changed_predictions", "reached_goals", "unchanged_clips"]
    fractions += ["recovered_clips", "last_fall", "last_rise"]
    sizes = ["live_bound_ratio", "bound_ratio", "box_excess", "model_gap", "gap_allowed"]
    accuracies = ["clean", "live", "stored"]
    text = audit.rename(columns={f"{name}_accuracy": name for name in accuracies}).astype(
        {"clips": int, "iterations": int}
    )
    text[fractions] = text[fractions].map(lambda fraction: f"{100 * fraction:.1f} %")
    text[accuracies] = text[accuracies].map(lambda percent: f"{percent:.1f}")
    losses = ["start_loss", "end_loss", "predicted_increase", "first_rise"]
    text[losses] = text[losses].map(lambda loss: f"{loss:.3f}")
    text[sizes] = text[sizes].map(lambda size: f"{size:.4f}" if size >= 0 else "none")
    text.insert(3, "verdict", text.pop("verdict"))
    return text.rename(columns=lambda name: name.replace("_", " ")).astype(str).set_index("dataset")


def readable_cost(audit: pd.DataFrame) -> pd.DataFrame:
    """Return `storage_cost` as text, indexed by data set; costs with their sign."""
    text = storage_cost(audit)
    text[["live", "stored"]] = text[["live", "stored"]].map(lambda percent: f"{percent:.1f}")
    text[["cost", "largest"]] = text[["cost", "largest"]].map(lambda points: f"{points:+.1f}" if points else "0.0")
    return text.astype(str).set_index("dataset")


def html_verdict(cell: str) -> str:
    return f'<b class="masked">{cell}</b>' if cell in (*FAULTS, NO_EFFECT, *WEAK) else markup.escape(cell)
