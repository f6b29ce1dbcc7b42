"""The table of audits: its numbers, the verdicts, and what storing costs."""

import re
from pathlib import Path

import pandas as pd
import pytest

from pipeline_lib.errors import PipelineError
from pipeline_lib.reporting.audit_files import html_verdict, write_audit
from pipeline_lib.reporting.audits import AUDIT_COLUMNS, build_audit, storage_cost

CAPTIONS = (Path(__file__).parents[1] / "workflow/report/audit.rst").read_text()
KINDS = {"csv": "csv", "markdown": "md", "latex": "tex", "html": "html"}
ANSWERS = {"classes": 2, "one_answer": 0.5, "answer_entropy": 1.0, "balanced_accuracy": 90.0}
CONTRADICTED = {"stored_accuracy": 90.0, "end_loss": 0.21, "predicted_increase": 0.4, "first_rise": 0.01}
BARELY = CONTRADICTED | {"first_rise": 0.001, "end_loss": 0.2005}


def audit_entry(folder: Path, storage: str = "lattice", attack: str = "pgd", **changes: float) -> dict[str, str]:
    facts = dict.fromkeys(AUDIT_COLUMNS, 0.0) | {
        "clips": 300,
        "iterations": 5,
        "start_loss": 0.2,
        "end_loss": 3.0,
        "bound_ratio": 1.0,
        "gap_allowed": 0.05,
    }
    facts |= {"clean_accuracy": 90.0, "live_accuracy": 20.0, "stored_accuracy": 20.0} | changes
    path = folder / f"{len(list(folder.iterdir()))}.audit.csv"
    pd.DataFrame([facts]).to_csv(path, index=False)
    named = {"dataset": "synthetic", "source": "no_defense", "attack": attack, "storage": storage}
    return named | {"audit": str(path)}


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "ok"),
        ({"end_loss": float("nan")}, "not finite"),
        ({"end_loss": float("inf")}, "not finite"),
        ({"model_gap": float("nan"), "bound_ratio": 2.0}, "not finite"),  # before all others
        ({"zero_elements": 0.9}, "ok"),  # a fact: a median of nine hands its gradient to one
        ({"bound_ratio": 1.0009}, "ok"),  # rounding
        ({"bound_ratio": 1.001, "live_bound_ratio": 1.001, "box_excess": 0.001}, "ok"),
        ({"bound_ratio": 1.01}, "bound broken"),
        ({"live_bound_ratio": 1.01}, "bound broken"),
        ({"bound_ratio": float("inf")}, "bound broken"),  # pixels outside the region
        ({"box_excess": 0.01}, "bound broken"),
        ({"box_excess": 0.01, "zero_gradients": 1.0}, "bound broken"),  # the gravest first
        ({"model_gap": 0.05}, "ok"),
        ({"model_gap": 0.06}, "other model evaluated"),
        ({"model_gap": 0.06, "gap_allowed": 0.2}, "ok"),  # an attack in bf16
        ({"model_gap": 0.21, "gap_allowed": 0.2}, "other model evaluated"),
        ({"zero_gradients": 0.01}, "ok"),
        ({"unchanged_clips": 0.01}, "ok"),
        ({"unchanged_clips": 0.02}, "clips left out"),
        ({"unchanged_clips": 1.0, "bound_ratio": 0.0}, "ok"),  # nothing was allowed to move
        ({"zero_gradients": 0.0101}, "masked gradient"),
        (CONTRADICTED, "masked gradient"),
        (CONTRADICTED | {"stored_accuracy": 90.5}, "masked gradient"),  # a start of noise
        (CONTRADICTED | {"stored_accuracy": 89.1}, "masked gradient"),
        (CONTRADICTED | {"stored_accuracy": 88.9}, "ok"),  # such a step is too large for a prediction, and it works
        (CONTRADICTED | {"predicted_increase": 0.02}, "no effect"),  # a robust model, or a weak attack
        (CONTRADICTED | {"first_rise": 0.05}, "no effect"),  # BPDA predicts too much
        (CONTRADICTED | {"end_loss": 0.25}, "no effect"),
        (CONTRADICTED | {"first_rise": 0.1, "zero_elements": 0.6}, "masked gradient"),
        (CONTRADICTED | {"first_rise": 0.25, "zero_elements": 0.6}, "no effect"),  # no attack at all, but a sound one
        (CONTRADICTED | {"stored_accuracy": 89.0}, "ok"),
        (CONTRADICTED | {"first_rise": 0.1, "zero_elements": 0.5}, "no effect"),
        (CONTRADICTED | {"first_rise": 0.05, "predicted_increase": 0.5}, "no effect"),  # a tenth of it
        (BARELY | {"predicted_increase": 0.024}, "no effect"),  # 2 % of 1 + the loss at the start
        (BARELY | {"predicted_increase": 0.03}, "masked gradient"),
        ({"stored_accuracy": 90.0}, "no effect"),
        ({"stored_accuracy": 90.0001}, "no effect"),  # rounding, not a clip
        ({"stored_accuracy": 90.0 - 100 / 300}, "ok"),  # one clip
        ({"stored_accuracy": 89.5, "clips": 100}, "ok"),  # half a clip
        ({"stored_accuracy": 90.0, "bound_ratio": 0.0, "unchanged_clips": 1.0}, "ok"),  # nothing was allowed to move
        ({"stored_accuracy": 90.0, "bound_ratio": 0.0}, "no effect"),  # black pixels that stayed black
        ({"recovered_clips": 0.011}, "last iterate worse"),  # steps that are too large
        ({"recovered_clips": 0.01, "last_fall": 0.01, "last_rise": 0.05}, "ok"),
        ({"recovered_clips": 0.02, "clips": 60}, "ok"),  # one clip
        ({"last_fall": 0.011}, "not converged"),
        ({"last_rise": 0.051}, "not converged"),
        ({"last_rise": 0.9, "live_accuracy": 1.0}, "ok"),  # nothing is left to attack
        ({"last_rise": 0.9, "live_accuracy": 1.005}, "not converged"),
        ({"last_rise": 0.9, "recovered_clips": 0.1, "zero_gradients": 1.0}, "masked gradient"),  # the gravest first
        (ANSWERS, "ok"),
        (ANSWERS | {"answer_entropy": 0.09, "zero_gradients": 1.0}, "one answer"),
        (ANSWERS | {"answer_entropy": 0.1}, "ok"),
        (ANSWERS | {"answer_entropy": 0.11}, "ok"),  # many answers are equal, but they follow the labels
        (ANSWERS | {"balanced_accuracy": 54.6}, "answers at random"),  # less than 50 + 2 * 100 * sqrt(0.25 / 300)
        (ANSWERS | {"balanced_accuracy": 55.8}, "ok"),
        (ANSWERS | {"balanced_accuracy": 55.0, "clips": 400}, "ok"),  # 50 + 2 * 100 * sqrt(0.25 / 400)
        (ANSWERS | {"balanced_accuracy": 0.0, "classes": 1}, "ok"),  # one class tells nothing
    ],
)
def test_verdict(tmp_path: Path, changes: dict[str, float], verdict: str) -> None:
    audit = build_audit([audit_entry(tmp_path, **changes)])
    assert audit["verdict"].tolist() == [verdict]
    assert audit.columns.tolist() == ["dataset", "source", "attack", "storage", *AUDIT_COLUMNS, "verdict"]


