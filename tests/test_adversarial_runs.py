"""The jobs that make adversarial sets: interrupted, out of memory, and with damaged state."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import tiny
from pipeline_lib.clips.loader import as_clips
from pipeline_lib.clips.store import Clips
from pipeline_lib.entries.building import build
from pipeline_lib.evaluation import adversarial
from pipeline_lib.evaluation.crafting import Crafting, attack_clips
from pipeline_lib.evaluation.source import Loaded, Settings
from profiling import peak
from sets import CPU, RESULTS, attacked, frames_of, same_results
from training_runs import always_asked


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

    original = adversarial.attack_clips
    monkeypatch.setattr(adversarial, "attack_clips", crash)
    with pytest.raises(KeyboardInterrupt):
        attacked(made, tmp_path / "killed", entry)
    assert not (tmp_path / "killed/set.h5").exists()
    attacked(made, tmp_path / "killed", entry)
    assert calls == 2 + 2  # three batches, the first one is not attacked again
    assert same_results(tmp_path / "killed", whole)


def memory_for(clips: int, monkeypatch) -> list[int]:
    """As on a GPU whose memory holds that many clips; the sizes that were tried."""
    sizes, original = [], adversarial.attack_clips

    def limited(crafting, data, rows, frames):
        sizes.append(len(rows))
        if sizes[-1] > clips:
            raise torch.OutOfMemoryError("simulated")
        return original(crafting, data, rows, frames)

    monkeypatch.setattr(adversarial, "attack_clips", limited)
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
    content[content.index(b"stored.losses.npy") + 150] ^= 1
    shard.write_bytes(content)
    assert same_results(attacked(made, tmp_path / "cut"), expected)
    assert "is damaged (Bad CRC-32" in caplog.text


KILLED_AGAIN_AND_AGAIN = """
import os, random, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import sets, test_adversarial_runs
made, out, draws = Path(sys.argv[2]), Path(sys.argv[3]), random.Random(0)
for kill in range(4):
    kept = len(list(out.glob("runs/*/clips*.npz")))
    child = os.fork()
    if child == 0:
        sets.attacked(made, out, test_adversarial_runs.LONG, batch_size=1)
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


def test_batches_too_large_for_the_memory_are_halved_once_and_for_all(made, tmp_path, monkeypatch, caplog):
    expected = attacked(made, tmp_path / "small", batch_size=2)
    sizes = memory_for(2, monkeypatch)
    found = attacked(made, tmp_path / "large", batch_size=4)
    assert sizes == [4, 2, 2, 2, 2, 2]
    assert (frames_of(made, found) == frames_of(made, expected)).all()
    assert (found / "predictions.csv").read_text() == (expected / "predictions.csv").read_text()
    assert "out of memory with 4 clips at once: continuing with 2" in caplog.text


@pytest.mark.parametrize(("keep", "copies"), [("last", 4.75), ("best", 5.75)])
def test_the_memory_of_a_batch_is_that_of_one_forward_and_backward_pass(tmp_path, keep, copies):
    """And of five copies of the clips, or six, one of them for the attack to write into: measurements and scores are
    made when the passes are over.

    The largest sum of live allocations, as torch's profiler notes them."""
    data = Clips(tiny.write_clips(tmp_path / "clips.h5", count=4, shape=(8, 32, 32, 3)))
    with torch.random.fork_rng():
        network = build(tiny.NETWORK | {"width": 16, "stages": 2})(2).eval().requires_grad_(False)
    rows, frames = np.arange(4), data.read(range(4))
    clips, labels = as_clips(frames, CPU), torch.from_numpy(data.labels)

    def one_pass():
        leaf = clips.clone().requires_grad_()
        torch.autograd.grad(nn.functional.cross_entropy(network(leaf), labels, reduction="sum"), leaf)

    attack = build(tiny.PGD | {"steps": 5, "keep": keep})
    source, settings = Loaded(network, network, {}), Settings(batch_size=4, device=CPU)
    crafting = Crafting(attack=attack, loss_transform=lambda loss: loss, source=source, settings=settings)
    floor, ours = peak(one_pass), peak(lambda: attack_clips(crafting, data, rows, frames))
    assert floor > 10 * clips.nbytes
    assert ours <= floor + copies * clips.nbytes
