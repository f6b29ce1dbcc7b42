"""APGD against AutoAttack's own, as torchattacks has it, on 500 images and a trained 2D network."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oracles import oracle
from pipeline_lib.attacks import DLR, AdditiveLinf, Apgd, Ascent, TargetedDLR, craft
from pipeline_lib.attacks.goals import Goal
from pipeline_lib.attacks.goals import Untargeted as CrossEntropy
from pipeline_lib.attacks.losses import on_logits
from pipeline_lib.randomness.generators import clip_generators
from test_apgd import Given, compared_with_zero

EPSILON, STEPS = 0.03, 50
CLASSES = 5


def pictures(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noisy smooth pictures of one of five patterns, on the 8-bit lattice."""
    draw = torch.Generator().manual_seed(seed)
    patterns = torch.rand(CLASSES, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    labels = torch.randint(CLASSES, (count,), generator=draw)
    smooth = F.interpolate(patterns[labels], scale_factor=2, mode="bilinear")
    noisy = 0.3 + 0.4 * smooth + 0.1 * torch.randn(smooth.shape, generator=draw)
    return (noisy.clamp(0, 1) * 255).round() / 255, labels


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A 2D network, trained for a few seconds."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, stride=2, padding=1), nn.ReLU()]
        net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, CLASSES))
        clips, labels = pictures(1000, 2)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
        for _ in range(20):
            for some in torch.randperm(1000).split(50):
                optimizer.zero_grad()
                F.cross_entropy(net(clips[some]), labels[some]).backward()
                optimizer.step()
    return net.eval().requires_grad_(False)


def first_of_torchattacks(clips: Tensor) -> Tensor:
    """The start of its only ascent."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        noise = 2 * torch.rand(clips.shape) - 1
    return (clips + EPSILON * noise / noise.abs().flatten(1).amax(1).view(-1, 1, 1, 1)).clamp(0, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("goal", "loss"), [(CrossEntropy(), "ce"), (DLR(), "dlr"), (TargetedDLR(rank=2), "targeted")], ids=lambda v: str(v)
)
def test_robust_accuracy_and_losses_are_those_of_autoattack(network, monkeypatch, goal: Goal, loss: str):
    torchattacks = oracle("torchattacks")
    compared_with_zero(monkeypatch)
    clips, _ = pictures(500, 3)
    labels = network(clips).argmax(1)
    options = {"eps": EPSILON, "steps": STEPS}
    if loss == "targeted":
        theirs = torchattacks.APGDT(network, n_classes=CLASSES, **options)
        theirs.target_class = goal.rank + 1
    else:
        theirs = torchattacks.APGD(network, loss=loss, **options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        _, correct, losses, _ = theirs.attack_single_run(clips, labels)
    perturbation = AdditiveLinf(epsilon=EPSILON, step_size=0.01)
    start = Given(first_of_torchattacks(clips))
    attack = Apgd(inside=Ascent(perturbation=perturbation, steps=1), steps=STEPS, goal=goal, start=start)
    maximized = on_logits(network, goal.criterion(network, clips, labels))
    found = attack(maximized, clips, clip_generators(0, [str(i) for i in range(500)]))
    apart = (maximized(found) - losses).abs()
    assert apart.max() < 1e-4
    left = (network(craft(network, clips, labels, attack)).argmax(1) == labels).sum()
    assert 25 < correct.sum() < 475
    assert abs(int(left) - int(correct.sum())) <= 2