def test_the_written_audit_says_the_rule_and_the_verdict(tmp_path: Path) -> None:
    audit = build_audit([audit_entry(tmp_path, zero_gradients=0.4)])
    paths = {kind: tmp_path / f"out.{suffix}" for kind, suffix in KINDS.items()}
    write_audit(audit, CAPTIONS, **paths)
    pd.testing.assert_frame_equal(pd.read_csv(paths["csv"]), audit, check_dtype=False)
    for kind in ("markdown", "latex", "html"):
        text = paths[kind].read_text()
        assert "40.0" in text
        assert text.count("masked gradient") == (
            3 if kind == "html" else 2
        )  # caption and cell; and among the exceptions
    assert '<b class="masked">masked gradient</b>' in paths["html"].read_text()


def test_what_storing_costs_is_over_all_clips_of_an_attack_and_the_largest_of_one_set(tmp_path: Path) -> None:
    """30 of 100 and 30 of 300 live clips are correct, 33 and 27 stored ones: none of 400 in sum, 3 points at most."""
    sets = [
        audit_entry(tmp_path, clips=100, live_accuracy=30.0, stored_accuracy=33.0),
        audit_entry(tmp_path, clips=300, live_accuracy=10.0, stored_accuracy=9.0),
        audit_entry(tmp_path, clips=300, live_accuracy=10.0, stored_accuracy=12.0, attack="l2"),
        audit_entry(tmp_path, clips=300, live_accuracy=10.0, stored_accuracy=10.0, attack="l2", storage="float32"),
    ]
    audit = build_audit(sets)
    cost = storage_cost(audit).set_index(["attack", "storage"])
    assert cost.loc[("pgd", "lattice"), "sets":].tolist() == [2, 400, 15.0, 15.0, 0.0, 3.0]
    assert cost.loc[("l2", "lattice"), "sets":].tolist() == [1, 300, 10.0, 12.0, 2.0, 2.0]
    assert cost.loc[("l2", "float32"), "sets":].tolist() == [1, 300, 10.0, 10.0, 0.0, 0.0]
    third = storage_cost(build_audit([audit_entry(tmp_path, live_accuracy=100 / 3, stored_accuracy=100 / 3)]))
    assert third[["live", "stored"]].to_numpy().tolist() == [[33.333333, 33.333333]]
    paths = {kind: tmp_path / f"out.{suffix}" for kind, suffix in KINDS.items()}
    write_audit(audit, CAPTIONS, **paths)
    row = ["l2", "lattice", "1", "300", "10.0", "12.0", "+2.0", "+2.0"]
    for kind, between in {"markdown": r"\s*\|\s*", "latex": r"\s*&\s*", "html": r"\s*</td><td>\s*"}.items():
        assert re.search(between.join(map(re.escape, row)), paths[kind].read_text()), kind


