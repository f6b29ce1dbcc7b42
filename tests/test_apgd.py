"""APGD: exact on linear networks, as torchattacks' on a network, inside every set and region."""

from dataclasses import dataclass
from dataclasses import replace as changed

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attack_cases import five_classes, linear_in, of_attacks, weights_like
from oracles import oracle
from pipeline_lib.attacks import (
    DLR,
    AdditiveL1,
    AdditiveL2,
    AdditiveLinf,
    AllPixels,
    Apgd,
    Ascent,
    AtClean,
    Border,
    Constant,
    FirstSampleOnly,
    LogOdds,
    LogUniform,
    Margin,
    PrintedRatioL2,
    RandomPixels,
    RandomRectangle,
    RatioL2,
    RatioLinf,
    SearchedRectangle,
    SomeFrames,
    TargetedDLR,
    UniformNoise,
    craft,
)
from pipeline_lib.attacks.adaptive_steps import Checkpoints
from pipeline_lib.attacks.apgd import MostWrong
from pipeline_lib.attacks.goals import Untargeted as CrossEntropy
from pipeline_lib.attacks.losses import on_logits
from pipeline_lib.attacks.norms import onto_l1_ball_in_box
from pipeline_lib.configuration.entries import resolve
from pipeline_lib.entries.building import build
from pipeline_lib.errors import PipelineError
from pipeline_lib.randomness.generators import clip_generators

DRAW = torch.Generator().manual_seed(0)
VIDEOS = torch.randint(0, 256, (4, 3, 2, 8, 8), generator=DRAW) / 255
IMAGES = VIDEOS[:, :, 0]
INNER = 0.4 + 0.2 * VIDEOS
LABELS = torch.tensor([0, 1, 2, 3])
LINF, L2, L1 = (
    AdditiveLinf(epsilon=0.05, step_size=0.01),
    AdditiveL2(epsilon=0.5, step_size=0.1),
    AdditiveL1(epsilon=2.0, step_size=0.1),
)
RATIO, RATIO_L2 = RatioLinf(epsilon=1.2, step_size=1.05), RatioL2(epsilon=0.8, step_size=1.05)
SETS = [
    LINF,
    L2,
    L1,
    RATIO,
    RATIO_L2,
    RatioLinf(epsilon=1.2, step_size=1.1, zeros="floor"),
    changed(RATIO_L2, per="frame"),
]


def inside(perturbation, **options) -> Ascent:
    return Ascent(perturbation=perturbation, steps=1, **options)


def apgd(perturbation, *, steps: int = 20, goal=None, restarts: int = 1, **options) -> Apgd:
    given = {} if goal is None else {"goal": goal}
    return Apgd(inside=inside(perturbation, **options), steps=steps, restarts=restarts, **given)


def run(attack: Apgd, loss, clips: Tensor, seed: int = 0) -> Tensor:
    return attack(loss, clips, clip_generators(seed, [str(i) for i in range(len(clips))]))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return five_classes()


@pytest.mark.parametrize("clips", [INNER, INNER[:, :, 0]], ids=["videos", "images"])
def test_it_reaches_the_optimum_of_a_linear_loss(clips):
    weight = weights_like(clips)
    found = {type(p).__name__: run(apgd(p), linear_in(weight), clips) for p in (LINF, L2, RATIO, RATIO_L2)}
    torch.testing.assert_close(found["AdditiveLinf"], clips + 0.05 * weight.sign())
    torch.testing.assert_close(found["AdditiveL2"], clips + 0.5 * weight / weight.norm())
    torch.testing.assert_close(found["RatioLinf"], clips * 1.2 ** weight.sign())
    slope = clips * weight
    direction = slope / slope.flatten(1).norm(dim=1).view(-1, *[1] * (clips.dim() - 1))
    torch.testing.assert_close(found["RatioL2"], clips * (1 + 0.8 * direction), rtol=0, atol=2e-3)


def test_in_the_box_it_reaches_the_optimum_of_an_l1_ball():
    """The largest weights first, each as far as the box lets it."""
    weight = weights_like(VIDEOS)
    room = torch.where(weight > 0, 1 - VIDEOS, VIDEOS).flatten(1)
    order = weight.abs().flatten().argsort(descending=True)
    spent = (2.0 - (room[:, order].cumsum(1) - room[:, order])).clamp_min(0).minimum(room[:, order])
    best = (spent * weight.abs().flatten()[order]).sum(1)
    found = run(apgd(L1, steps=100), linear_in(weight), VIDEOS)
    gained = (linear_in(weight)(found) - linear_in(weight)(VIDEOS)) / best
    assert (gained > 0.97).all()
    assert (gained < 1 + 1e-5).all()


