"""What training minimizes: the losses of the defenses against literal ones, and which statistics move when."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import tiny
from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.expectation import Expectation
from pipeline_lib.attacks.goals import NextClass
from pipeline_lib.attacks.perturbations import AdditiveLinf
from pipeline_lib.attacks.starts import GaussianNoise
from pipeline_lib.defenses.adversarial_training import AdversarialTraining
from pipeline_lib.defenses.adversarial_weight_perturbation import AdversarialWeightPerturbation
from pipeline_lib.defenses.free_adversarial_training import FreeAdversarialTraining
from pipeline_lib.defenses.multi_perturbation import Average, Maximum
from pipeline_lib.defenses.multibn import MultiBNManual
from pipeline_lib.defenses.standard import Standard
from pipeline_lib.defenses.trades import Trades
from pipeline_lib.entries.building import build
from pipeline_lib.errors import PipelineError
from pipeline_lib.networks.resnet import ResNet3D
from pipeline_lib.randomness.generators import clip_generators
from profiling import peak

CLIPS = torch.rand(4, 3, 1, 6, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 1])
EPSILON, ALPHA = 8 / 255, 3 / 255
PGD = Ascent(perturbation=AdditiveLinf(epsilon=EPSILON, step_size=ALPHA), steps=3)
TARGETED = Ascent(perturbation=PGD.perturbation, steps=3, goal=NextClass())
KL_PGD = Ascent(perturbation=PGD.perturbation, start=GaussianNoise(deviation=0.001), steps=3)


def draw(name: str) -> list[torch.Generator]:
    return clip_generators(5, [f"{name} {i}" for i in range(4)])


def flat_network(norm: Callable[[], nn.Module] = lambda: nn.BatchNorm1d(8)) -> nn.Module:
    """Takes images and clips alike; its statistics are not at their initial values."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(108, 8), norm(), nn.ReLU(), nn.Linear(8, 3))
        for _ in range(3):
            network(torch.rand(16, 108))
    return network.train()


def gradients(network: nn.Module, loss: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, list(network.parameters())))