def test_an_incomplete_audit_is_named(tmp_path: Path) -> None:
    entry = audit_entry(tmp_path)
    Path(entry["audit"]).write_text("clips\n3\n")
    with pytest.raises(PipelineError, match=r"audit\.csv: made by another version .*\(columns \['iterations'"):
        build_audit([entry])
    Path(entry["audit"]).write_text(",".join(AUDIT_COLUMNS) + "\n")
    with pytest.raises(PipelineError, match=r"audit\.csv: 0 rows"):
        build_audit([entry])


@pytest.mark.parametrize(
    ("worst", "changes", "verdict"),
    [
        (20 - 5 / 3, {}, "ok"),  # 5 of 300 clips more: p = 2 / 2 ** 5
        (18.0, {}, "weak attack: 6 clips more fall"),
        (2.0, {"recovered_clips": 0.1}, "weak attack: 54 clips more fall"),
        (2.0, {"zero_gradients": 1.0}, "masked gradient"),
        (20.0, {"recovered_clips": 0.1}, "last iterate worse"),
    ],
)
def test_a_set_is_judged_by_its_worst_case(tmp_path, worst, changes, verdict):
    entries = [
        audit_entry(tmp_path, **changes) | {"worst": "pgd_worst"},
        audit_entry(tmp_path, attack="pgd_worst", stored_accuracy=worst, live_accuracy=worst),
        audit_entry(tmp_path, attack="other_worst", stored_accuracy=0.0),
    ]
    audit = build_audit(entries)
    assert audit["verdict"].tolist() == [verdict, "ok", "ok"]
    kinds = {"ok": "", "masked gradient": "fault"}
    assert html_verdict(verdict).kind == kinds.get(verdict, "weak")


def test_the_page_begins_with_the_exceptions_and_has_all_sets_behind(tmp_path: Path) -> None:
    sets = [audit_entry(tmp_path, attack="sound"), audit_entry(tmp_path, attack="weak", recovered_clips=0.1)]
    sets += [audit_entry(tmp_path, attack="masked", zero_gradients=1.0)]
    paths = {kind: tmp_path / f"out.{suffix}" for kind, suffix in KINDS.items()}
    write_audit(build_audit(sets), CAPTIONS, **paths)
    first, _, rest = paths["html"].read_text().partition("<details>")
    assert "Exceptions: 2 of 3 adversarial sets; 1 of these measure no robustness." in first
    assert re.findall(r"<td>(sound|weak|masked)</td>", first) == ["masked", "weak"]
    assert re.findall(r"<td>(sound|weak|masked)</td>", rest)[:3] == ["sound", "weak", "masked"]
    write_audit(build_audit(sets[:1]), CAPTIONS, **paths)
    assert "No exception: each of the 1 adversarial sets is sound." in paths["html"].read_text()
