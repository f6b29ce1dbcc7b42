"""How an epoch is scored on other clips: what is counted, in which state, and where a stopped one goes on."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from pipeline_lib.defenses.objective import Objective
from pipeline_lib.training.schedules import OneCycle
from pipeline_lib.training.scoring import scored_batches
from pipeline_lib.training.selection import Scored, Selection, split_rows
from pipeline_lib.training.task import Task, Training

LABELS = np.array([0, 1, 0, 1, 0, 1, 0, 1])


class Frames:
    """Clips of one pixel, whose value is the number of their row."""

    labels = LABELS
    videos = [f"v{row}" for row in range(8)]  # noqa: RUF012

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, rows, into=None):
        frames = np.asarray(rows, np.uint8).reshape(-1, 1, 1, 1, 1)
        if into is None:
            return frames
        into[:] = frames
        return into


class Counting:
    """Trains on clean clips and on one example of each: answers 0, and 1 to the examples of the first four clips."""

    def __init__(self) -> None:
        self.seen: list[tuple] = []

    def objective(self, network, clips, labels, draw) -> Objective:
        rows = (clips.flatten() * 255).round().int().tolist()
        seeds = [generator.initial_seed() for name in ("attack", "other") for generator in draw(name)]
        self.seen.append((rows, labels.tolist(), seeds, network.training, torch.is_grad_enabled()))
        answers = torch.tensor([[1.0, 0.0] for _ in rows] + [[0.0, 1.0] if row < 4 else [1.0, 0.0] for row in rows])
        return Objective(torch.zeros(()), answers, labels.repeat(2))


def scored(rows: list[int], so_far: Scored = Scored(), stop=lambda: False, seed: int = 3, batch_size: int = 2):  # noqa: B008
    defense, network = Counting(), nn.Linear(1, 1).train()
    settings = Training(epochs=1, batch_size=2, learning_rate=0.0, schedule=OneCycle())
    given = {"clips": None, "rows": np.arange(8), "settings": settings, "device": torch.device("cpu")}
    task, selection = Task(defense=defense, seed=seed, **given), Selection(Frames(), np.array(rows))
    batches = scored_batches(network, task, selection, so_far, batch_size=batch_size, stop=stop)
    return defense, list(batches)


def test_correct_answers_are_counted_of_all_that_the_defense_trains_on():
    """Of 0 and 1 the first clean clip and the second example, of 4 and 6 everything, of 7 nothing is correct."""
    defense, found = scored([0, 1, 4, 6, 7])
    assert found == [(Scored(2, 2, 4), False), (Scored(4, 6, 8), False), (Scored(5, 6, 10), False)]
    assert [row[:2] for row in defense.seen] == [([0, 1], [0, 1]), ([4, 6], [0, 0]), ([7], [1])]
    assert found[-1][0].accuracy == 60
    assert Scored(3, 1, 4).accuracy == 25


def test_a_network_is_scored_as_it_will_be_used():
    """In eval mode, without gradients."""
    defense, _ = scored([0, 1, 2])
    assert {row[3:] for row in defense.seen} == {(False, False)}


def test_draws_are_those_of_the_seed_the_video_and_the_name_whatever_the_batch():
    def drawn(**more) -> dict[tuple[int, str], int]:
        defense, _ = scored([0, 1, 2], **more)
        found = {}
        for rows, _, seeds, *_ in defense.seen:
            found |= dict(zip([(row, name) for name in ("attack", "other") for row in rows], seeds, strict=True))
        return found

    first = drawn()
    assert len(set(first.values())) == 6
    assert drawn(batch_size=3) == first
    assert not set(drawn(seed=4).values()) & set(first.values())


def test_it_goes_on_after_the_clips_that_are_scored():
    defense, found = scored([0, 1, 4, 6, 7], so_far=Scored(2, 1.0, 4.0))
    assert [row[0] for row in defense.seen] == [[4, 6], [7]]
    assert [batch for batch, _ in found] == [Scored(4, 5, 8), Scored(5, 5, 10)]


def test_after_every_batch_it_is_asked_whether_to_stop():
    answers = iter([False, True, False])
    _, found = scored([0, 1, 4, 6, 7], stop=lambda: next(answers))
    assert [stops for _, stops in found] == [False, True, False]


def named(labels: list[int], videos: list[str]) -> SimpleNamespace:
    class Clips(SimpleNamespace):
        def __len__(self) -> int:
            return len(self.labels)

    return Clips(labels=np.array(labels), videos=videos)


@pytest.mark.parametrize(
    ("fraction", "held"), [(0.01, [2, 5]), (0.34, [2, 5]), (0.5, [2, 3, 5]), (0.99, [0, 1, 2, 3, 4, 5])]
)
def test_the_last_of_each_class_by_name_are_held_out(fraction, held):
    """At least one of each, and the nearest number otherwise: of two and of four clips."""
    clips = named([0, 1, 1, 1, 1, 0], ["a", "q", "z", "x", "p", "b"])
    rows, out = split_rows(clips, fraction)
    assert out.tolist() == held
    assert rows.tolist() == [row for row in range(6) if row not in held]
