"""Adversarial sets: exact on disk, tied to their clips, audited, and independent of batches."""

import json
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn

import tiny
from pipeline_lib.attacks import craft
from pipeline_lib.attacks.losses import attacking
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.clips.adversarial_store import AdversarialClips
from pipeline_lib.clips.loader import as_clips
from pipeline_lib.clips.seal import block_size, seal
from pipeline_lib.clips.store import Clips
from pipeline_lib.entries.building import build
from pipeline_lib.errors import PipelineError
from pipeline_lib.evaluation.recording import FirstStep, RecordedLoss
from pipeline_lib.models.trained import load_model
from sets import CPU, attacked, frames_of, predicted_again, rows_of
from stores import flip, offset_of
from training_runs import trained

SELECTING = tiny.MULTIBN | {"method": "pipeline_lib.defenses.multibn:MultiBN", "selector": tiny.NETWORK}


@pytest.fixture(scope="module")
def made(made) -> Path:
    """Also with models that have branches."""
    trained(made, tiny.model_entry(tiny.MULTIBN), made / "clips.h5", "branched")
    trained(made, tiny.model_entry(SELECTING), made / "clips.h5", "selecting")
    return made


def test_stored_clips_stay_in_the_bound_on_the_lattice(made, tmp_path):
    frames = frames_of(made, attacked(made, tmp_path)).astype(int)
    clean = Clips(made / "clips.h5").read(range(10)).astype(int)
    assert 0 < np.abs(frames - clean).max() <= 8


def test_a_set_states_what_it_is_made_of(made, tmp_path):
    attacked(made, tmp_path, model="branched", branch="lp", seed=7, batch_size=5, precision="bf16")
    with h5py.File(tmp_path / "set.h5") as file:
        assert json.loads(file.attrs["entry"]) == {
            **{"attack": tiny.PGD, "source": tiny.model_entry(tiny.MULTIBN), "branch": "lp"},
            **{"seed": 7, "batch_size": 5, "precision": "bf16"},
        }


SQUARE = {"method": "pipeline_lib.attacks.square:Square", "inside": tiny.PGD, "queries": 5}
STRONGEST = {"method": "pipeline_lib.attacks.strongest:Strongest", "attacks": [tiny.PGD, tiny.PGD | {"steps": 5}]}


@dataclass(frozen=True)
class Times:
    """A multiple of a loss: one below zero helps the network."""

    factor: float

    def __call__(self, loss: Loss) -> Loss:
        return lambda clips: self.factor * loss(clips)


@pytest.mark.parametrize("factor", [None, -1.0])
@pytest.mark.parametrize("entry", [tiny.PGD, tiny.ROA, SQUARE, STRONGEST], ids=["pgd", "roa", "square", "strongest"])
def test_a_set_holds_what_craft_returns(made, tmp_path, entry, factor):
    loss = {"loss": {"method": f"{__name__}:Times", "factor": factor}} if factor else {}
    out, attack, data = attacked(made, tmp_path, entry | loss, seed=3), build(entry), Clips(made / "clips.h5")
    clean, labels = as_clips(data.read(range(10)), CPU), torch.from_numpy(data.labels)
    given = {"loss": Times(factor)} if factor else {}
    live = craft(load_model(made / "plain.pt", CPU).network, clean, labels, attack, seed=3, names=data.videos, **given)
    expected = attack.quantize(live, clean)
    # Batches of other sizes round differently, which moves a pixel to the next level at most.
    assert ((as_clips(frames_of(made, out), CPU) - expected).abs() > 1e-6).float().mean() < 0.01


def test_same_bytes_again_and_the_same_clips_whatever_the_batches(made, tmp_path):
    first, again, single = (
        attacked(made, tmp_path / name, batch_size=size) for name, size in zip("abc", (4, 4, 1), strict=True)
    )
    assert (first / "set.h5").read_bytes() == (again / "set.h5").read_bytes()
    # Convolutions round differently for another batch size; the draws are the same, so hardly a pixel moves.
    assert (frames_of(made, first) != frames_of(made, single)).mean() < 0.01


def test_white_box_predictions_are_those_of_the_stored_clips(made, tmp_path):
    out = attacked(made, tmp_path)
    assert predicted_again(made, out) == (out / "predictions.csv").read_text()


