"""Adversarial sets: exact on disk, tied to their clips, audited, and independent of batches and interruptions."""

import csv
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn

import tiny
from pipeline_lib.attacks.losses import attacking
from pipeline_lib.clips.adversarial_store import AdversarialClips
from pipeline_lib.clips.loader import as_clips
from pipeline_lib.clips.store import Clips
from pipeline_lib.entries.building import build
from pipeline_lib.errors import PipelineError
from pipeline_lib.evaluation import adversarial
from pipeline_lib.evaluation.adversarial import Crafting, _attack_micro_batch, make_adversarial_set
from pipeline_lib.evaluation.audit import FirstStep, RecordedLoss
from pipeline_lib.evaluation.prediction import predict
from profiling import peak
from training_runs import always_asked, trained

CPU = torch.device("cpu")
SELECTING = tiny.MULTIBN | {"method": "pipeline_lib.defenses.multibn:MultiBN", "selector": tiny.NETWORK}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with clips, a plain and a branched model."""
    folder = tmp_path_factory.mktemp("adversarial")
    clips = tiny.write_clips(folder / "clips.h5")
    trained(folder, tiny.model_entry(tiny.STANDARD) | {"training": tiny.TRAINING | {"epochs": 6}}, clips, "plain")
    trained(folder, tiny.model_entry(tiny.MULTIBN), clips, "branched")
    trained(folder, tiny.model_entry(SELECTING), clips, "selecting")
    return folder


def attacked(
    made: Path, out: Path, entry: dict = tiny.PGD, batch_size: int = 4, model: str = "plain", branch=None, **more
) -> Path:
    make_adversarial_set(
        entry,
        weights=made / f"{model}.pt",
        branch=branch,
        clips=made / "clips.h5",
        runs=out / "runs",
        code="code",
        batch_size=batch_size,
        seed=0,
        adversarial=out / "set.h5",
        predictions=out / "predictions.csv",
        audit=out / "audit.csv",
        trace=out / "trace.csv",
        device=CPU,
        **more,
    )
    return out


def predicted_again(made: Path, out: Path) -> str:
    """What any other job says of the stored set."""
    predict(
        weights=made / "plain.pt",
        branch=None,
        clips=made / "clips.h5",
        adversarial=out / "set.h5",
        output=out / "again.csv",
        runs=out / "runs",
        batch_size=4,
        device=CPU,
    )
    return (out / "again.csv").read_text()


def frames_of(made: Path, out: Path) -> np.ndarray:
    return AdversarialClips(out / "set.h5", Clips(made / "clips.h5")).read(range(10))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_stored_clips_stay_in_the_bound_on_the_lattice(made, tmp_path):
    frames = frames_of(made, attacked(made, tmp_path)).astype(int)
    clean = Clips(made / "clips.h5").read(range(10)).astype(int)
    assert 0 < np.abs(frames - clean).max() <= 8


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
    assert float(audit["zero_gradients"]) == 0
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
    assert first_step.columns(live, clips)["zero_elements"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("entry", [tiny.PGD, tiny.PGD | {"storage": "float32"}], ids=["lattice", "float32"])
def test_a_killed_set_goes_on_with_its_finished_batches(made, tmp_path, monkeypatch, entry):
    whole = attacked(made, tmp_path / "whole", entry)
    calls = 0

    def crash(*args):
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return original(*args)

    original = adversarial._attack_micro_batch
    monkeypatch.setattr(adversarial, "_attack_micro_batch", crash)
    with pytest.raises(KeyboardInterrupt):
        attacked(made, tmp_path / "killed", entry)
    assert not (tmp_path / "killed/set.h5").exists()
    attacked(made, tmp_path / "killed", entry)
    assert calls == 2 + 2  # three batches, the first one is not attacked again
    assert same_results(tmp_path / "killed", whole)


RESULTS = ("set.h5", "predictions.csv", "audit.csv", "trace.csv")


def same_results(found: Path, expected: Path) -> bool:
    return all((found / name).read_bytes() == (expected / name).read_bytes() for name in RESULTS)


def memory_for(clips: int, monkeypatch) -> list[int]:
    """As on a GPU whose memory holds that many clips; the sizes that were tried."""
    sizes, original = [], adversarial._attack_micro_batch

    def limited(crafting, data, rows, frames, micro_batch):
        sizes.append(micro_batch.stop - micro_batch.start)
        if sizes[-1] > clips:
            raise torch.OutOfMemoryError("simulated")
        return original(crafting, data, rows, frames, micro_batch)

    monkeypatch.setattr(adversarial, "_attack_micro_batch", limited)
    return sizes


def stopped_once(made: Path, out: Path, monkeypatch, **more) -> list[Path]:
    """The shards of a set whose job is asked to stop at once."""
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(adversarial, "stop_requests", always_asked)
        attacked(made, out, **more)
    return sorted(out.glob("runs/*/clips*.npz"))


def test_stopped_after_each_part_that_the_memory_takes_it_ends_with_the_same_bytes(made, tmp_path, monkeypatch):
    expected = attacked(made, tmp_path / "whole", batch_size=2)
    sizes = memory_for(2, monkeypatch)
    kept = [len(stopped_once(made, tmp_path / "cut", monkeypatch)) for _ in range(5)]
    assert kept == [1, 2, 3, 4, 5]
    attacked(made, tmp_path / "cut")
    assert sizes == [4, 2, 2, 4, 2, 2, 2]  # what is left of a batch is tried, and nothing is attacked twice
    for name in RESULTS[1:]:
        assert (tmp_path / "cut" / name).read_bytes() == (expected / name).read_bytes()
    assert (frames_of(made, tmp_path / "cut") == frames_of(made, expected)).all()


@pytest.mark.parametrize("size", [0, 100, -10])
def test_a_damaged_batch_of_a_stopped_job_is_attacked_again(made, tmp_path, monkeypatch, caplog, size):
    expected = attacked(made, tmp_path / "whole")
    for _ in range(2):
        first, *_ = stopped_once(made, tmp_path / "cut", monkeypatch)
    first.write_bytes(first.read_bytes()[:size])
    sizes = memory_for(4, monkeypatch)
    assert same_results(attacked(made, tmp_path / "cut"), expected)
    assert sizes == [4, 2]
    assert f"{first} is damaged" in caplog.text


def test_a_flipped_bit_in_a_finished_batch_is_found(made, tmp_path, monkeypatch, caplog):
    expected = attacked(made, tmp_path / "whole")
    (shard,) = stopped_once(made, tmp_path / "cut", monkeypatch)
    content = bytearray(shard.read_bytes())
    content[content.index(b"stored_loss.npy") + 150] ^= 1
    shard.write_bytes(content)
    assert same_results(attacked(made, tmp_path / "cut"), expected)
    assert "is damaged (Bad CRC-32" in caplog.text


KILLED_AGAIN_AND_AGAIN = """
import os, random, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_adversarial
made, out, draws = Path(sys.argv[2]), Path(sys.argv[3]), random.Random(0)
for kill in range(4):
    kept = len(list(out.glob("runs/*/clips*.npz")))
    child = os.fork()
    if child == 0:
        test_adversarial.attacked(made, out, test_adversarial.LONG, batch_size=1)
        os._exit(0)
    while len(list(out.glob("runs/*/clips*.npz"))) == kept:
        time.sleep(0.001)
    time.sleep(draws.uniform(0, 0.05))
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
"""
LONG = tiny.PGD | {"steps": 50}


@pytest.mark.slow
def test_a_set_whose_job_is_killed_again_and_again_ends_with_the_same_bytes(made, tmp_path):
    """SIGKILL of the real process, at any time after it has finished a clip more."""
    arguments = [str(Path(__file__).parent), str(made), str(tmp_path / "killed")]
    subprocess.run([sys.executable, "-c", KILLED_AGAIN_AND_AGAIN, *arguments], check=True)
    assert 4 <= len(list(tmp_path.glob("killed/runs/*/clips*.npz"))) < 10
    expected = attacked(made, tmp_path / "whole", LONG, batch_size=1)
    assert same_results(attacked(made, tmp_path / "killed", LONG, batch_size=1), expected)


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
    with h5py.File(tmp_path / "set.h5", "r+") as file:
        file["delta"][3] = 0
    with pytest.raises(PipelineError, match=rf"{clean.videos[3]} is damaged"):
        AdversarialClips(tmp_path / "set.h5", clean).read([2, 3])
    with h5py.File(tmp_path / "set.h5", "r+") as file:
        file.attrs["format"] = 99
    with pytest.raises(PipelineError, match="another version"):
        AdversarialClips(tmp_path / "set.h5", clean)
    with pytest.raises(PipelineError, match=r"clips\.h5: made from other clean clips"):
        AdversarialClips(made / "clips.h5", clean)


def test_network_in_eval_mode_is_left_as_it_was(made):
    """An attack moves no statistic of the network that it attacks."""
    from pipeline_lib.models.trained import load_model

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


def test_batches_too_large_for_the_memory_are_halved_once_and_for_all(made, tmp_path, monkeypatch, caplog):
    expected = attacked(made, tmp_path / "small", batch_size=2)
    sizes = memory_for(2, monkeypatch)
    found = attacked(made, tmp_path / "large", batch_size=4)
    assert sizes == [4, 2, 2, 2, 2, 2]
    assert (frames_of(made, found) == frames_of(made, expected)).all()
    assert (found / "predictions.csv").read_text() == (expected / "predictions.csv").read_text()
    assert "out of memory with 4 clips at once: going on with 2" in caplog.text


@pytest.mark.parametrize(("keep", "copies"), [("last", 3.75), ("best", 4.75)])
def test_the_memory_of_a_batch_is_that_of_one_forward_and_backward_pass(tmp_path, keep, copies):
    """And of four copies of the clips, or five: measurements and scores are made when the passes are over.

    The largest sum of live allocations, as torch's profiler notes them."""
    data = Clips(tiny.write_clips(tmp_path / "clips.h5", count=4, shape=(8, 32, 32, 3)))
    with torch.random.fork_rng():
        network = build(tiny.NETWORK | {"width": 16, "stages": 2})(2).eval().requires_grad_(False)
    rows, frames = np.arange(4), torch.from_numpy(data.read(range(4)))
    clips, labels = as_clips(frames, CPU), torch.from_numpy(data.labels)

    def one_pass():
        leaf = clips.clone().requires_grad_()
        torch.autograd.grad(nn.functional.cross_entropy(network(leaf), labels, reduction="sum"), leaf)

    attack = build(tiny.PGD | {"steps": 5, "keep": keep})
    crafting = Crafting(attack, lambda loss: loss, network, network, 0, "fp32", CPU)
    floor, ours = peak(one_pass), peak(lambda: _attack_micro_batch(crafting, data, rows, frames, slice(None)))
    assert floor > 10 * clips.nbytes
    assert ours <= floor + copies * clips.nbytes
