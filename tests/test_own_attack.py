"""A user's own attack: one file beside the Snakefile, one entry (docs/tutorials/own-attack.md)."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

import tiny
from own_files import forget
from pipeline_lib.attacks.losses import loss_and_gradient
from pipeline_lib.clips.adversarial_store import AdversarialClips
from pipeline_lib.clips.store import Clips
from pipeline_lib.configuration.entries import resolve
from pipeline_lib.errors import PipelineError
from readme import example
from sets import attacked, rows_of
from training_runs import trained

ENTRY = yaml.safe_load(example("yaml", "my_attack:Flicker"))["attacks"]["flicker"]


@pytest.fixture
def beside(tmp_path, monkeypatch) -> Path:
    """A working folder with the user's file."""
    (tmp_path / "my_attack.py").write_text(example("python", "class Flicker"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_attack", raising=False)
    forget()
    return tmp_path


def test_its_entry_is_checked_and_its_clips_are_stored(beside):
    clips = tiny.write_clips(beside / "clips.h5")
    trained(beside, tiny.model_entry(tiny.STANDARD), clips, "plain")
    entry = resolve("attacks.flicker", ENTRY, {})
    assert entry == ENTRY | {"epsilon": 8 / 255}
    attacked(beside, beside, entry)
    clean = Clips(clips)
    rows = range(len(clean))
    change = AdversarialClips(beside / "set.h5", clean).read(rows).astype(int) - clean.read(rows).astype(int)
    assert np.abs(change).max() == 8
    assert (change == change[:, :, :1, :1, :1]).all()
    (audit,) = rows_of(beside / "audit.csv")
    assert float(audit["bound_ratio"]) == pytest.approx(1, abs=1e-4)
    assert float(audit["end_loss"]) > float(audit["start_loss"])


@dataclass(frozen=True, kw_only=True)
class Early:
    """Steps along the sign of the gradient; only one of them on a batch that is not full."""

    steps: int

    def __call__(self, loss, clips, generators):
        for _ in range(self.steps if len(clips) == 4 else 1):
            _, gradient = loss_and_gradient(loss, clips)
            clips = (clips + 4 / 255 * gradient.sign()).clamp(0, 1)
        return clips

    def quantize(self, adversarial, clean):
        return (adversarial * 255).round() / 255

    def ratio_to_bound(self, adversarial, clean):
        return (adversarial - clean).abs().flatten(1).amax(1) * 255 / (4 * self.steps)


def test_the_trace_of_an_attack_that_stops_sooner_on_a_batch_stays_at_its_end(tmp_path):
    """Three steps on two batches of four clips, one on the last two clips."""
    clips = tiny.write_clips(tmp_path / "clips.h5")
    trained(tmp_path, tiny.model_entry(tiny.STANDARD), clips, "plain")
    attacked(tmp_path, tmp_path, {"method": "test_own_attack:Early", "steps": 3}, batch_size=4)
    (audit,), trace, predictions = (rows_of(tmp_path / f"{name}.csv") for name in ("audit", "trace", "predictions"))
    assert [row["step"] for row in trace] == ["0", "1", "2", "3"]
    assert trace[-1]["loss"] == audit["end_loss"]
    # Whole grey levels: the stored clips are the live ones.
    assert float(audit["end_loss"]) == pytest.approx(np.mean([float(row["loss"]) for row in predictions]), rel=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": "many"}, "attacks.flicker.steps: expected an integer, got 'many'"),
        ({"method": "my_attack:Blink"}, "my_attack.py has no class 'Blink'"),
        ({"method": "other:Flicker"}, "no file for the Python module 'other'"),
    ],
)
def test_its_mistakes_are_named(beside, change, message):
    with pytest.raises(PipelineError, match=message):
        resolve("attacks.flicker", ENTRY | change, {})
