"""Attacks from Python: the documented example, a network left as it was, and what is refused."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from pipeline_lib import attacks
from pipeline_lib.attacks import (
    Adam,
    AdditiveLinf,
    Ascent,
    Border,
    Constant,
    Expectation,
    FixedPattern,
    LeastLikely,
    RandomRectangle,
    RatioLinf,
    TargetClass,
    UniformNoise,
    UniversalFraming,
    Untargeted,
    craft,
)
from pipeline_lib.entries.methods import METHODS
from pipeline_lib.networks.resnet import ResNet3D
from profiling import peak
from readme import example

CLIPS = torch.randint(0, 256, (4, 3, 2, 16, 16), generator=torch.Generator().manual_seed(0)) / 255
LABELS = torch.tensor([0, 1, 2, 3])
PGD = Ascent(
    perturbation=AdditiveLinf(epsilon=16 / 255, step_size=4 / 255), start=UniformNoise(radius=16 / 255), steps=10
)
NAMES = ["a", "b", "c", "d"]


def small_network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Conv3d(3, 8, 3, padding=1), nn.BatchNorm3d(8), nn.ReLU(), nn.Dropout(0.5)]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool3d(4), nn.Flatten(), nn.Linear(512, 5))


def test_the_example_of_the_tutorial():
    network, clips, labels = small_network().eval(), CLIPS, LABELS
    names = {"network": network, "clips": clips, "labels": labels}
    exec(example("python", "craft("), names)
    adversarial, loss = names["adversarial"], nn.CrossEntropyLoss()
    assert 0 < (adversarial - clips).abs().max() <= 4 / 255 + 1e-6
    assert loss(network(adversarial), labels) > loss(network(clips), labels)
    assert not adversarial.requires_grad


@pytest.mark.parametrize("size", [1, 3, 4, 9])
@pytest.mark.parametrize("goal", [Untargeted(), LeastLikely()], ids=["untargeted", "least likely"])
def test_the_size_of_a_batch_changes_no_result(size, goal):
    network, clips, sizes = small_network().double(), CLIPS.double(), []
    network.register_forward_pre_hook(lambda _, arguments: sizes.append(len(arguments[0])))
    attack = Expectation(attack=replace(PGD, goal=goal, restarts=2, steps=2), samples=2)
    whole = craft(network, clips, LABELS, attack)
    assert set(sizes) == {4}
    sizes.clear()
    cut = craft(network, clips, LABELS, attack, batch_size=size)
    assert max(sizes) == min(size, 4)
    torch.testing.assert_close(cut, whole, rtol=0, atol=1e-9)


def test_another_loss_is_made_of_that_of_the_goal():
    """Minus the loss is climbed down: the loss falls."""
    network, loss = small_network().eval(), nn.CrossEntropyLoss()
    helped = craft(network, CLIPS, LABELS, PGD, loss=lambda given: lambda clips: -given(clips))
    assert loss(network(helped), LABELS) < loss(network(CLIPS), LABELS)


def test_a_framing_around_the_picture_gets_its_margin():
    black = FixedPattern(region=Border(width=2), start=Constant(value=1.0), margin=2)
    framed = craft(small_network(), CLIPS, LABELS, black)
    assert torch.equal(framed, nn.functional.pad(CLIPS, [2] * 4, value=1.0))
    framing = UniversalFraming(width=2, learning=Adam())
    shown = craft(small_network(), CLIPS, LABELS, framing.learned(torch.zeros(3, 16, 16)))
    assert torch.equal(shown[..., 2:-2, 2:-2], CLIPS[..., 2:-2, 2:-2])
    assert (shown[..., :2, :] == 0.5).all()


@pytest.mark.parametrize("training", [True, False])
def test_a_network_is_left_as_it_was(training):
    network = small_network().train(training)
    network[1].eval()
    network[6].bias.requires_grad_(False)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [part.training for part in network.modules()]
    flags = [parameter.requires_grad for parameter in network.parameters()]
    craft(network, CLIPS, LABELS, PGD)
    with pytest.raises(ValueError, match="a label is 7"):
        craft(network, CLIPS, LABELS + 4, PGD)
    assert [part.training for part in network.modules()] == modes
    assert [parameter.requires_grad for parameter in network.parameters()] == flags
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_clip_is_named_and_not_numbered():
    """The same clip gets the same draws in any batch and order."""
    network = small_network().double()
    clips = CLIPS.double()
    roa = Ascent(
        perturbation=AdditiveLinf(epsilon=1.0, step_size=0.3),
        region=RandomRectangle(height=4, width=4),
        start=Constant(value=0.5),
        steps=2,
    )
    for attack in (PGD, roa):
        together = craft(network, clips, LABELS, attack, names=NAMES)
        order = [2, 0, 3]
        some = craft(network, clips[order], LABELS[order], attack, names=[NAMES[i] for i in order])
        torch.testing.assert_close(some, together[order], rtol=0, atol=1e-9)
        assert torch.equal(together, craft(network, clips, LABELS, attack, names=NAMES))
        assert not torch.equal(together, craft(network, clips, LABELS, attack, names=NAMES, seed=1))
        assert not torch.equal(together, craft(network, clips, LABELS, attack))


def test_a_target_is_reached():
    network = small_network().eval()
    goal = TargetClass(target=3)
    targeted = Ascent(perturbation=AdditiveLinf(epsilon=0.3, step_size=0.05), steps=20, goal=goal)
    assert 3 not in network(CLIPS).argmax(1)
    assert network(craft(network, CLIPS, LABELS % 3, targeted)).argmax(1).tolist() == [3] * 4


def test_a_clip_that_has_the_target_as_its_label_is_attacked_away_from_it():
    network, labels = small_network(), torch.tensor([2, 1, 2, 0])
    options = {"perturbation": AdditiveLinf(epsilon=0.1, step_size=0.05), "steps": 3}
    targeted = craft(network, CLIPS, labels, Ascent(**options, goal=TargetClass(target=2)))
    untargeted = craft(network, CLIPS, labels, Ascent(**options))
    assert torch.equal(targeted[[0, 2]], untargeted[[0, 2]])
    assert not torch.equal(targeted[[1, 3]], untargeted[[1, 3]])


def test_images_and_attacks_of_ones_own():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(784, 5))
    images = CLIPS[:, :, 0]

    class Darker:
        def __call__(self, loss, clips, generators):
            assert loss(clips).shape == (4,)
            return clips / 2

    assert torch.equal(craft(network, images, LABELS, Darker()), images / 2)
    multav = Ascent(perturbation=RatioLinf(epsilon=1.04, step_size=1.01), steps=3)
    found = craft(network, images, LABELS, multav)
    assert multav.ratio_to_bound(multav.quantize(found, images), images).max() <= 1 + 1e-5


class Broken(nn.Module):
    """Logits of one clip take a value that is not finite."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, clips):
        logits = clips.mean((2, 3, 4))
        return logits * torch.where(torch.arange(len(clips)) == 1, self.value, 1.0)[:, None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clips": CLIPS * 255}, "clips range from 0 to 255: attacks need"),
        ({"clips": CLIPS - 0.5}, "clips range from -0.5 to 0.5"),
        ({"clips": CLIPS * torch.nan}, "clips range from nan to nan"),
        ({"clips": (CLIPS * 255).byte()}, "clips are torch.uint8"),
        ({"clips": CLIPS[0, 0]}, r"clips are torch.float32 of shape \(2, 16, 16\)"),
        ({"clips": CLIPS[:0], "labels": LABELS[:0]}, r"shape \(0, 3, 2, 16, 16\)"),
        ({"labels": LABELS + 2}, r"a label is 5, and the network returns logits of shape \(4, 5\)"),
        ({"labels": LABELS - 1}, "a label is -1: classes are counted from 0"),
        ({"labels": LABELS[:3]}, r"labels are torch.int64 of shape \(3,\): give 4 integers"),
        ({"labels": LABELS.float()}, "labels are torch.float32"),
        ({"names": ["a"]}, "1 generators for 4 clips"),
        ({"batch_size": 0}, "batch_size is 0: it must be at least 1"),
        ({"attack": UniversalFraming(width=2, learning=Adam())}, "a UniversalFraming must be learned on training"),
        ({"labels": torch.tensor([0, 0, 0, 9]), "batch_size": 1}, "a label is 9"),
        ({"network": Broken(torch.nan), "labels": LABELS % 3}, r"not finite on clips \[1\]"),
        ({"network": Broken(torch.inf), "labels": LABELS % 3}, r"not finite on clips \[1\]"),
        (
            {"attack": Ascent(perturbation=PGD.perturbation, region=RandomRectangle(height=17, width=4), steps=1)},
            "a rectangle of 17 x 4 has no position in frames of 16 x 16",
        ),
        (
            {"attack": Ascent(perturbation=PGD.perturbation, goal=TargetClass(target=5), steps=1)},
            "target is 5: the network has the classes 0 to 4",
        ),
    ],
)
def test_bad_input_is_refused_by_its_value(change, message):
    given = {"network": small_network(), "clips": CLIPS, "labels": LABELS, "attack": PGD, "names": NAMES} | change
    with pytest.raises(ValueError, match=message):
        craft(**given)


