"""Square: exact on linear networks, as strong as torchattacks' on a network, inside every set and region."""

import pytest
import torch
from torch import Tensor, nn

from attack_cases import five_classes, linear_in, of_attacks, weights_like
from oracles import oracle
from pipeline_lib.attacks import (
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
    Margin,
    RandomPixels,
    RandomRectangle,
    RatioLinf,
    SearchedRectangle,
    SomeFrames,
    Square,
    Strongest,
    UniformNoise,
    craft,
)
from pipeline_lib.attacks.goal_loss import goal_loss
from pipeline_lib.configuration.entries import resolve
from pipeline_lib.entries.building import build
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.costs import passes
from pipeline_lib.randomness.draws import drawing, present_generators
from pipeline_lib.randomness.generators import clip_generators

DRAW = torch.Generator().manual_seed(0)
VIDEOS = torch.randint(0, 256, (4, 3, 2, 6, 6), generator=DRAW) / 255
IMAGES = VIDEOS[:, :, 0]
LINF, RATIO, L2 = (
    AdditiveLinf(epsilon=0.05, step_size=0.01),
    RatioLinf(epsilon=1.2, step_size=1.05),
    AdditiveL2(epsilon=0.5, step_size=0.1),
)
FULL = AdditiveLinf(epsilon=1.0, step_size=0.3)
RECTANGLE = {"region": RandomRectangle(height=3, width=3), "start": Constant(value=0.5)}


def square(perturbation, queries: int, **options) -> Square:
    return Square(inside=Ascent(perturbation=perturbation, steps=1, **options), queries=queries)


def named(clips: Tensor) -> list[torch.Generator]:
    return clip_generators(0, [str(i) for i in range(len(clips))])


def run(attack: Square, loss, clips: Tensor) -> Tensor:
    return attack(loss, clips, named(clips))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return five_classes()


MANY = torch.randint(0, 256, (60, 3, 8, 8), generator=torch.Generator().manual_seed(5)) / 255


@pytest.mark.parametrize("clips", [VIDEOS, IMAGES], ids=["videos", "images"])
def test_in_an_linf_bound_it_reaches_the_optimum_of_a_linear_loss(clips):
    clips = clips[..., :4, :4]
    weight = weights_like(clips)
    for perturbation, low, high in (
        (LINF, clips - 0.05, clips + 0.05),
        (RATIO, clips / 1.2, clips * 1.2),
    ):
        best = torch.where(weight > 0, high, low).clamp(0, 1)
        torch.testing.assert_close(run(square(perturbation, 2500), linear_in(weight), clips), best)


@pytest.mark.parametrize("clips", [VIDEOS, IMAGES], ids=["videos", "images"])
def test_the_first_query_is_of_vertical_stripes_and_a_tie_changes_nothing(clips):
    inner = 0.1 + 0.8 * clips
    up = torch.stack([torch.rand((3, 6), generator=one) for one in named(clips)]) >= 0.5
    stripes = torch.where(up, 0.05, -0.05).view(4, 3, *[1] * (clips.dim() - 3), 6)
    for queries in (1, 20):
        found = run(square(LINF, queries), lambda given: 0 * given.flatten(1).sum(1), inner)
        torch.testing.assert_close(found, inner + stripes)


def test_the_squares_shrink_with_the_part_of_the_queries_that_was_made(monkeypatch):
    parts = []
    monkeypatch.setattr("pipeline_lib.attacks.square.fraction_at", lambda done, first: parts.append(done) or first)
    run(square(LINF, 8), linear_in(weights_like(VIDEOS)), VIDEOS)
    assert parts == [0, 1 / 8, 2 / 8, 3 / 8, 4 / 8, 5 / 8, 6 / 8]


def test_its_random_numbers_in_a_ball_are_those_of_its_squares():
    """25 first squares and 7 queries: two places of three numbers, a sign per channel, and whether it is turned."""
    search = square(L2, 7)._search(linear_in(weights_like(VIDEOS)), VIDEOS, named(VIDEOS))
    assert search.tiles.shape == (4, 25, 3 + 1)
    assert search.draws.shape == (4, 7, 2 * 3 + 3 + 1)


