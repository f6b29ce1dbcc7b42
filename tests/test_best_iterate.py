"""Which iterate `keep: best` takes when the start, which a bound does not limit, is outside of it."""

import pytest
import torch

from pipeline_lib.attacks.ascent import Ascent, BestIterate
from pipeline_lib.attacks.perturbations import AdditiveLinf

PERTURBATION = AdditiveLinf(epsilon=0.1, step_size=0.05)
CLIPS = torch.full((2, 3, 2, 4, 4), 0.5)
GENERATORS = [torch.Generator().manual_seed(number) for number in range(2)]


def near(peaks: torch.Tensor):
    """Of each clip: largest, 0, where all its pixels are at its peak."""
    return lambda clips: -(clips - peaks.view(-1, 1, 1, 1, 1)).square().flatten(1).sum(1)


class At:
    """A start at given clips, around which there is no bound: that is around the clean ones."""

    def __init__(self, brightness: list[float]) -> None:
        self.clips = torch.stack([torch.full_like(CLIPS[0], value) for value in brightness])

    def first(self, clips, generators):
        return self.clips

    def center(self, clips, mask):
        return clips


def best_of(start: list[float], peaks: list[float], steps: int) -> list[float]:
    attack = Ascent(perturbation=PERTURBATION, start=At(start), steps=steps, keep="best")
    return attack(near(torch.tensor(peaks)), CLIPS, GENERATORS)[:, 0, 0, 0, 0].tolist()


def test_an_iterate_after_a_start_outside_may_be_the_best():
    """From 0.9 onto the bound at 0.6, and in steps of 0.05 about the peak: 0.6, 0.55, 0.5, 0.55, ..."""
    for steps in (3, 4, 5):
        assert best_of([0.9, 0.9], [0.53, 0.59], steps) == pytest.approx([0.55, 0.6])


def test_a_start_outside_is_not_taken_and_one_inside_beside_it_is():
    """The peak of the first clip is where its start is, outside of the bound; that of the second one inside."""
    assert best_of([0.9, 0.57], [0.9, 0.57], 1) == pytest.approx([0.6, 0.57])


def test_a_start_on_the_bound_is_inside_and_one_beyond_it_by_half_is_not():
    """The bound ends at 0.6: from there a step goes too far down, from 0.65 the projection leads back."""
    assert best_of([0.6, 0.65], [0.59, 0.65], 1) == pytest.approx([0.6, 0.6])


def test_of_equal_losses_the_first_iterate_is_kept():
    best = BestIterate(CLIPS)
    for clips in (CLIPS + 0.1, CLIPS - 0.1):
        best.offer(clips, torch.zeros(2))
    assert torch.equal(best.clips, CLIPS + 0.1)