def test_audit_and_trace_tell_what_happened(made, tmp_path):
    out = attacked(made, tmp_path)
    (audit,), trace = rows_of(out / "audit.csv"), rows_of(out / "trace.csv")
    correct = [row["label"] == row["prediction"] for row in rows_of(out / "predictions.csv")]
    assert float(audit["stored_accuracy"]) == pytest.approx(100 * np.mean(correct))
    assert float(audit["reached_goals"]) == pytest.approx(1 - np.mean(correct))
    assert float(audit["clips"]) == 10
    assert float(audit["zero_gradients"]) == float(audit["below_floor"]) == 0
    assert float(audit["bound_ratio"]) <= 1 + 1e-4
    assert [row["step"] for row in trace] == ["0", "1", "2"]
    assert float(trace[0]["loss"]) == pytest.approx(float(audit["start_loss"]))
    assert float(trace[-1]["loss"]) == pytest.approx(float(audit["end_loss"]))
    assert float(audit["end_loss"]) > float(audit["start_loss"])


def test_a_long_attack_begins_with_the_short_one(made, tmp_path):
    """So that one long run shows all numbers of iterations."""
    traces = [rows_of(attacked(made, tmp_path / str(t), tiny.PGD | {"steps": t}) / "trace.csv") for t in (1, 3)]
    assert [row["loss"] for row in traces[0][:-1]] == [row["loss"] for row in traces[1][:1]]
    assert float(traces[0][-1]["loss"]) == pytest.approx(float(traces[1][1]["loss"]), rel=1e-4)
    assert traces[0][-1]["accuracy"] == traces[1][1]["accuracy"]


def test_an_adaptive_set_of_lambda_zero_is_the_plain_one(made, tmp_path):
    sets = []
    for name, weight in {"plain": None, "zero": 0.0, "ten": 10.0}.items():
        loss = {"method": "pipeline_lib.defenses.adaptive:Adaptive", "type": "lp", "weight": weight}
        entry = tiny.PGD if weight is None else tiny.PGD | {"loss": loss}
        sets.append(attacked(made, tmp_path / name, entry, model="selecting"))
    plain, zero, ten = (frames_of(made, out) for out in sets)
    assert (plain == zero).all()
    assert (plain != ten).any()
    for name in ("predictions.csv", "audit.csv", "trace.csv"):
        assert (sets[0] / name).read_bytes() == (sets[1] / name).read_bytes()


def test_the_trace_of_a_choice_of_attacks_is_that_of_its_iterates(made, tmp_path):
    """The forward passes of clips that are only tried are no iterations."""
    steepest = {"method": "pipeline_lib.attacks.steepest:Steepest", "attacks": [tiny.PGD, tiny.ROA], "steps": 2}
    out = attacked(made, tmp_path, steepest)
    (audit,), trace = rows_of(out / "audit.csv"), rows_of(out / "trace.csv")
    assert [row["step"] for row in trace] == ["0", "1", "2"]
    assert float(trace[0]["accuracy"]) == pytest.approx(float(audit["clean_accuracy"]))
    assert float(audit["bound_ratio"]) <= 1 + 1e-4


SEARCHED = {"method": "pipeline_lib.attacks.search:SearchedRectangle", "height": 3, "width": 3, "stride": 2}


@pytest.mark.parametrize("search", ["exhaustive", "gradient"])
def test_places_that_are_only_tried_are_no_iterates(made, tmp_path, search):
    """A search by the gradient at the clean clips is a line of its own."""
    out = attacked(made, tmp_path, tiny.ROA | {"region": SEARCHED | {"search": search}})
    (audit,), trace = rows_of(out / "audit.csv"), rows_of(out / "trace.csv")
    assert len(trace) == 3 + (search == "gradient")
    assert float(audit["zero_gradients"]) == 0
    assert float(audit["bound_ratio"]) <= 1 + 1e-4


def test_a_goal_is_climbed_and_the_trace_is_of_the_true_labels(made, tmp_path):
    """Of two classes the next is the wrong one, so that both attacks are the same."""
    goal = {"method": "pipeline_lib.attacks.goals:NextClass"}
    targeted, untargeted = attacked(made, tmp_path / "a", tiny.PGD | {"goal": goal}), attacked(made, tmp_path / "b")
    assert (frames_of(made, targeted) != frames_of(made, untargeted)).mean() < 0.01
    for name in ("trace.csv", "audit.csv"):
        for row, other in zip(rows_of(targeted / name), rows_of(untargeted / name), strict=True):
            of_the_goal = {"predicted_increase", "first_rise"}  # of minus the cross-entropy to the wrong class
            assert {key: float(row[key]) for key in row.keys() - of_the_goal} == pytest.approx(
                {key: float(other[key]) for key in other.keys() - of_the_goal}, rel=1e-3
            )


