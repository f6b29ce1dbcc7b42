"""What jobs write into their logs: how far they are, also after an interruption, and what their numbers depend on."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import tiny
from pipeline_lib.clips.loader import Prefetched
from pipeline_lib.evaluation import adversarial, learning
from sets import attacked, predicted
from test_features import measured
from test_framing import ENTRY, learned
from training_runs import always_asked, stopped_once, trained, with_training

WAITED = "percent_waiting_for_data 25"


@pytest.fixture
def lines(caplog, monkeypatch) -> Callable[[str], list[str]]:
    """A function that gives the lines of a task so far, without their rates: here there is one for every batch."""
    caplog.set_level("INFO", "pipeline_lib")
    monkeypatch.setattr("pipeline_lib.jobs.logs.LINE_EVERY_SECONDS", -1.0)
    monkeypatch.setattr(Prefetched, "fraction_waited", lambda data: 0.25)
    number = r"\d+\.\d"

    def of(title: str) -> list[str]:
        found = [message for message in caplog.messages if message.startswith(title)]
        return [re.sub(rf", {number} \w+/s, \d+ s left$", "", message) for message in found]

    return of


def interrupted(monkeypatch: pytest.MonkeyPatch, module: object, work: Callable[[], object]) -> None:
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(module, "stop_requests", always_asked)
        work()


def test_an_attack_counts_the_clips_of_earlier_runs(made, tmp_path, monkeypatch, lines):
    interrupted(monkeypatch, adversarial, lambda: attacked(made, tmp_path))
    assert lines("asked") == ["asked to stop: 4 of 10 clips are kept"]
    attacked(made, tmp_path)
    assert lines("attacking") == [f"attacking: {count}/10 clips, {WAITED}" for count in (4, 8, 10)]
    (metadata,) = lines("attacked with")
    assert metadata.endswith(", 'seed': 0, 'clips_at_once': 4}")


def test_predictions_and_features_are_counted_in_clips(made, tmp_path, lines):
    predicted(made, tmp_path, None)
    assert lines("predicting") == [f"predicting: {count}/10 clips, {WAITED}" for count in (4, 8, 10)]
    for name in ("clips.h5", "plain.pt"):
        (tmp_path / name).symlink_to(made / name)
    attacked(made, tmp_path)
    measured(tmp_path, 8)
    assert lines("comparing") == [f"comparing features: {count}/10 clips" for count in (4, 8, 10)]


def test_learning_counts_the_batches_of_earlier_runs(made, tmp_path, monkeypatch, lines):
    """Epochs of three batches."""
    interrupted(monkeypatch, learning, lambda: learned(ENTRY, made / "clips.h5", made / "plain.pt", tmp_path))
    assert lines("asked") == ["asked to stop after 1 of 9 batches"]
    learned(ENTRY, made / "clips.h5", made / "plain.pt", tmp_path)
    assert lines("learning") == [f"learning: {1 + done}/9 batches, epoch {1 + done // 3}" for done in range(9)]


def test_training_counts_the_clips_of_earlier_runs_and_shows_the_means_of_the_epoch(tmp_path: Path, monkeypatch, lines):
    clips = tiny.write_clips(tmp_path / "train.h5")
    stopped_once(tmp_path, with_training(), clips, monkeypatch)
    trained(tmp_path, with_training(), clips)
    figures = r"loss [\d.]+, accuracy \d+(\.\d)?"
    expected = [
        rf"training: {4 * step}/16 clips, epoch {(step + 1) // 2}, {figures}, {WAITED}" for step in (1, 2, 3, 4)
    ]
    found = lines("training")
    assert len(found) == len(expected)
    assert all(map(re.fullmatch, expected, found))
