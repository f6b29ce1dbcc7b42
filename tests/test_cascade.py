"""Unions by cascades: the flags of every attack on every clip, at less than their cost; planned instead of the sets."""

import csv
import logging
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import tiny
from configured import CONFIG, resolved
from pipeline_lib.configuration.layouts import Layouts
from pipeline_lib.configuration.parameters import cascade_entry
from pipeline_lib.configuration.paths import Paths
from pipeline_lib.configuration.studies import used_cells, used_models
from pipeline_lib.errors import PipelineError
from pipeline_lib.evaluation import source
from pipeline_lib.evaluation.cascade import Step, make_union
from pipeline_lib.evaluation.prediction import predict
from pipeline_lib.evaluation.source import Run, Settings, Source
from sets import CPU, attacked
from test_worst_cases import configured
from training_runs import trained

WEAK = tiny.PGD | {"perturbation": tiny.PGD["perturbation"] | {"epsilon": 29 / 255, "step_size": 15 / 255}}
STRONG = tiny.PGD | {"perturbation": tiny.PGD["perturbation"] | {"epsilon": 31 / 255, "step_size": 16 / 255}}
ATTACKS = {"weak": WEAK, "roa": tiny.ROA, "l1": tiny.L1, "strong": STRONG}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """Forty clips, a plain model and one with branches."""
    folder = tmp_path_factory.mktemp("cascade")
    clips = tiny.write_clips(folder / "clips.h5", count=40)
    training = {"training": tiny.TRAINING | {"epochs": 4}}
    trained(folder, tiny.model_entry(tiny.STANDARD) | training, clips, "plain")
    trained(folder, tiny.model_entry(tiny.MULTIBN) | training, clips, "branched")
    return folder


def correct(path: Path) -> np.ndarray:
    with path.open() as file:
        return np.array([row["label"] == row["prediction"] for row in csv.DictReader(file)])


def clean_of(models: Path, out: Path, model: str, branch: str | None = None) -> Path:
    path = out / "clean.csv"
    predict(
        Source(weights=models / f"{model}.pt", branch=branch),
        clips=models / "clips.h5",
        output=path,
        settings=Settings(batch_size=10, device=CPU),
    )
    return path


def union_of(models: Path, out: Path, steps: list[Step], clean: list[Path], model: str = "plain") -> Path:
    make_union(
        steps,
        weights=models / f"{model}.pt",
        clips=models / "clips.h5",
        clean=clean,
        run=Run(folder=out / "runs", code="code"),
        settings=Settings(batch_size=10, device=CPU),
        output=out / "union.csv",
    )
    return out / "union.csv"


@pytest.mark.parametrize(("model", "branches"), [("plain", {}), ("branched", {"weak": "lp", "roa": "lp"})])
def test_its_flags_are_those_of_every_attack_on_every_clip(models, tmp_path, model, branches, caplog):
    own = {name: branches.get(name, "clean" if branches else None) for name in ATTACKS}
    clean = clean_of(models, tmp_path, model, own["strong"])
    alone = {
        name: attacked(models, tmp_path / name, entry, batch_size=10, model=model, branch=own[name])
        for name, entry in ATTACKS.items()
    }
    flags = np.stack([correct(out / "predictions.csv") for out in alone.values()])
    expected = correct(clean) & flags.all(0)
    steps = [Step(name=name, entry=entry, branch=own[name]) for name, entry in ATTACKS.items()]
    with caplog.at_level(logging.INFO, "pipeline_lib"):
        union = union_of(models, tmp_path, steps, [clean], model)
    assert np.array_equal(correct(union), expected)
    standing = [int((correct(clean) & flags[:i].all(0)).sum()) for i in range(5)]
    # Two attacks or more fool clips that stand, and some clips withstand all.
    assert len(set(standing)) > 2
    assert standing.pop() == expected.sum() > 0
    line = ", ".join(f"{name} {count}" for name, count in zip(ATTACKS, standing, strict=True))
    # An attack has two passes with a gradient, and one without.
    cost = f"about {3 * sum(standing)} passes, {100 * sum(standing) / 160:.0f} % of those of all attacks on all clips"
    assert f"union: clips per attack in sequence: {line}, of 40; {cost}" in caplog.messages
    assert np.array_equal(correct(union_of(models, tmp_path / "again", steps[::-1], [clean], model)), expected)


def test_without_clean_columns_all_clips_are_attacked(models, tmp_path):
    out = attacked(models, tmp_path / "weak", WEAK, batch_size=10)
    union = union_of(models, tmp_path, [Step(name="weak", entry=WEAK)], [])
    assert union.read_text() == (out / "predictions.csv").read_text()


def test_a_clip_costs_its_attack_and_one_forward_pass(models, tmp_path, monkeypatch):
    """The set of an attack scores clean, live and stored clips, and one clip of a batch for its audit."""
    counts = Counter()
    original = source.load_model

    def counting(*arguments):
        trained = original(*arguments)
        trained.network.register_forward_pre_hook(
            lambda _, given: counts.update({given[0].requires_grad: len(given[0])})
        )
        return trained

    monkeypatch.setattr(source, "load_model", counting)
    union_of(models, tmp_path, [Step(name="weak", entry=WEAK)], [])
    assert counts == {True: 40 * WEAK["steps"], False: 40}
    counts.clear()
    attacked(models, tmp_path / "weak", WEAK, batch_size=10)
    assert counts == {True: 40 * WEAK["steps"], False: 3 * 40 + 4}