REGIONS = [
    (AllPixels(), AtClean()),
    (RandomRectangle(height=3, width=3), Constant(value=0.5)),
    (Border(width=1), UniformNoise(radius=0.5)),
    (RandomPixels(count=5), LogUniform(ratio=3.0)),
    (SearchedRectangle(height=4, width=4, search="gradient"), AtClean()),
    (SomeFrames(count=1), AtClean()),
    (FirstSampleOnly(region=Border(width=1)), AtClean()),
]


def test_the_cases_have_every_region_and_every_bound_that_it_supports():
    assert {type(region) for region, _ in REGIONS} == of_attacks("admits")
    assert {type(perturbation) for perturbation in SETS} == of_attacks("project") - {PrintedRatioL2}


@pytest.mark.parametrize("perturbation", SETS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize(("region", "start"), REGIONS, ids=lambda part: type(part).__name__)
@pytest.mark.parametrize("clips", [VIDEOS, IMAGES], ids=["videos", "images"])
def test_it_stays_in_the_set_and_above_the_first_iterate(perturbation, region, start, clips):
    attack = apgd(perturbation, steps=8, region=region, start=start)
    weight = weights_like(clips)

    def loss(x: Tensor) -> Tensor:
        return linear_in(weight)(x) + 3 * (5 * x).sin().flatten(1).sum(1)

    found = run(attack, loss, clips)
    assert found.min() >= 0
    assert found.max() <= 1
    assert (attack.ratio_to_bound(found, clips) <= 1 + 1e-4).all()
    assert (found != clips).any()
    first = run(changed(attack, steps=1), loss, clips)
    assert (loss(found) >= loss(first)).all()


def test_its_rectangles_are_those_of_the_attack_whose_set_it_is():
    options = {"region": RandomRectangle(height=3, width=3), "start": Constant(value=0.5)}
    gray = AdditiveLinf(epsilon=1.0, step_size=0.3)
    weight = weights_like(VIDEOS)
    theirs = run(Ascent(perturbation=gray, steps=2, **options), linear_in(weight), VIDEOS)
    ours = run(apgd(gray, steps=5, **options), linear_in(weight), VIDEOS)
    assert torch.equal((theirs != VIDEOS).any(1), (ours != VIDEOS).any(1))
    assert torch.equal(run(apgd(gray, **options), linear_in(weight), VIDEOS)[1:2], run_one(gray, options, weight))


def run_one(perturbation, options, weight: Tensor) -> Tensor:
    """The second clip alone."""
    return apgd(perturbation, **options)(linear_in(weight), VIDEOS[1:2], clip_generators(0, ["1"]))


def test_it_takes_as_many_passes_as_steps_and_one_forward():
    calls = []

    def loss(clips: Tensor) -> Tensor:
        calls.append(clips.requires_grad)
        return linear_in(weights_like(VIDEOS))(clips)

    run(apgd(LINF, steps=7), loss, VIDEOS)
    assert calls == [True] * 7 + [False]


def test_restarts_keep_the_largest_loss():
    def loss(clips: Tensor) -> Tensor:
        return (40 * clips).sin().flatten(1).sum(1)

    options = {"start": UniformNoise(radius=0.05), "steps": 4}
    once, often = (loss(run(apgd(LINF, restarts=n, **options), loss, VIDEOS)) for n in (1, 5))
    assert (often >= once).all()
    assert (often > once).any()


def test_it_is_stronger_than_the_same_number_of_large_steps():
    """The loss has its maximum inside the set, which steps of the bound pass over."""

    def loss(clips: Tensor) -> Tensor:
        return -((clips - INNER - 0.013) ** 2).flatten(1).sum(1)

    large = Ascent(perturbation=AdditiveLinf(epsilon=0.05, step_size=0.05), steps=20)
    assert (loss(run(apgd(LINF), loss, INNER)) > 0.02 * loss(run(large, loss, INNER))).all()


def test_a_clip_without_a_finite_loss_is_nan():
    def loss(clips: Tensor) -> Tensor:
        sums = clips.flatten(1).sum(1)
        return sums / torch.tensor([1.0, 0.0, 1.0, 1.0])

    assert run(apgd(LINF), loss, VIDEOS).isnan().flatten(1).any(1).tolist() == [False, True, False, False]


def test_in_bf16_it_is_about_as_strong(network):
    logits = [network(craft(network, IMAGES, LABELS, Apgd(inside=inside(LINF), precision=p))) for p in ("fp32", "bf16")]
    losses = [F.cross_entropy(z, LABELS, reduction="none") for z in logits]
    torch.testing.assert_close(*losses, rtol=0.05, atol=0.02)
    assert not torch.equal(*losses)


@dataclass(frozen=True)
class Given:
    """A start that an oracle drew."""

    clips: Tensor

    def first(self, clips: Tensor, generators) -> Tensor:
        return self.clips

    def center(self, clips: Tensor, region: Tensor) -> Tensor:
        return clips


MANY = torch.randint(60, 196, (60, 3, 8, 8), generator=torch.Generator().manual_seed(5)) / 255


def first_of_torchattacks(norm: str, epsilon: float, seed: int = 0) -> Tensor:
    """Where its only climb starts."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if norm == "Linf":
            noise = 2 * torch.rand(MANY.shape) - 1
            size = noise.abs().flatten(1).amax(1)
        else:
            noise = torch.randn(MANY.shape)
            size = noise.flatten(1).norm(dim=1)
    return (MANY + epsilon * noise / size.view(-1, 1, 1, 1)).clamp(0, 1)


def compared_with_zero(monkeypatch) -> None:
    """Whether the first step raised the loss, torchattacks finds by comparison with 0 instead of the start's loss."""
    own = Checkpoints.observe

    def observe(self, losses: Tensor, best_losses: Tensor, best: Tensor) -> Tensor | None:
        starts = self.losses is None
        back = own(self, losses, best_losses, best)
        self.losses = torch.zeros_like(losses) if starts else self.losses
        return back

    monkeypatch.setattr(Checkpoints, "observe", observe)


def test_its_first_iterate_is_the_nearest_point_to_a_start_cut_to_the_box():
    seen, wide = [], 3 * VIDEOS - 1
    attack = Apgd(inside=inside(L1), start=Given(wide), steps=1)
    run(attack, lambda clips: seen.append(clips.detach().clone()) or clips.flatten(1).sum(1), VIDEOS)
    nearest = VIDEOS + onto_l1_ball_in_box(wide.clamp(0, 1) - VIDEOS, VIDEOS, 2.0)
    torch.testing.assert_close(seen[0], nearest)


def test_of_equal_losses_the_first_iterate_is_kept():
    found = MostWrong(VIDEOS)
    for clips in (INNER, VIDEOS):
        found.offer(clips, torch.zeros(4), None)
    assert torch.equal(found.clips, INNER)


@pytest.mark.parametrize(
    ("norm", "perturbation", "loss"),
    [("Linf", AdditiveLinf, "ce"), ("Linf", AdditiveLinf, "dlr"), ("L2", AdditiveL2, "ce"), ("L2", AdditiveL2, "dlr")],
)
def test_it_is_that_of_torchattacks(network, monkeypatch, norm, perturbation, loss):
    torchattacks = oracle("torchattacks")
    compared_with_zero(monkeypatch)
    epsilon = {"Linf": 0.03, "L2": 0.25}[norm]
    with torch.no_grad():
        labels = network(MANY).argmax(1)
    theirs = torchattacks.APGD(network, norm=norm, eps=epsilon, steps=25, loss=loss)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        _, correct, losses, _ = theirs.attack_single_run(MANY, labels)
    goal = {"ce": CrossEntropy(), "dlr": DLR()}[loss]
    start = Given(first_of_torchattacks(norm, epsilon))
    attack = apgd(perturbation(epsilon=epsilon, step_size=0.1), steps=25, goal=goal, start=start)
    climbed = on_logits(network, goal.criterion(network, MANY, labels))
    # In l2 no two programs round alike, and where the losses of two iterates differ by rounding, step sizes follow.
    apart = (climbed(run(attack, climbed, MANY)) - losses).abs()
    assert apart.max() < {"Linf": 1e-6, "L2": 1e-3}[norm]
    assert apart.quantile(0.95) < 1e-4
    # With a network that is known, a clip that fools it is preferred to one of larger loss.
    assert 5 < correct.sum() < 55
    assert torch.equal(network(craft(network, MANY, labels, attack)).argmax(1) == labels, correct)


def test_its_targeted_form_is_that_of_torchattacks(network, monkeypatch):
    torchattacks = oracle("torchattacks")
    compared_with_zero(monkeypatch)
    with torch.no_grad():
        labels = network(MANY).argmax(1)
    theirs = torchattacks.APGDT(network, eps=0.03, steps=25, n_classes=5)
    start = Given(first_of_torchattacks("Linf", 0.03))
    for rank in (1, 3):
        theirs.target_class = rank + 1
        with torch.random.fork_rng():
            torch.manual_seed(0)
            _, _, losses, _ = theirs.attack_single_run(MANY, labels)
        goal = TargetedDLR(rank=rank)
        attack = apgd(AdditiveLinf(epsilon=0.03, step_size=0.1), steps=25, goal=goal, start=start)
        climbed = on_logits(network, goal.criterion(network, MANY, labels))
        torch.testing.assert_close(climbed(run(attack, climbed, MANY)), losses, rtol=0, atol=1e-5)


def test_the_losses_by_hand():
    logits = torch.tensor([[3.0, 1.0, 2.0, -1.0, 0.5]])
    of = {
        goal: goal.criterion(lambda clips: logits, VIDEOS, torch.tensor([0]))
        for goal in (Margin(), DLR(), TargetedDLR(rank=2))
    }
    assert of[Margin()](logits).tolist() == [-1.0]
    assert of[DLR()](logits).tolist() == [-1 / 2]
    assert of[TargetedDLR(rank=2)](logits).item() == pytest.approx(-2 / (3 - 0.75))
    wrong = torch.tensor([[1.0, 3.0, 2.0, -1.0, 0.5]])
    assert of[Margin()](wrong).tolist() == [2.0]
    assert of[DLR()](1e4 * wrong + 7).item() == pytest.approx(1.0)


def test_saturated_logits_hide_nothing_from_dlr(network):
    """Cross-entropy has no gradient left where the margin is above 110; DLR is the same for scaled logits."""

    def scaled(clips: Tensor) -> Tensor:
        return 1e4 * network(clips)

    with torch.no_grad():
        labels = network(MANY).argmax(1)
    attack = apgd(AdditiveLinf(epsilon=0.03, step_size=0.1), goal=DLR())
    plain, hidden = (craft(wrapped(model), MANY, labels, attack) for model in (network, scaled))
    torch.testing.assert_close(plain, hidden, rtol=0, atol=1e-3)


def wrapped(model) -> nn.Module:
    class Wrapped(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            return model(clips)

    return Wrapped()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: apgd(PrintedRatioL2(epsilon=1.0, step_size=1.1)), "inside.perturbation is PrintedRatioL2: it has no"),
        (lambda: Apgd(inside=apgd(LINF)), "inside is a Apgd: apgd needs an attack of method ascent"),
        (lambda: apgd(LINF, steps=0), "steps is 0"),
        (lambda: Apgd(inside=inside(LINF), precision="fp16"), "config: precision: fp16 is refused"),
        (lambda: Apgd(inside=inside(LINF), precision="tf32"), "evaluation.precision"),
    ],
)
def test_errors_of_the_entry(make, message):
    with pytest.raises(PipelineError, match=message):
        make()