def test_every_method_of_an_attack_is_offered_by_its_class_name():
    classes = {target.rpartition(":")[2] for target in METHODS.values() if ".attacks." in target}
    assert classes <= {*attacks.__all__}
    for name in attacks.__all__:
        assert getattr(attacks, name).__name__ == name
    assert dir(attacks) == attacks.__all__
    with pytest.raises(AttributeError, match=r"pipeline_lib\.attacks has no 'Nonsense'; it has Adam, AdditiveL1"):
        _ = attacks.Nonsense


def test_importing_the_package_loads_no_attack():
    code = (
        "import sys, pipeline_lib.attacks; print('torch' in sys.modules, *(n for n in sys.modules if 'attacks.' in n))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.split() == ["False"]


def test_memory_is_that_of_one_forward_and_backward_pass():
    """The largest sum of live allocations, as torch's profiler notes them."""
    with torch.random.fork_rng():
        network = ResNet3D(depth=10, width=16, stem_kernel=3, stem_pool=False)(5).eval().requires_grad_(False)
    clips, labels = CLIPS.repeat(1, 1, 4, 2, 2), LABELS

    def one_pass():
        leaf = clips.clone().requires_grad_()
        torch.autograd.grad(nn.functional.cross_entropy(network(leaf), labels, reduction="sum"), leaf)

    floor, ours = peak(one_pass), peak(lambda: craft(network, clips, labels, replace(PGD, steps=2)))
    assert floor > 10 * clips.nbytes
    assert ours <= 1.1 * floor + clips.nbytes  # an attack gets a copy of the clips