def test_it_continues_where_it_was_stopped(models, tmp_path, monkeypatch):
    """Asked to stop after every batch."""
    clean, steps = clean_of(models, tmp_path, "plain"), [Step(name=name, entry=each) for name, each in ATTACKS.items()]
    whole = union_of(models, tmp_path / "whole", steps, [clean]).read_text()

    class Asked:
        def __enter__(self):
            return lambda: True

        def __exit__(self, *error):
            return None

    monkeypatch.setattr("pipeline_lib.evaluation.cascade.stop_requests", Asked)
    stops = 0
    while not (tmp_path / "union.csv").exists():
        try:
            union_of(models, tmp_path, steps, [clean])
        except SystemExit:
            stops += 1
        assert stops < 30, "nothing is kept"
    assert stops > 4
    assert (tmp_path / "union.csv").read_text() == whole
    assert not list((tmp_path / "runs").rglob("clips*.npz"))


def test_predictions_of_other_clips_are_refused(models, tmp_path):
    clean = clean_of(models, tmp_path, "plain")
    clean.write_text("\n".join(clean.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(PipelineError, match=r"clean.csv: Right/v_39.avi is missing"):
        union_of(models, tmp_path, [Step(name="weak", entry=WEAK)], [clean])


STUDY = "studies.multibn_white_box"
UNION = (f"{STUDY}.union", "cascade"), (f"{STUDY}.summaries", ["union"])


def test_a_study_of_cascades_plans_one_job_per_row_and_no_set():
    plan = configured(*UNION)
    study = plan["studies"]["multibn_white_box"]
    assert study["columns"] == ["clean", "union"]
    manual = study["cascades"]["multibn_manual-s0"]
    assert manual["model"] == "multibn_manual-s0"
    assert manual["clean"] == [{"target": "multibn_manual-s0-clean", "attack": "clean", "source": None}]
    assert {step["attack"]: step["branch"] for step in manual["attacks"]} == {
        **{"pgd": "lp", "roa": "physical"},
        **{"af": "physical", "spa": "lp"},
    }
    layouts = Layouts(plan, Paths("out"), "")
    row = next(row for row in layouts.studies["multibn_white_box"]["rows"] if row["label"] == "MultiBN-manual")
    assert row["cells"] == {
        "clean": ["out/synthetic/predictions/multibn_manual-s0-clean/clean.csv"],
        "union": ["out/synthetic/unions/multibn_white_box/multibn_manual-s0.csv"],
    }
    others = {name: each for name, each in CONFIG["studies"].items() if name != "multibn_white_box"}
    without = resolved(CONFIG | {"studies": others, "figures": {}})
    with_cascades = configured(*UNION, ("figures", {}))

    def sets(plan: dict) -> set:
        return {(dataset, *cell.values()) for dataset, cell in used_cells(plan) if cell["attack"] != "clean"}

    assert sets(with_cascades) == sets(without)
    assert {"at_spa-s0", "multibn_manual-s0"} <= {*used_models(with_cascades)}


def test_attacks_in_a_set_that_a_model_is_trained_in_come_last():
    cascades = configured(*UNION)["studies"]["multibn_white_box"]["cascades"]
    orders = {name: [step["attack"] for step in each["attacks"]] for name, each in cascades.items()}
    assert orders["no_defense-s0"] == ["pgd", "roa", "af", "spa"]
    assert orders["at_pgd-s0"] == ["roa", "af", "spa", "pgd"]
    # Trained on the divergence in PGD's bound, from another start.
    assert orders["trades-s0"] == ["roa", "af", "spa", "pgd"]
    assert orders["avg-s0"] == orders["multibn-s0"] == ["af", "spa", "pgd", "roa"]
    given = configured((f"{STUDY}.union", ["spa", "af", "roa", "pgd", "clean"]), UNION[1])
    order = [step["attack"] for step in given["studies"]["multibn_white_box"]["cascades"]["at_pgd-s0"]["attacks"]]
    assert order == ["spa", "af", "roa", "pgd"]


def test_the_union_of_worst_cases_is_a_cascade_beside_it():
    plan = configured(*UNION, (f"{STUDY}.beside", "worst_case"))
    study = plan["studies"]["multibn_white_box"]
    steps = cascade_entry(plan, "multibn_white_box", "avg-s0-worst")
    assert [step["attack"] for step in steps] == ["af_worst", "spa_worst", "pgd_worst", "roa_worst"]
    assert steps[0]["entry"] == plan["attacks"]["af_worst"]
    assert len(study["cascades"]) == 2 * len(study["rows"])
    row = Layouts(plan, Paths("out"), "").studies["multibn_white_box"]["rows"][0]
    path = "out/synthetic/unions/multibn_white_box/no_defense-s0-worst.csv"
    assert row["worst"] == {"union": {"cells": [path], "audits": []}}


REFUSED = {
    "summary": ([UNION[0], (f"{STUDY}.summaries", ["mean"])], "a cascade gives the union only, not the summary 'mean'"),
    "order": ([(f"{STUDY}.union", ["pgd", "roa"]), UNION[1]], "an order has each column once; known: af, clean, pgd"),
    "transfer": ([(f"{STUDY}.source", "surrogate"), *UNION], "a cascade attacks one model itself, and this row has"),
    "value": ([(f"{STUDY}.union", "matrix"), UNION[1]], "studies.multibn_white_box.union"),
    "two models": (
        [("studies.oudefend.union", "cascade"), ("studies.oudefend.parameters", True)],
        "a cascade gives the union only, not `parameters`",
    ),
    "labels": (
        [*UNION, (f"{STUDY}.rows", {"A b": "standard", "A-b": "standard"})],
        "rows.A-b: two rows are named 'a_b-s0'",
    ),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_studies_that_no_cascade_can_give(changes, message):
    with pytest.raises(PipelineError, match=re.escape(message)):
        configured(*changes)