@pytest.mark.parametrize(("epsilon", "queries"), [(0.4 / 255, 12), (1 / 255, 1)])
def test_a_clip_is_finished_when_it_fools_on_the_lattice_too(epsilon, queries):
    """This network errs on any pixel that is a little brighter, as in the first query."""
    counts = []

    def network(clips: Tensor) -> Tensor:
        brighter = clips.flatten(1).amax(1) - 100.2 / 255
        return torch.stack([-brighter, brighter], 1)

    def counted(clips: Tensor) -> Tensor:
        counts.append(len(clips))
        return network(clips)

    clips, labels = torch.full((4, 3, 6, 6), 100 / 255), torch.zeros(4, dtype=torch.long)
    attack = square(AdditiveLinf(epsilon=epsilon, step_size=0.01), 12)
    found = run(attack, goal_loss(counted, clips, labels, Margin(), exact=network), clips)
    assert (network(found).argmax(1) != labels).all()
    assert counts == [4] * queries


@pytest.mark.parametrize(
    "options",
    [RECTANGLE, {"region": Border(width=1)}, {"region": RandomPixels(count=4), "start": Constant(value=0.0)}],
    ids=["rectangle", "border", "pixels"],
)
def test_in_a_region_it_reaches_the_optimum_of_a_linear_loss(options):
    weight, attack = weights_like(VIDEOS), square(FULL, 3000, **options)
    mask = attack.inside.place(linear_in(weight), VIDEOS, named(VIDEOS))
    best = torch.where(mask, (weight > 0).float(), VIDEOS)
    assert torch.equal(run(attack, linear_in(weight), VIDEOS), best)


@pytest.mark.parametrize("clips", [VIDEOS, IMAGES], ids=["videos", "images"])
def test_in_an_l2_ball_it_approaches_the_optimum_of_a_linear_loss(clips):
    """Of a weight that is one sign in each half of a channel, as the pyramids are."""
    inner, weight = 0.4 + 0.2 * clips, torch.ones_like(clips[0])
    weight[..., :3] = -1
    loss = linear_in(weight)
    few, many = (
        (loss(run(square(L2, queries), loss, inner)) - loss(inner)) / weight.norm() / 0.5 for queries in (20, 300)
    )
    assert (many > few).all()
    assert (many > 0.35).all()
    assert (many < 1 + 1e-5).all()


CASES = [
    (perturbation, {"region": region, "start": start})
    for perturbation in (LINF, RATIO, FULL)
    for region, start in (
        (AllPixels(), AtClean()),
        (RandomRectangle(height=3, width=2, per="video"), Constant(value=0.5)),
        (Border(width=1), UniformNoise(radius=0.5)),
        (RandomPixels(count=5), Constant(value=0.1)),
        (SearchedRectangle(height=3, width=3, search="gradient"), Constant(value=0.5)),
        (SomeFrames(count=1), AtClean()),
        (FirstSampleOnly(region=Border(width=1)), AtClean()),
    )
] + [(L2, {}), (AdditiveL2(epsilon=4.0, step_size=0.1), {})]


def test_the_cases_have_every_region_and_every_bound_that_it_supports():
    assert {type(options["region"]) for _, options in CASES if options} == of_attacks("admits")
    assert {type(perturbation) for perturbation, _ in CASES} == {AdditiveLinf, RatioLinf, AdditiveL2}


@pytest.mark.parametrize(("perturbation", "options"), CASES)
@pytest.mark.parametrize("clips", [VIDEOS, IMAGES], ids=["videos", "images"])
def test_it_stays_in_the_set_and_above_the_first_candidate(perturbation, options, clips):
    weight, attack = weights_like(clips), square(perturbation, 60, **options)

    def loss(x: Tensor) -> Tensor:
        return linear_in(weight)(x) + 3 * (5 * x).sin().flatten(1).sum(1)

    found = run(attack, loss, clips)
    assert found.min() >= 0
    assert found.max() <= 1
    assert (attack.ratio_to_bound(found, clips) <= 1 + 1e-5).all()
    assert (attack.ratio_to_bound(attack.quantize(found, clips), clips) <= 1 + 1e-4).all()
    mask = attack.inside.place(loss, clips, named(clips))
    assert torch.equal(torch.where(mask, clips, found), clips)
    first = loss(run(square(perturbation, 1, **options), loss, clips))
    assert (loss(found) >= first).all()
    assert (loss(found) > first).any()


