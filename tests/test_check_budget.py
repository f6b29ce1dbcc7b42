"""The time of a check: on how many clips measurements are made, and that it ends. By a clock that passes move."""

import time

import pytest
from torch import Tensor, nn

from pipeline_lib.check import Options, evaluate, measurements
from planted import data, robust, standard

CLIPS, LABELS = data()


@pytest.fixture(autouse=True)
def _quick(monkeypatch) -> None:
    for name, value in {"APGD_STEPS": 4, "TARGETED_STEPS": 2, "MOST_TARGETS": 1, "QUERIES": 20, "RESTARTS": 1}.items():
        monkeypatch.setattr(measurements, name, value)


class Timed(nn.Module):
    """A network of which a clip takes a second, and two with its gradient."""

    def __init__(self, network: nn.Module, seconds: list[float]) -> None:
        super().__init__()
        self.network, self.seconds = network, seconds

    def forward(self, clips: Tensor) -> Tensor:
        self.seconds[0] += len(clips) * (2 if clips.requires_grad else 1)
        return self.network(clips)


def checked(monkeypatch, network: nn.Module, minutes: float, threat: str = "linf:32/255"):
    """The check, the seconds that it took, and its lines."""
    seconds, lines = [0.0], list[str]()
    monkeypatch.setattr(time, "monotonic", lambda: seconds[0])
    options = Options(minutes=minutes, batch_size=4, steps=(20,), stand_in=standard())
    found = evaluate(Timed(network, seconds), CLIPS, LABELS, threat, options=options, say=lines.append)
    return found, seconds[0], lines


def test_more_clips_fit_where_they_are_fooled_early(monkeypatch) -> None:
    """Of 20 steps of two seconds, 48 clips would take half an hour."""
    early, seconds, lines = checked(monkeypatch, standard(), 15)
    pgd = early.named("pgd_20")
    assert len(pgd.rows) >= 20
    assert pgd.percent == 0
    assert seconds < 15 * 60
    assert any("PGD, 20 steps: " in line and "if they are fooled early" in line for line in lines)
    robust_one, seconds, _ = checked(monkeypatch, robust(), 15, "linf:4/255")
    assert 4 <= len(robust_one.named("pgd_20").rows) <= 12
    assert seconds < 15 * 60


@pytest.mark.parametrize("minutes", [2, 5])
def test_a_check_ends_in_its_time(monkeypatch, minutes: float) -> None:
    found, seconds, _ = checked(monkeypatch, robust(), minutes, "linf:4/255")
    assert seconds <= 60 * minutes
    assert found.left_out


def test_a_batch_that_takes_too_long_is_stopped_and_named(monkeypatch) -> None:
    """Four clips would fit if they were fooled after three of 20 steps, and none is."""
    found, _, lines = checked(monkeypatch, robust(), 2.2, "linf:1/255")
    assert found.named("pgd_20") is None
    reasons = {one.title: one.reason for one in found.left_out}
    assert reasons["PGD, 20 steps"].startswith("stopped after ")
    assert any(line.startswith("PGD, 20 steps: left out (stopped") for line in lines)
