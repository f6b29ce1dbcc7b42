"""The audits of all adversarial sets in one table, with a verdict on each: robustness, or a masked gradient?"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline_lib.configuration.layout_keys import clips_of_each_video
from pipeline_lib.errors import PipelineError
from pipeline_lib.records.audits import Audit
from pipeline_lib.records.columns import read_columns
from pipeline_lib.reporting.answers import NO_REACTION, ONE_ANSWER, trouble_of_answers
from pipeline_lib.reporting.clusters import per_video
from pipeline_lib.reporting.metrics import correct_clips
from pipeline_lib.reporting.paired import LEVEL
from pipeline_lib.reporting.predictions import read_by_video

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
# Attacks that are weaker than their bound allows.
WEAK = (OVERSHOT, UNFINISHED)
WEAKER = "weak attack"  # by its worst case, with the number of clips that more fall
# Numbers of such sets do not measure robustness. A set without an effect may belong to a robust model.
FAULTS = (NOT_FINITE, BROKEN, OTHER_MODEL, ONE_ANSWER, NO_REACTION, MASKED, UNTOUCHED)
ZERO_GRADIENTS_ALLOWED = 0.01
UNCHANGED_ALLOWED = 0.01
LEAST_FALL = 1.0  # percent
# Allowed fraction of the loss increase of clips still correct in the last tenth of the iterations.
LATE_RISE = 0.05
# Tolerance for the bound and for [0, 1]: above float32 rounding, below half a grey level for every bound in use.
ROUNDING = 1e-3
# Smallest relevant predicted increase, as a fraction of 1 + the loss at the start: below it the bound is too small.
LEAST_PREDICTED = 0.02
# Smallest valid ratio of actual to predicted increase. Sound attacks exceed the prediction, as cross-entropy is convex
# in the logits, but BPDA predicts too much: a ratio of 0.28 was measured on non-local means, 0.95 or more on the other
# transforms of this package.
LEAST_FOUND = 0.1
# If most elements are zero, the gradient is not one of BPDA through the identity, and has to be correct.
MOSTLY = 0.5
LEAST_FOUND_OF_FEW_ELEMENTS = 0.5
COST_COLUMNS = ("dataset", "attack", "storage", "sets", "clips", "live", "stored", "cost", "largest")


def build_audit(paths: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return one row per entry: dataset, source, attack, storage, the columns of its audit, and `verdict`.

    paths: entries with `SET_COLUMNS` and `audit`, the path of a CSV with one row of `AUDIT_COLUMNS`
        (`zero_gradients` and `changed_predictions` are fractions in 0..1, accuracies are in percent); `worst`, the
        attack of its worst case, if a study shows one; and, of a data set with several clips of each video,
        `clips_by_video` and `predictions`, the path of the source's on the set.
    """
    rows = [{**entry, **read_audit(entry["audit"])} for entry in paths]
    table = pd.DataFrame(rows, columns=[*SET_COLUMNS, *AUDIT_COLUMNS])
    sets = {(row["dataset"], row["source"], row["attack"]): row for row in rows}
    worst = [sets.get((entry["dataset"], entry["source"], entry.get("worst"))) for entry in paths]
    return table.assign(verdict=[judged(row, other) for row, other in zip(rows, worst, strict=True)])


def judged(row: Mapping[Any, Any], worst: Mapping[Any, Any] | None) -> str:
    """Return the verdict; for a set without faults whose worst case is significantly lower, how many clips more fall,
    or of how many videos, where these have several clips.

    row, worst: audits with the other keys of their entries in `build_audit`. The worst case contains the attack, so
    that no clip falls under the attack alone: of the clips (videos) that differ, all are lower in the worst case, and
    the exact paired test depends on their number only.
    """
    clips = clips_of_each_video(row)
    found = verdict(row, clips)
    if worst is None or found in FAULTS:
        return found
    more = clips_that_fall(row, worst) if clips == 1 else videos_that_fall(row, worst)
    what = f"{more} clips" if clips == 1 else f"clips of {more} videos"
    return f"{WEAKER}: {what} more fall" if 2 * 0.5**more < LEVEL else found


def clips_that_fall(row: Mapping[Any, Any], worst: Mapping[Any, Any]) -> int:
    """Return the number of clips that are correct under the attack and not in its worst case."""
    return round((row["stored_accuracy"] - worst["stored_accuracy"]) * row["clips"] / 100)


def videos_that_fall(row: Mapping[Any, Any], worst: Mapping[Any, Any]) -> int:
    """Return the number of videos of which more clips are correct under the attack than in its worst case."""
    correct = correct_clips({name: read_by_video(one["predictions"]) for name, one in (("own", row), ("worst", worst))})
    means = per_video(correct.astype(float))
    return int((means["own"] > means["worst"]).sum())


def read_audit(path: Path | str) -> dict[str, float]:
    """Return the audit's row. Raises PipelineError, with the file, unless it has one row of `AUDIT_COLUMNS`."""
    return dict(_read_audit(path, *_state(path)))