GRADIENT = {"region": SearchedRectangle(height=3, width=3, search="gradient"), "start": Constant(value=0.5)}


@pytest.mark.parametrize("options", [RECTANGLE, GRADIENT], ids=["drawn", "searched by gradients"])
def test_its_rectangles_are_those_of_the_attack_whose_set_it_is(options):
    theirs = run(Ascent(perturbation=FULL, steps=2, **options), linear_in(weights_like(VIDEOS)), VIDEOS)
    ours = run(square(FULL, 20, **options), linear_in(weights_like(VIDEOS)), VIDEOS)
    assert torch.equal((theirs != VIDEOS).any(1), (ours != VIDEOS).any(1))


def test_a_rectangle_searched_by_gradients_costs_one_and_its_squares_none(network):
    labels, gradients = network(MANY).argmax(1), []

    def counted(clips: Tensor) -> Tensor:
        gradients.append(clips.requires_grad)
        return network(clips)

    attack = square(FULL, 30, **GRADIENT)
    alone = attack(goal_loss(counted, MANY, labels, Margin(), exact=network), MANY, named(MANY))
    assert gradients.count(True) == 1
    assert gradients[0]
    # As the last of a worst case it searches the rectangle of the attack before it.
    first = Ascent(perturbation=FULL, steps=1, **GRADIENT)
    worst = craft(network, MANY, labels, Strongest(attacks=[first, attack]))
    ascent = craft(network, MANY, labels, first)
    stands, left, fallen = (network(clips).argmax(1) == labels for clips in (ascent, worst, alone))
    assert torch.equal(left, stands & fallen)
    assert left.sum() < stands.sum()


