"""Whether an attack was finished: facts of traces by hand, and of attacks that overshoot or stop too early."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline_lib.attacks import AdditiveLinf, Apgd, Ascent, WorstCase
from pipeline_lib.attacks.losses import attacking
from pipeline_lib.evaluation.audit import RecordedLoss
from pipeline_lib.evaluation.convergence import convergence, settled
from pipeline_lib.randomness.generators import clip_generators
from pipeline_lib.reporting.audits import OVERSHOT, SOUND, UNFINISHED, finish


def test_the_facts_by_hand():
    """Clip 0 recovered, clip 1 fell in the last of three iterations; of 0 and 2 losses rose by 2 and 4, by 1 late."""
    correct = np.array([[1, 0, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]], bool)
    losses = np.array([[0, 2, 1, 1], [0, 1, 2, 3], [0, 1, 3, 4], [9, 9, 9, 9]], float)
    expected = {"recovered_clips": 0.25, "last_fall": 0.25, "last_rise": pytest.approx(1 / 6)}
    assert convergence(losses, correct) == expected


def test_one_iteration_says_nothing_of_the_end():
    facts = convergence(np.array([[0.0, 1.0]]), np.array([[True, True]]))
    assert facts == {"recovered_clips": 0.0, "last_fall": 0.0, "last_rise": 0.0}


def test_a_loss_that_never_rises_did_not_rise_late():
    facts = convergence(np.ones((2, 5)), np.ones((2, 5), bool))
    assert facts == {"recovered_clips": 0.0, "last_fall": 0.0, "last_rise": 0.0}


@pytest.mark.parametrize(("iterations", "window"), [(3, 1), (20, 2), (100, 10)])
def test_the_end_is_a_tenth_of_the_iterations(iterations, window):
    steady = np.linspace(0, 1, iterations + 1)[None]
    facts = convergence(steady, np.ones_like(steady, bool))
    assert facts["last_rise"] == pytest.approx(window / iterations)


CLIPS = torch.rand(200, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2
BOUND = 0.05


class Bumpy(torch.nn.Module):
    """Another class is likeliest where a clip has gone two fifths of the bound, and not beyond."""

    def forward(self, clips: Tensor) -> Tensor:
        away = (clips - CLIPS).flatten(1).mean(1) / BOUND
        bump = torch.exp(-((away - 0.4) ** 2) / 0.05)
        return torch.stack([torch.linspace(0.2, 1.2, len(clips)), bump], 1)


class Slope(torch.nn.Module):
    """Another class is ever likelier, up to the end of the bound."""

    def forward(self, clips: Tensor) -> Tensor:
        away = (clips - CLIPS).flatten(1).mean(1) / BOUND
        return torch.stack([torch.linspace(0.2, 1.2, len(clips)), away], 1)


def facts_of(network: torch.nn.Module, attack) -> dict[str, float]:
    """What `finish` reads, of clips that nothing rounds."""
    labels = torch.zeros(len(CLIPS), dtype=torch.long)
    recorded = RecordedLoss(network, labels)
    with attacking(network):
        end = attack(recorded, CLIPS, clip_generators(0, [str(i) for i in range(len(CLIPS))]))
    logits = network(end)
    final, right = torch.nn.functional.cross_entropy(logits, labels, reduction="none"), logits.argmax(1) == labels
    losses = torch.stack([*recorded.losses, final], 1).numpy()
    correct = torch.stack([*recorded.correct, right], 1).numpy()
    return convergence(losses, correct) | {"clips": len(CLIPS), "live_accuracy": 100 * right.float().mean().item()}


def linf(step: float) -> AdditiveLinf:
    return AdditiveLinf(epsilon=BOUND, step_size=step * BOUND)


@pytest.mark.parametrize(
    ("network", "attack", "expected"),
    [
        (Bumpy(), Ascent(perturbation=linf(0.3), steps=4), OVERSHOT),
        (Bumpy(), Ascent(perturbation=linf(0.05), steps=20, keep="best"), SOUND),
        (Bumpy(), Apgd(inside=Ascent(perturbation=linf(0.3), steps=3), steps=20), SOUND),
        (Slope(), Ascent(perturbation=linf(0.1), steps=5), UNFINISHED),
        (Slope(), Ascent(perturbation=linf(0.1), steps=20), SOUND),
        (Slope(), Apgd(inside=Ascent(perturbation=linf(0.1), steps=5), steps=20), SOUND),
    ],
    ids=["overshoots", "keeps the best", "apgd", "stops early", "arrives", "apgd on a slope"],
)
def test_the_verdict_on_attacks(network, attack, expected):
    facts = facts_of(network, attack)
    assert finish(facts) == expected, facts


def test_the_end_of_the_first_of_several_attacks_is_no_fact_of_the_strongest():
    class Facts(NamedTuple):
        last_fall: float
        last_rise: float

    own, facts = Ascent(perturbation=AdditiveLinf(epsilon=0.1, step_size=0.05), steps=1), Facts(0.3, 0.4)
    assert settled(WorstCase(of=own), facts) == Facts(0.0, 0.0)
    assert settled(own, facts) == facts