def test_masked_gradients_are_seen():
    """A network that rounds its input gives no gradient: the fraction of zero gradients says so."""

    class Rounding(nn.Module):
        def forward(self, clips):
            return torch.stack([clips.round().mean((1, 2, 3, 4)), clips.mean((1, 2, 3, 4)) * 0], 1)

    network, labels = Rounding(), torch.zeros(3, dtype=torch.long)
    first_step, clips = FirstStep(RecordedLoss(network, labels)), torch.rand(3, 3, 4, 8, 8)
    with attacking(network):
        live = build(tiny.PGD)(first_step, clips, [torch.Generator() for _ in range(3)])
    assert first_step.facts(live, clips).zero_elements.tolist() == [1, 1, 1]


def test_each_branch_is_a_source_of_its_own(made, tmp_path):
    sets = [attacked(made, tmp_path / branch, model="branched", branch=branch) for branch in ("clean", "lp")]
    assert (frames_of(made, sets[0]) != frames_of(made, sets[1])).any()


def test_a_set_belongs_to_its_clips(made, tmp_path):
    attacked(made, tmp_path)
    other = Clips(tiny.write_clips(tmp_path / "other.h5", seed=1))
    with pytest.raises(PipelineError, match=r"set\.h5: made from other clean clips"):
        AdversarialClips(tmp_path / "set.h5", other)


def test_a_damaged_or_foreign_set(made, tmp_path):
    attacked(made, tmp_path)
    clean = Clips(made / "clips.h5")
    flip(tmp_path / "set.h5", offset_of(tmp_path / "set.h5", "delta", 3) + 20)
    with pytest.raises(PipelineError, match=rf"{clean.videos[3]} is damaged"):
        AdversarialClips(tmp_path / "set.h5", clean).read([2, 3])
    with h5py.File(tmp_path / "set.h5", "r+") as file:
        file.attrs["format"] = 99
    seal(tmp_path / "set.h5", [], block_size(10))
    with pytest.raises(PipelineError, match="has format 99, but this version"):
        AdversarialClips(tmp_path / "set.h5", clean)
    with pytest.raises(PipelineError, match=r"clips\.h5 is not an adversarial set"):
        AdversarialClips(made / "clips.h5", clean)


def test_network_in_eval_mode_is_left_as_it_was(made):
    """An attack moves no statistic of the network that it attacks."""
    network = load_model(made / "plain.pt", CPU).network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    data = Clips(made / "clips.h5")
    clips = as_clips(data.read(range(4)), CPU)
    with attacking(network):
        recorded = RecordedLoss(network, torch.from_numpy(data.labels[:4]))
        build(tiny.PGD)(recorded, clips, [torch.Generator() for _ in range(4)])
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    "given",
    [
        {"precision": "bf16"},
        {"entry": tiny.PGD | {"precision": "bf16"}},
        {"entry": tiny.PGD | {"precision": "bf16", "steps": 1}},
    ],
    ids=["run", "attack", "attack of one step"],
)
def test_crafting_in_bf16_stays_in_the_bound_and_is_scored_in_fp32(made, tmp_path, given):
    """The stored predictions are those that any other job makes of the set."""
    out = attacked(made, tmp_path, **given)
    frames, clean = frames_of(made, out).astype(int), Clips(made / "clips.h5").read(range(10)).astype(int)
    assert 0 < np.abs(frames - clean).max() <= 8
    assert (frames != frames_of(made, attacked(made, tmp_path / "exact")).astype(int)).any()
    assert predicted_again(made, out) == (out / "predictions.csv").read_text()


@pytest.mark.parametrize(("smallest", "expected"), [(0.0, 0), (1e9, 1)])
def test_the_audit_counts_gradients_below_the_smallest_norm_of_the_attack(made, tmp_path, smallest, expected):
    bound = {"method": "pipeline_lib.attacks.lp_perturbations:AdditiveL2", "epsilon": 1.0, "step_size": 0.5}
    entry = tiny.PGD | {"perturbation": bound | {"smallest_norm": smallest}, "steps": 1}
    (audit,) = rows_of(attacked(made, tmp_path, entry) / "audit.csv")
    assert float(audit["below_floor"]) == expected