def buffers(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.named_buffers()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


class Shift:
    """An attack that adds a fixed amount to each clip."""

    def __init__(self, *amounts: float) -> None:
        self.amounts = torch.tensor(amounts)

    def __call__(self, loss, clips, generators):
        return clips + self.amounts.view(-1, 1, 1, 1, 1)


class Brightness(nn.Module):
    """Two classes: the logit of the first falls with the mean of a clip, so that its loss for label 0 rises."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(()))

    def forward(self, clips):
        mean = clips.flatten(1).mean(1) * self.slope
        return torch.stack([-mean, mean], 1)


def literal_trades(network: nn.Module, beta: float) -> torch.Tensor:
    """The reference code's steps, with the attack's noise: it passes x anew in every step and twice in the loss."""
    network.eval()
    noise = torch.stack([torch.empty(CLIPS.shape[1:]).normal_(0, 0.001, generator=g) for g in draw("attack")])
    moved = (CLIPS + noise).clamp(0, 1)
    for _ in range(3):
        moved.requires_grad_()
        apart = F.kl_div(network(moved).log_softmax(1), network(CLIPS).softmax(1), reduction="sum")
        (gradient,) = torch.autograd.grad(apart, moved)
        moved = moved.detach() + ALPHA * gradient.sign()
        moved = torch.min(torch.max(moved, CLIPS - EPSILON), CLIPS + EPSILON).clamp(0, 1)
    network.train()
    natural = F.cross_entropy(network(CLIPS), LABELS)
    apart = F.kl_div(network(moved).log_softmax(1), network(CLIPS).softmax(1), reduction="sum") / len(CLIPS)
    return natural + beta * apart


class Seen:
    """Records the clips of each pass of a network, and the type of its weights in it."""

    def __init__(self, network: nn.Module) -> None:
        self.clips: list[torch.Tensor] = []
        self.types: list[torch.dtype] = []
        network.register_forward_pre_hook(self.note)

    def note(self, network: nn.Module, given: tuple[torch.Tensor]) -> None:
        self.clips.append(given[0].detach().clone())
        self.types.append(next(network.parameters()).dtype)


def test_free_training_is_compared_on_examples_of_the_fast_gradient_sign_method():
    network, other = flat_network(), flat_network().eval()
    leaf = CLIPS.clone().requires_grad_()
    F.cross_entropy(other(leaf), LABELS, reduction="sum").backward()
    seen = Seen(network)
    FreeAdversarialTraining(epsilon=EPSILON, replays=4).objective(network, CLIPS, LABELS, draw)
    assert len(seen.clips) == 2
    torch.testing.assert_close(seen.clips[-1], (CLIPS + EPSILON * leaf.grad.sign()).clamp(0, 1))


def test_weight_perturbation_is_compared_as_adversarial_training():
    found, expected = (
        defense.objective(flat_network(), CLIPS, LABELS, draw)
        for defense in (AdversarialWeightPerturbation(attack=PGD, gamma=0.5), AdversarialTraining(attack=PGD))
    )
    assert torch.equal(found.loss, expected.loss)
    assert torch.equal(found.logits, expected.logits)


@pytest.mark.parametrize("rounded", [True, False])
def test_attacks_of_a_training_in_bf16_use_rounded_weights_and_the_training_does_not(rounded):
    network = flat_network()
    seen = Seen(network)
    with torch.autocast("cpu", torch.bfloat16, enabled=rounded):
        AdversarialTraining(attack=PGD).objective(network, CLIPS, LABELS, draw)
    assert seen.types == [torch.bfloat16 if rounded else torch.float32] * PGD.steps + [torch.float32]


@pytest.mark.parametrize("beta", [0.0, 1.0, 6.0])
def test_trades_is_the_literal_loss_and_gradient(beta):
    network, other = flat_network(), flat_network()
    outcome = Trades(attack=KL_PGD, beta=beta).objective(network, CLIPS, LABELS, draw)
    expected = literal_trades(other, beta)
    torch.testing.assert_close(outcome.loss, expected)
    for ours, theirs in zip(gradients(network, outcome.loss), gradients(other, expected), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    assert network[2].num_batches_tracked - other[2].num_batches_tracked == -1  # two passes, theirs three


def test_trades_without_beta_is_training_on_clean_clips():
    network, other = flat_network(), flat_network()
    ours = Trades(attack=KL_PGD, beta=0.0).objective(network, CLIPS, LABELS, draw)
    clean = Standard().objective(other, CLIPS, LABELS, draw)
    assert torch.equal(ours.loss, clean.loss)
    assert torch.equal(ours.logits[:4], clean.logits)
    assert torch.equal(ours.labels, torch.cat([LABELS, LABELS]))


def test_trades_attack_drives_the_outputs_apart():
    """Further than the start does, on the network as it is attacked."""
    network, seen = flat_network(), []

    def watched(loss, clips, generators):
        found = KL_PGD(loss, clips, generators)
        seen.append([loss(clips), loss(clips + 0.001), loss(found)])
        return found

    Trades(attack=watched, beta=1.0).objective(network, CLIPS, LABELS, draw)
    at_clean, beside, found = seen[0]
    assert at_clean.abs().max() < 1e-6
    assert (found > 10 * beside).all()


def test_maximum_of_one_attack_is_the_average_of_one():
    for level in ("batch", "sample"):
        network, other = flat_network(), flat_network()
        maximum = Maximum(attacks=[KL_PGD], level=level).objective(network, CLIPS, LABELS, draw)
        average = Average(attacks=[KL_PGD]).objective(other, CLIPS, LABELS, draw)
        for ours, theirs in zip(maximum[:3], average[:3], strict=True):
            assert torch.equal(ours, theirs)
        for ours, theirs in zip(gradients(network, maximum.loss), gradients(other, average.loss), strict=True):
            assert torch.equal(ours, theirs)
        assert same(buffers(network), buffers(other))


def test_average_of_one_attack_is_the_mean_of_clean_and_adversarial_training():
    """Without BatchNorm, which sees the mixture in one and each alone in the other."""
    network = flat_network(nn.Identity)
    average = Average(attacks=[PGD]).objective(network, CLIPS, LABELS, draw)
    clean = Standard().objective(network, CLIPS, LABELS, draw)
    adversarial = AdversarialTraining(attack=PGD).objective(network, CLIPS, LABELS, draw)
    torch.testing.assert_close(average.logits, torch.cat([clean.logits, adversarial.logits]))
    torch.testing.assert_close(average.loss, (clean.loss + adversarial.loss) / 2)
    assert adversarial.loss > clean.loss


ATTACKS = [Shift(0.3, 0.0, 0.9, 0.0), Shift(0.0, 0.2, 0.0, 0.4), Shift(0.1, 0.1, 0.1, 0.1)]


@pytest.mark.parametrize(
    ("level", "amounts"), [("batch", [0.3, 0.0, 0.9, 0.0]), ("sample", [0.3, 0.2, 0.9, 0.4])], ids=["batch", "sample"]
)
def test_maximum_trains_on_the_worst(level, amounts):
    network, labels = Brightness().train(), torch.zeros(4, dtype=torch.long)
    outcome = Maximum(attacks=ATTACKS, level=level).objective(network, CLIPS, labels, draw)
    worst = CLIPS + torch.tensor(amounts).view(-1, 1, 1, 1, 1)
    torch.testing.assert_close(outcome.logits, network(torch.cat([CLIPS, worst])))
    assert torch.equal(outcome.labels, torch.cat([labels, labels]))


def test_maximum_compares_the_network_as_it_is_attacked():
    """Statistics of a batch would cancel the brightness that all clips of an attack share."""
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(108), Brightness()).train()
    labels = torch.zeros(4, dtype=torch.long)
    bright, dark = Shift(0.5, 0.5, 0.5, 0.5), Shift(-0.5, -0.5, -0.5, -0.5)
    for attacks in ([bright, dark], [dark, bright]):
        outcome = Maximum(attacks=attacks).objective(network, CLIPS, labels, draw)
        assert (outcome.logits[4:, 0] < outcome.logits[:4, 0]).all()


def watching(attack, network: nn.Module, before: dict[str, torch.Tensor]):
    """The attack, asserting that it is called in eval mode and that no statistic has moved before or after it."""

    def watched(loss, clips, generators):
        assert not any(part.training for part in network.modules())
        assert same(before, buffers(network))
        found = attack(loss, clips, generators)
        assert same(before, buffers(network))
        return found

    return watched


UPDATES = {"standard": 1, "at_pgd": 1, "average": 1, "maximum": 1, "trades": 2, "at_msd": 1, "multibn": 1}


@pytest.mark.parametrize("name", tiny.DEFENSES)
def test_statistics_move_in_training_passes_only(name):
    clips = torch.rand(4, 3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    defense = build(tiny.DEFENSES[name])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = defense.extend(ResNet3D(depth=10, width=4, stem_kernel=3, stem_pool=False, stages=2)(3)).train()
    before = buffers(network)
    watch(defense, network, before)
    defense.objective(network, clips, LABELS, draw)
    assert all(part.training for part in network.modules())
    counted = {key: value for key, value in buffers(network).items() if key.endswith("num_batches_tracked")}
    assert all(value - before[key] == UPDATES[name] for key, value in counted.items())
    assert len(counted) > 4


def watch(defense, network: nn.Module, before: dict[str, torch.Tensor]) -> None:
    """Every attack of the defense is watched, in place."""
    for field, value in vars(defense).items():
        if field == "attack":
            object.__setattr__(defense, field, watching(value, network, before))
        if field == "attacks":
            value[:] = [watching(attack, network, before) for attack in value]
        if field == "branches":
            for attacks in value.values():
                attacks[:] = [watching(attack, network, before) for attack in attacks]


@pytest.mark.parametrize("name", ["average", "maximum", "multibn"])
def test_every_attack_of_a_step_and_every_clip_draws_numbers_of_its_own(name):
    """Two attacks of one branch as well: otherwise their random starts would be the same."""
    seeds = []

    def noted(loss, clips, generators):
        seeds.extend(generator.initial_seed() for generator in generators)
        return clips

    defense = {
        "average": Average(attacks=[noted, noted]),
        "maximum": Maximum(attacks=[noted, noted]),
        "multibn": MultiBNManual(branches={"clean": [None], "lp": [noted, noted], "physical": [noted]}),
    }[name]
    with torch.random.fork_rng():
        network = defense.extend(ResNet3D(depth=10, width=4, stem_kernel=3, stem_pool=False, stages=1)(3)).train()
    defense.objective(network, torch.rand(4, 3, 2, 8, 8), LABELS, draw)
    assert len(seeds) == len(set(seeds)) == (12 if name == "multibn" else 8)


@pytest.mark.parametrize("name", ["average", "maximum"])
def test_the_training_pass_sees_clean_and_adversarial_clips_together(name):
    network, examples = flat_network(), []

    def kept(loss, clips, generators):
        examples.append(PGD(loss, clips, generators))
        return examples[-1]

    other = copy.deepcopy(network)
    defense = {"average": Average, "maximum": Maximum}[name](attacks=[kept])
    outcome = defense.objective(network, CLIPS, LABELS, draw)
    assert torch.equal(outcome.logits, other(torch.cat([CLIPS, *examples])))
    assert same(buffers(network), buffers(other))


IMAGES = CLIPS[:, :, 0]


@pytest.mark.parametrize("name", [name for name in tiny.DEFENSES if name != "multibn"])
def test_images_train_as_clips_of_one_frame(name):
    outcomes = []
    for inputs in (IMAGES, CLIPS):
        network = flat_network()
        outcome = build(tiny.DEFENSES[name]).objective(network, inputs, LABELS, draw)
        outcomes.append([*outcome[:3], *gradients(network, outcome.loss), *network.buffers()])
    assert all(torch.equal(image, clip) for image, clip in zip(*outcomes, strict=True))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Maximum(attacks=[]), "attacks is empty: maximum needs one or more"),
        (lambda: Trades(attack=PGD, beta=-1), "beta is -1: it must be at least 0"),
        (lambda: Trades(attack=TARGETED), r"goal is NextClass\(\): the attack of trades maximizes a divergence"),
        (lambda: Trades(attack=Expectation(attack=TARGETED)), r"goal is NextClass\(\): the attack of trades"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(PipelineError, match=message):
        make()


def test_average_over_one_attack_without_clean_clips_is_adversarial_training():
    network = flat_network()
    other = copy.deepcopy(network)
    average = Average(attacks=[PGD], clean=False).objective(network, CLIPS, LABELS, draw)
    single = AdversarialTraining(attack=PGD).objective(other, CLIPS, LABELS, draw)
    assert torch.equal(average.loss, single.loss)
    assert same(buffers(network), buffers(other))
    assert all(map(torch.equal, gradients(network, average.loss), gradients(other, single.loss)))


def test_average_of_no_attacks_is_refused():
    with pytest.raises(PipelineError, match="attacks is empty: average"):
        Average(attacks=[])


def test_an_inner_attack_hardly_adds_to_the_memory_of_a_step():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ResNet3D(depth=10, width=16, stem_kernel=3, stem_pool=False)(3).train()
    clips = torch.rand(4, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))

    def step(defense: AdversarialTraining | Standard) -> None:
        network.zero_grad(set_to_none=True)
        defense.objective(network, clips, LABELS, draw).loss.backward()

    plain, adversarial = peak(lambda: step(Standard())), peak(lambda: step(AdversarialTraining(attack=PGD)))
    assert plain > 10 * clips.nbytes
    assert adversarial <= 1.15 * plain