def test_a_network_without_a_gradient_is_refused_where_a_gradient_searches_the_rectangle(network):
    class Detached(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            return network(clips.detach())

    with pytest.raises(ValueError, match="no gradient"):
        craft(Detached(), MANY, network(MANY).argmax(1), square(FULL, 5, **GRADIENT))
    craft(Detached(), MANY, network(MANY).argmax(1), square(FULL, 5, **RECTANGLE))


@pytest.mark.parametrize(("perturbation", "options"), [(LINF, {}), (L2, {}), (FULL, RECTANGLE)])
def test_batches_and_their_order_change_nothing(network, perturbation, options):
    attack = square(perturbation, 40, **options)
    names, labels = [str(i) for i in range(60)], network(MANY).argmax(1)
    whole = craft(network, MANY, labels, attack, names=names)
    assert (network(whole).argmax(1) != labels).any()
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    shuffled = craft(network, MANY[order], labels[order], attack, names=[names[i] for i in order], batch_size=7)
    assert torch.equal(shuffled, whole[order])


def test_without_a_gradient_it_finds_what_pgd_does_not(network):
    class Stepped(nn.Module):
        """Its gradient is zero everywhere."""

        def forward(self, clips: Tensor) -> Tensor:
            return network((clips * 64).round() / 64)

    labels = Stepped()(MANY).argmax(1)
    inside = Ascent(perturbation=LINF, steps=10)
    attacks = inside, Apgd(inside=inside, steps=10), Square(inside=inside, queries=200)
    left = [(Stepped()(craft(Stepped(), MANY, labels, attack)).argmax(1) == labels).sum() for attack in attacks]
    assert left[:2] == [60, 60]
    assert left[2] < 40


def with_last_positions(theirs) -> None:
    """torchattacks never draws the last row and column of positions: a fifth of all pixels of these small images."""
    own = theirs.random_int
    theirs.random_int = lambda low=0, high=1, shape=(1,): own(low, high + 1, list(shape))


@pytest.mark.parametrize(
    ("norm", "perturbation", "pooled"), [("Linf", AdditiveLinf(epsilon=0.04, step_size=0.01), 2), ("L2", L2, 1)]
)
def test_it_is_as_strong_as_that_of_torchattacks(norm, perturbation, pooled):
    torchattacks = oracle("torchattacks")
    network = five_classes(pooled)
    labels = network(MANY).argmax(1)
    theirs = torchattacks.Square(network, norm=norm, eps=perturbation.epsilon, n_queries=400)
    with_last_positions(theirs)
    with torch.random.fork_rng():
        found = theirs(MANY, labels)
    ours = craft(network, MANY, labels, square(perturbation, 400))
    left = [int((network(clips).argmax(1) == labels).sum()) for clips in (ours, found)]
    assert abs(left[0] - left[1]) <= 2
    assert 5 < left[0] < 55


def test_a_clip_without_a_finite_loss_is_nan(network):
    def loss(clips: Tensor) -> Tensor:
        return clips.flatten(1).sum(1) / torch.tensor([1.0, 0.0, 1.0, 1.0])

    assert run(square(LINF, 5), loss, VIDEOS).isnan().flatten(1).any(1).tolist() == [False, True, False, False]

    class Broken(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            return network(clips) + torch.where(clips.flatten(1).mean(1, keepdim=True) < 0.1, torch.nan, 0)

    clips = MANY.clone()
    clips[7] = 0
    with pytest.raises(ValueError, match=r"not finite on clips \[7\]"):
        craft(Broken(), clips, network(clips).argmax(1), square(LINF, 5))


def test_as_the_last_of_the_strongest_attacks(network):
    labels = network(MANY).argmax(1)
    pgd = Ascent(perturbation=LINF, steps=1)
    last = Square(inside=pgd, queries=100)
    alone, found = (craft(network, MANY, labels, attack) for attack in (pgd, Strongest(attacks=[pgd, last])))
    square_alone = craft(network, MANY, labels, last)
    stands, left, fallen = (network(clips).argmax(1) == labels for clips in (alone, found, square_alone))
    assert torch.equal(left, stands & fallen)
    assert left.sum() < stands.sum()


def test_a_network_that_draws_draws_for_the_clips_that_are_left():
    """Its logits are a clip's own numbers, so clips fall one by one; inside the strongest attack, and alone."""

    class Noisy(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            mean, draws = (
                clips.flatten(1).mean(1),
                [torch.rand((), generator=g) for g in present_generators(len(clips))],
            )
            assert len(draws) == len(clips)
            return torch.stack([0.2 + 0 * mean, torch.stack(draws) ** 4 + 0 * mean], 1)

    pgd = Ascent(perturbation=LINF, steps=2)
    labels = torch.zeros(60, dtype=torch.long)
    for attack in (Square(inside=pgd, queries=9), Strongest(attacks=[pgd, Square(inside=pgd, queries=9)])):
        results = []
        for batch_size in (60, 11):
            with drawing(clip_generators(0, [str(i) for i in range(60)])) as generators:
                rows = torch.arange(60).split(batch_size)
                parts = []
                for some in rows:
                    with drawing([generators[i] for i in some]):
                        names = [str(i) for i in some.tolist()]
                        parts.append(craft(Noisy(), MANY[some], labels[some], attack, names=names))
            results.append(torch.cat(parts))
        assert torch.equal(*results)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: square(AdditiveL1(epsilon=1.0, step_size=0.1), 5), "inside.perturbation is AdditiveL1: square needs"),
        (lambda: square(L2, 5, region=Border(width=1)), "inside.region is Border: in an l2 bound"),
        (lambda: square(LINF, 0), "queries is 0"),
        (lambda: Square(inside=square(LINF, 5)), "inside is a Square: square needs an attack of method ascent"),
        (lambda: Strongest(attacks=[Ascent(perturbation=L2, steps=1), square(LINF, 5)]), "has another bound"),
    ],
)
def test_errors_of_the_entry(make, message):
    with pytest.raises(PipelineError, match=message):
        make()


def test_its_entry_names_the_attack_whose_set_it_is():
    pgd = {
        "method": "ascent",
        "perturbation": {"method": "additive_linf", "epsilon": "8/255", "step_size": "2/255"},
        "steps": 3,
    }
    entry = {"method": "strongest", "attacks": ["pgd", {"method": "square", "inside": "pgd", "queries": 500}]}
    resolved = resolve("attacks.worst", entry, {"Attack": {"pgd": pgd, "worst": entry}})
    first = Ascent(perturbation=AdditiveLinf(epsilon=8 / 255, step_size=2 / 255), steps=3)
    assert build(resolved) == Strongest(attacks=[first, Square(inside=first, queries=500)])
    assert passes(resolved, (1, 32, 32)) == 1 + 4 + 251