def verdict_of(path: Path | str, clips_by_video: int) -> str:
    """Return the `verdict` on the audit in a file."""
    return _verdict_of(path, clips_by_video, *_state(path))


def _state(path: Path | str) -> tuple[int, int, int]:
    state = Path(path).stat()
    return state.st_mtime_ns, state.st_size, state.st_ino


@lru_cache(maxsize=100_000)
def _verdict_of(path: Path | str, clips_by_video: int, *state: int) -> str:
    """The verdict on a file in this state: a table needs each one for its faults, marks and details."""
    return verdict(_read_audit(path, *state), clips_by_video)


@lru_cache(maxsize=100_000)
def _read_audit(path: Path | str, *_: int) -> dict[str, float]:
    """The row of a file in this state."""
    table = read_columns(path)
    missing, rows = [column for column in AUDIT_COLUMNS if column not in table], len(next(iter(table.values())))
    if missing or rows != 1:
        other = f"made by another version of this code; delete it and run again (columns {missing} are missing)"
        trouble = other if missing else f"{rows} rows"
        raise PipelineError(f"{path}: {trouble}; an audit is one row of {list(AUDIT_COLUMNS)}")
    try:
        return {
            name: int(text) if text.lstrip("-").isdecimal() else float(text or "nan") for name, [text] in table.items()
        }
    except ValueError as error:
        raise PipelineError(f"{path}: {error}; delete it and run again") from error


def verdict(audit: Mapping[Any, Any], clips_by_video: int = 1) -> str:
    """Return "ok" or the most serious fault. clips_by_video: of the data set; what counts as chance counts videos.

    Accuracies are equal if the stored one is not lower by half a clip. For a bound of 0 (`bound_ratio` 0 and all clips
    unchanged) an unchanged accuracy is correct.
    """
    # An infinite ratio means pixels outside the region, a broken bound.
    if any(math.isnan(audit[name]) for name in AUDIT_COLUMNS) or math.isinf(audit["end_loss"]):
        return NOT_FINITE
    if max(audit["bound_ratio"], audit["live_bound_ratio"]) > 1 + ROUNDING or audit["box_excess"] > ROUNDING:
        return BROKEN
    if audit["model_gap"] > audit["gap_allowed"]:
        return OTHER_MODEL
    if trouble := trouble_of_answers(audit, clips_by_video):
        return trouble
    fell, half_a_clip = audit["clean_accuracy"] - audit["stored_accuracy"], 50 / audit["clips"]
    # A random start alone changes one or two predictions.
    futile = fell < max(LEAST_FALL, half_a_clip) and loss_contradicts_gradient(audit)
    if audit["zero_gradients"] > ZERO_GRADIENTS_ALLOWED or futile:
        return MASKED
    if audit["unchanged_clips"] > UNCHANGED_ALLOWED and audit["bound_ratio"] != 0:
        return UNTOUCHED
    if fell < half_a_clip and audit["unchanged_clips"] < 1:
        return NO_EFFECT
    return NO_BOUND if audit["bound_ratio"] < 0 else finish(audit, clips_by_video)


def finish(audit: Mapping[Any, Any], clips_by_video: int = 1) -> str:
    """Return "ok", or the fault of an attack that smaller or more steps in the same bound would make stronger.

    A single clip is not significant; two are, if they are 1 % of all clips. So are two videos' clips.
    """
    counts = max(LEAST_FALL / 100, 1.5 * clips_by_video / audit["clips"])
    if audit["recovered_clips"] > counts:
        return OVERSHOT
    rising = audit["live_accuracy"] / 100 > counts and audit["last_rise"] > LATE_RISE
    return UNFINISHED if rising or audit["last_fall"] > counts else SOUND


def loss_contradicts_gradient(audit: Mapping[Any, Any]) -> bool:
    """Return whether the loss increases much less than the first gradient predicts, in the first step and in total.

    For a robust model or a weak attack the predicted increase is small.
    """
    predicted = audit["predicted_increase"]
    found = max(audit["first_rise"], audit["end_loss"] - audit["start_loss"])
    fraction = LEAST_FOUND_OF_FEW_ELEMENTS if audit["zero_elements"] > MOSTLY else LEAST_FOUND
    return predicted > LEAST_PREDICTED * (1 + audit["start_loss"]) and found < fraction * predicted


def storage_cost(audit: pd.DataFrame) -> pd.DataFrame:
    """Return one row per data set, attack and storage: sets, clips, live and stored accuracy, cost, largest.

    cost: stored minus live accuracy in points, over all clips; positive if the stored attack is weaker. largest: the
    cost with the largest magnitude of a single set.
    """
    rows = []
    for names, sets in audit.groupby(["dataset", "attack", "storage"]):
        live, stored = (np.average(sets[f"{kind}_accuracy"], weights=sets["clips"]) for kind in ("live", "stored"))
        costs = (sets["stored_accuracy"] - sets["live_accuracy"]).to_numpy()
        largest = costs[np.abs(costs).argmax()]
        rows.append((*names, len(sets), int(sets["clips"].sum()), live, stored, stored - live, largest))
    return pd.DataFrame(rows, columns=list(COST_COLUMNS)).round(6)
