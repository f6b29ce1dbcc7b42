"""Attacks against those of torchattacks and foolbox on the same network and videos."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from oracles import oracle
from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.crafting import craft
from pipeline_lib.attacks.goals import LeastLikely, NextClass
from pipeline_lib.attacks.losses import attacking
from pipeline_lib.attacks.lp_perturbations import AdditiveL2
from pipeline_lib.attacks.perturbations import AdditiveLinf
from pipeline_lib.networks.resnet import ResNet3D
from pipeline_lib.randomness.generators import clip_generators

torchattacks = oracle("torchattacks")
foolbox = oracle("foolbox")

LEVELS = torch.randint(-40, 296, (4, 3, 4, 24, 24), generator=torch.Generator().manual_seed(0)).clamp(0, 255)
CLIPS = LEVELS / 255
# For l2: no step meets the box, whose place in the loop differs between foolbox and the papers' authors.
INNER = 0.3 + 0.4 * CLIPS.double()
LABELS = torch.tensor([0, 1, 2, 3])
EPSILON, ALPHA = 8 / 255, 3 / 255


@pytest.fixture(scope="module")
def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ResNet3D(depth=10, width=8, stages=2, stem_kernel=3, stem_pool=False)(5)
    return network.eval().requires_grad_(False)


def linf(steps: int, **options) -> Ascent:
    return Ascent(perturbation=AdditiveLinf(epsilon=EPSILON, step_size=ALPHA), steps=steps, **options)


@pytest.mark.parametrize("steps", [1, 5])
def test_pgd_is_that_of_torchattacks_bit_for_bit(network, steps):
    theirs = torchattacks.PGD(network, eps=EPSILON, alpha=ALPHA, steps=steps, random_start=False)(CLIPS, LABELS)
    assert torch.equal(craft(network, CLIPS, LABELS, linf(steps)), theirs)


@pytest.mark.parametrize(
    ("goal", "mode"), [(NextClass(), "by_label"), (LeastLikely(), "least_likely")], ids=["next class", "least likely"]
)
def test_targeted_pgd_is_that_of_torchattacks_bit_for_bit(network, goal, mode):
    pgd = torchattacks.PGD(network, eps=EPSILON, alpha=ALPHA, steps=5, random_start=False)
    given = LABELS
    if mode == "by_label":
        pgd.set_mode_targeted_by_label(quiet=True)
        given = (LABELS + 1) % 5
    else:
        pgd.set_mode_targeted_least_likely(kth_min=1, quiet=True)
    ours = craft(network, CLIPS, LABELS, linf(5, goal=goal))
    assert torch.equal(ours, pgd(CLIPS, given))
    assert not torch.equal(ours, craft(network, CLIPS, LABELS, linf(5)))


def test_fgsm_is_that_of_torchattacks_and_of_foolbox(network):
    fgsm = Ascent(perturbation=AdditiveLinf(epsilon=EPSILON, step_size=EPSILON), steps=1)
    ours = craft(network, CLIPS, LABELS, fgsm)
    # x + delta is rounded once more where delta is clamped: up to the last bit.
    torch.testing.assert_close(torchattacks.FGSM(network, eps=EPSILON)(CLIPS, LABELS), ours, rtol=0, atol=1.2e-7)
    model = foolbox.PyTorchModel(network, bounds=(0, 1))
    theirs = foolbox.attacks.LinfFastGradientAttack().run(model, CLIPS, LABELS, epsilon=EPSILON)
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1.2e-7)


def test_pgd_l2_is_that_of_foolbox_in_float64(network):
    double = ResNet3D(depth=10, width=8, stages=2, stem_kernel=3, stem_pool=False)(5).double().eval()
    double.load_state_dict(network.state_dict())
    theirs = foolbox.attacks.L2ProjectedGradientDescentAttack(abs_stepsize=0.2, steps=5, random_start=False).run(
        foolbox.PyTorchModel(double, bounds=(0, 1)), INNER, LABELS, epsilon=0.7
    )
    pgd = Ascent(perturbation=AdditiveL2(epsilon=0.7, step_size=0.2), steps=5)
    with attacking(double):
        ours = pgd(
            lambda clips: F.cross_entropy(double(clips), LABELS, reduction="none"),
            INNER,
            clip_generators(0, list("abcd")),
        )
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    torch.testing.assert_close((ours - INNER).flatten(1).norm(dim=1), torch.full((4,), 0.7, dtype=torch.float64))


def test_pgd_is_that_of_foolbox(network):
    theirs = foolbox.attacks.LinfProjectedGradientDescentAttack(abs_stepsize=ALPHA, steps=5, random_start=False).run(
        foolbox.PyTorchModel(network, bounds=(0, 1)), CLIPS, LABELS, epsilon=EPSILON
    )
    torch.testing.assert_close(craft(network, CLIPS, LABELS, linf(5)), theirs, rtol=0, atol=1e-6)