@pytest.mark.parametrize(
    ("goal", "classes", "message"),
    [
        (DLR(), 2, "dlr needs 3 classes"),
        (TargetedDLR(), 3, "dlr_targeted needs 4 classes"),
        (TargetedDLR(rank=4), 4, "rank is 4"),
    ],
)
def test_losses_that_need_more_classes_than_there_are(goal, classes, message):
    two = nn.Sequential(nn.Flatten(), nn.Linear(192, classes))
    with pytest.raises(PipelineError, match=message):
        craft(two, IMAGES, torch.zeros(4, dtype=torch.long), apgd(LINF, goal=goal))


@pytest.mark.parametrize(
    ("goal", "name", "needed"),
    [(LogOdds(), "log_odds", 2), (Margin(), "margin", 2), (DLR(), "dlr", 3), (TargetedDLR(), "dlr_targeted", 4)],
)
def test_a_loss_that_needs_more_classes_is_named(goal, name, needed):
    logits, labels = torch.zeros(4, needed - 1), torch.zeros(4, dtype=torch.long)
    with pytest.raises(PipelineError, match=f"^{name} needs {needed} classes"):
        goal.criterion(lambda clips: logits, VIDEOS, labels)(logits)


def test_its_entry_names_the_attack_whose_set_it_is():
    pgd = {
        "method": "ascent",
        "perturbation": {"method": "additive_linf", "epsilon": "8/255", "step_size": "2/255"},
        "steps": 3,
    }
    entry = {"method": "apgd", "inside": "pgd", "steps": 9, "goal": {"method": "dlr_targeted", "rank": 2}}
    built = build(resolve("attacks.worst", entry, {"Attack": {"pgd": pgd, "worst": entry}}))
    assert built.inside == Ascent(perturbation=AdditiveLinf(epsilon=8 / 255, step_size=2 / 255), steps=3)
    assert built.goal == TargetedDLR(rank=2)
