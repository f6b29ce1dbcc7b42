"""A user's own attack: one file beside the Snakefile, one entry (README, "Adding to it")."""

from pathlib import Path

import numpy as np
import pytest
import yaml

import tiny
from pipeline_lib.clips.adversarial_store import AdversarialClips
from pipeline_lib.clips.store import Clips
from pipeline_lib.configuration.entries import resolve
from pipeline_lib.errors import PipelineError
from pipeline_lib.evaluation.adversarial import make_adversarial_set
from readme import example
from test_adversarial import CPU, rows_of
from test_training import trained

ENTRY = yaml.safe_load(example("yaml", "my_attack:Flicker"))["attacks"]["flicker"]


@pytest.fixture
def beside(tmp_path, monkeypatch) -> Path:
    """A working folder with the user's file."""
    (tmp_path / "my_attack.py").write_text(example("python", "class Flicker"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_its_entry_is_checked_and_its_clips_are_stored(beside):
    clips = tiny.write_clips(beside / "clips.h5")
    trained(beside, tiny.model_entry(tiny.STANDARD), clips, "plain")
    entry = resolve("attacks.flicker", ENTRY, {})
    assert entry == ENTRY | {"epsilon": 8 / 255}
    outputs = {name: beside / f"{name}.csv" for name in ("predictions", "audit", "trace")}
    make_adversarial_set(
        entry,
        weights=beside / "plain.pt",
        branch=None,
        clips=clips,
        runs=beside / "runs",
        code="code",
        batch_size=4,
        seed=0,
        adversarial=beside / "set.h5",
        device=CPU,
        **outputs,
    )
    clean = Clips(clips)
    rows = range(len(clean))
    change = AdversarialClips(beside / "set.h5", clean).read(rows).astype(int) - clean.read(rows).astype(int)
    assert np.abs(change).max() == 8
    assert (change == change[:, :, :1, :1, :1]).all()
    (audit,) = rows_of(outputs["audit"])
    assert float(audit["bound_ratio"]) == pytest.approx(1, abs=1e-4)
    assert float(audit["end_loss"]) > float(audit["start_loss"])


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
