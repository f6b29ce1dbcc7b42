"""PGD against that of other libraries at the same budget, and against itself with more iterations, on trained networks.

Every attack has a random start of its own, so that a difference of a clip or two is chance: each has its 95 % interval.
"""

import pytest
import torch
from torch import nn

from oracles import oracle
from pipeline_lib.attacks import AdditiveLinf, Ascent, UniformNoise, craft
from pipeline_lib.attacks.losses import attacking
from pipeline_lib.evaluation.audit import RecordedLoss
from pipeline_lib.randomness.generators import clip_generators

pytestmark = pytest.mark.slow

EPSILON = 2 / 255
ITERATIONS = (1, 3, 5, 10, 20)
COUNT = 400


def pgd(steps: int, epsilon: float = EPSILON) -> Ascent:
    bound = AdditiveLinf(epsilon=epsilon, step_size=epsilon / 4)
    return Ascent(perturbation=bound, start=UniformNoise(radius=epsilon), steps=steps)


def clips_of(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise with a faint pattern of one of three classes: some clips are nearer to another one than others."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(COUNT) % 3
    patterns = torch.randn(3, 3, 4, 8, 8, generator=torch.Generator().manual_seed(7))
    strengths = 0.03 * torch.rand(COUNT, 1, 1, 1, 1, generator=draw)
    noise = 0.1 * torch.randn(COUNT, 3, 4, 8, 8, generator=draw)
    return (0.5 + noise + strengths * patterns[labels]).clamp(0, 1), labels


def trained(attack: Ascent | None) -> nn.Module:
    clips, labels = clips_of(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Conv3d(3, 8, 3, padding=1), nn.BatchNorm3d(8), nn.ReLU(), nn.Conv3d(8, 8, 3, stride=2), nn.ReLU()]
        network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(72, 3))
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for step in range(40):
        rows = torch.arange(100) + 100 * (step % 4)
        seen = craft(network, clips[rows], labels[rows], attack, seed=step) if attack else clips[rows]
        optimizer.zero_grad()
        nn.functional.cross_entropy(network.train()(seen), labels[rows]).backward()
        optimizer.step()
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module", params=[None, pgd(3)], ids=["standard", "adversarially trained"])
def network(request) -> nn.Module:
    return trained(request.param)


def correct(network: nn.Module, clips: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return network(clips).argmax(1) == labels


def surely_more(some: torch.Tensor, others: torch.Tensor) -> bool:
    """Whether more clips stand, and the interval of the paired difference is above 0 (Agresti and Min, 2005)."""
    more, less, n = int((some & ~others).sum()), int((others & ~some).sum()), len(some)
    middle = (more - less) / (n + 2)
    half = 1.96 * ((more + less + 1) - (more - less) ** 2 / (n + 2)) ** 0.5 / (n + 2)
    return middle - half > 0


def of_torchattacks(network: nn.Module, clips: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return oracle("torchattacks").PGD(network, eps=EPSILON, alpha=EPSILON / 4, steps=10)(clips, labels)


def of_foolbox(network: nn.Module, clips: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    foolbox = oracle("foolbox")
    attack = foolbox.attacks.LinfPGD(abs_stepsize=EPSILON / 4, steps=10)
    return attack(foolbox.PyTorchModel(network, bounds=(0, 1)), clips, labels, epsilons=[EPSILON])[1][0]


@pytest.mark.parametrize("theirs", [of_torchattacks, of_foolbox])
def test_fewer_clips_stand_than_under_the_same_attack_of_a_library(network, theirs):
    """Or as many. An attack of half the bound is told apart, so that the comparison can fail."""
    clips, labels = clips_of(2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        reference = correct(network, theirs(network, clips, labels), labels)
    ours, weak = (correct(network, craft(network, clips, labels, pgd(10, e)), labels) for e in (EPSILON, EPSILON / 2))
    assert not surely_more(ours, reference)
    assert surely_more(weak, reference)


def test_no_more_clips_stand_after_more_iterations(network):
    """One long climb goes through what shorter ones end in."""
    clips, labels = clips_of(2)
    recorded = RecordedLoss(network, labels)
    with attacking(network):
        end = pgd(max(ITERATIONS))(recorded, clips, clip_generators(0, [str(i) for i in range(len(clips))]))
    stand = [*recorded.correct, correct(network, end, labels)]
    assert torch.equal(stand[3], correct(network, craft(network, clips, labels, pgd(3)), labels))
    for fewer, more in zip((0, *ITERATIONS), ITERATIONS, strict=False):
        assert not surely_more(stand[more], stand[fewer])
    assert surely_more(stand[0], stand[max(ITERATIONS)])
