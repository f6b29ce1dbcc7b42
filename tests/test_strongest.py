"""The strongest of several attacks: exact per clip, cheaper than all of them, refused where bounds differ."""

import logging
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from pipeline_lib.attacks import (
    DLR,
    AdditiveLinf,
    Apgd,
    Ascent,
    Border,
    Constant,
    Expectation,
    NextClass,
    RandomRectangle,
    Strongest,
    TargetedDLR,
    UniformNoise,
    craft,
)
from pipeline_lib.attacks.losses import cross_entropy
from pipeline_lib.attacks.strongest import log_cost
from pipeline_lib.configuration.entries import resolve
from pipeline_lib.entries.building import build
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.costs import passes
from pipeline_lib.randomness.draws import drawing, present_generators
from pipeline_lib.randomness.generators import clip_generators

CLIPS = torch.randint(40, 216, (80, 3, 2, 6, 6), generator=torch.Generator().manual_seed(0)) / 255
LINF = AdditiveLinf(epsilon=8 / 255, step_size=8 / 255)
PGD = Ascent(perturbation=LINF, start=UniformNoise(radius=8 / 255), steps=2)
SQUARE = Ascent(
    perturbation=AdditiveLinf(epsilon=1.0, step_size=0.4),
    region=RandomRectangle(height=2, width=2),
    start=Constant(value=0.5),
    steps=2,
)


def cascade(first: Ascent) -> list:
    return [
        first,
        Apgd(inside=first, steps=6),
        Apgd(inside=first, steps=6, goal=DLR()),
        Apgd(inside=first, steps=6, goal=TargetedDLR()),
    ]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layers = [nn.Flatten(), nn.Linear(216, 12), nn.ReLU(), nn.Linear(12, 5)]
        return nn.Sequential(*layers).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def labels(network) -> Tensor:
    """What the network says, but for a few clips, on which it errs without an attack."""
    answers = network(CLIPS).argmax(1)
    answers[:5] = (answers[:5] + 1) % 5
    return answers


@pytest.mark.parametrize("first", [PGD, SQUARE], ids=["all pixels", "rectangle"])
def test_it_is_right_where_a_network_is_right_under_every_attack(network, labels, first, caplog):
    attacks = cascade(first)
    strongest = Strongest(attacks=attacks)

    def right(clips: Tensor) -> Tensor:
        return network(clips).argmax(1) == labels

    alone = [craft(network, CLIPS, labels, attack) for attack in attacks]
    stands = [right(clips) | right(strongest.quantize(clips, CLIPS)) for clips in alone]
    with caplog.at_level(logging.INFO, "pipeline_lib"):
        found = craft(network, CLIPS, labels, strongest)
    expected = torch.stack(stands).all(0)
    assert torch.equal(right(found) | right(strongest.quantize(found, CLIPS)), expected)
    assert 0 < expected.sum() < min(flags.sum() for flags in stands[:1])
    assert (strongest.ratio_to_bound(found, CLIPS) <= 1 + 1e-4).all()
    # Each clip is that of an attack alone, to the bit: of the first that fools the network.
    for i, clips in enumerate(alone):
        earlier = torch.stack([torch.ones_like(expected), *stands[:i]]).all(0)
        assert torch.equal(found[earlier & ~stands[i]], clips[earlier & ~stands[i]])
    left = ", ".join(str(int(torch.stack([torch.ones_like(expected), *stands[:i]]).all(0).sum())) for i in range(4))
    assert f"strongest: {left} of 80 clips" in caplog.text


def test_a_clip_that_fools_in_one_form_only_is_attacked_further(caplog):
    """Less than half of a grey level is enough for this network, but is nothing on the 8-bit lattice."""

    class Threshold(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            brighter = 1000 * (clips.flatten(1).mean(1) - 100.2 / 255)
            return torch.stack([-brighter, brighter], 1)

    attack = Ascent(perturbation=AdditiveLinf(epsilon=0.4 / 255, step_size=0.4 / 255), steps=1)
    clips, labels = torch.full((1, 3, 1, 2, 2), 100 / 255), torch.zeros(1, dtype=torch.long)
    with caplog.at_level(logging.INFO, "pipeline_lib"):
        found = craft(Threshold(), clips, labels, Strongest(attacks=[attack, replace(attack, steps=2)]))
    assert Threshold()(found).argmax(1) != labels
    assert Threshold()(attack.quantize(found, clips)).argmax(1) == labels
    assert "strongest: 1, 1 of 1 clips" in caplog.text


def test_its_cost_is_stated(network, labels, caplog):
    with caplog.at_level(logging.INFO, "pipeline_lib"):
        craft(network, CLIPS, labels, Strongest(attacks=[PGD, Apgd(inside=PGD, steps=10)]))
    left = int(caplog.text.split("strongest: 80, ")[1].split()[0])
    assert f"{2 * 80 + 10 * left} passes, {100 * (160 + 10 * left) / 960:.0f} %" in caplog.text


@pytest.mark.parametrize(
    ("counts", "unused", "line"),
    [
        ([(10, 30), (4, 30)], [], "10, 4 of 10 clips per attack in sequence, 60 passes, 57 %"),
        # Of 10 * (3 + 2 * 2 + 1 + 0) passes; an attack without steps adds none.
        (
            [(10, 30)],
            [SimpleNamespace(steps=2, restarts=2), SimpleNamespace(steps=1), SimpleNamespace()],
            "10, 0, 0, 0 of 10 clips per attack in sequence, 30 passes, 38 %",
        ),
        ([(10, 30)], [], "10 of 10 clips per attack in sequence, 30 passes, 100 %"),
        ([(10, 0)], [], "10 of 10 clips per attack in sequence, 0 passes, 100 %"),
    ],
)
def test_the_cost_of_all_attacks_counts_those_that_no_clip_was_left_for(counts, unused, line, caplog):
    with caplog.at_level(logging.INFO, "pipeline_lib"):
        log_cost(counts, unused)
    assert caplog.messages == [f"strongest: {line} of those of all attacks on all clips"]


def test_the_strongest_of_one_attack_is_that_attack(network, labels):
    alone, one = craft(network, CLIPS, labels, PGD), Strongest(attacks=[PGD])
    assert torch.equal(craft(network, CLIPS, labels, one), alone)
    assert torch.equal(one.quantize(alone, CLIPS), PGD.quantize(alone, CLIPS))
    assert torch.equal(one.ratio_to_bound(alone, CLIPS), PGD.ratio_to_bound(alone, CLIPS))


def test_of_equal_margins_the_first_is_kept():
    """The answers are the same for all clips, so that an attack ends where it starts."""

    class Constant(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            return torch.tensor([2.0, 1.0, 0.0]) + 0 * clips.flatten(1).sum(1, keepdim=True)

    labels = torch.zeros(80, dtype=torch.long)
    still = Ascent(perturbation=LINF, steps=1)
    found = [craft(Constant(), CLIPS, labels, Strongest(attacks=pair)) for pair in ([PGD, still], [still, PGD])]
    assert torch.equal(found[0], craft(Constant(), CLIPS, labels, PGD))
    assert torch.equal(found[1], CLIPS)
    assert not torch.equal(*found)


def test_what_no_attack_fools_is_the_clip_of_largest_margin(network, labels):
    tiny = AdditiveLinf(epsilon=1 / 255, step_size=1 / 255)
    weak, strong = (
        Ascent(perturbation=tiny, steps=1, start=UniformNoise(radius=1 / 255)),
        Ascent(perturbation=tiny, steps=1),
    )
    strongest = Strongest(attacks=[weak, strong])

    def margins(clips: Tensor) -> Tensor:
        """The smaller of those of the clips as they are and on the lattice."""
        logits = torch.stack([network(clips), network(strongest.quantize(clips, CLIPS[5:]))])
        true = labels[5:].expand(2, -1)[..., None]
        return (logits.scatter(2, true, -torch.inf).amax(2) - logits.gather(2, true)[..., 0]).amin(0)

    alone = torch.stack([margins(craft(network, CLIPS[5:], labels[5:], attack)) for attack in (weak, strong)])
    found = margins(craft(network, CLIPS[5:], labels[5:], strongest))
    stands = (alone < 0).all(0)
    assert stands.sum() > 20
    assert set(alone[:, stands].argmax(0).tolist()) == {0, 1}
    assert torch.equal(found[stands], alone.amax(0)[stands])


def test_batches_change_nothing(network, labels):
    strongest = Strongest(attacks=cascade(PGD))
    assert torch.equal(
        craft(network, CLIPS, labels, strongest), craft(network, CLIPS, labels, strongest, batch_size=16)
    )


def test_a_network_that_draws_draws_for_the_clips_that_are_left():
    """One number for each clip, from its own generator."""

    class Noisy(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            draws = [torch.rand((), generator=g) for g in present_generators(len(clips))]
            assert len(draws) == len(clips)
            return torch.stack([clips.flatten(1).mean(1), torch.stack(draws), 0.4 + 0 * clips.flatten(1).mean(1)], 1)

    labels = torch.arange(80) % 2
    with drawing(clip_generators(0, [str(i) for i in range(80)])):
        craft(Noisy(), CLIPS, labels, Strongest(attacks=[PGD, Apgd(inside=PGD, steps=3), Apgd(inside=PGD, goal=DLR())]))


def test_in_bf16_it_scores_exactly(network, labels):
    """Weights that are rounded once for all passes would be those of another network."""
    attacks = [PGD, Apgd(inside=PGD, precision="bf16"), Expectation(attack=Apgd(inside=PGD, goal=DLR()), samples=2)]
    found, alone = (craft(network, CLIPS, labels, attack) for attack in (Strongest(attacks=attacks), PGD))
    fooled = network(alone).argmax(1) != labels
    assert torch.equal(found[fooled], alone[fooled])
    assert (network(found).argmax(1) == labels).sum() < (~fooled).sum()


def test_a_clip_of_nan_is_named(network, labels):
    class Broken(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            dark = clips.flatten(1).mean(1, keepdim=True) < 0.1
            return network(clips) + torch.where(dark, torch.nan, 0)

    clips = CLIPS.clone()
    clips[7] = 0
    for attacks in ([PGD], cascade(PGD)):
        with pytest.raises(ValueError, match=r"not finite on clips \[7\]"):
            craft(Broken(), clips, labels, Strongest(attacks=attacks))


@pytest.mark.parametrize(
    ("attacks", "message"),
    [
        ([], "attacks is empty"),
        (
            [PGD, SQUARE],
            r"attacks\[1\] has another bound than attacks\[0\]: .*'epsilon': 1.0.* and not .*'epsilon': 0.03",
        ),
        ([PGD, Ascent(perturbation=LINF, region=Border(width=1), steps=1)], "has another bound"),
        ([SQUARE, Ascent(perturbation=SQUARE.perturbation, region=SQUARE.region, steps=1)], "has another bound"),
        ([PGD, Ascent(perturbation=LINF, steps=1, goal=NextClass())], r"attacks\[1\] has the goal NextClass"),
    ],
)
def test_attacks_that_do_not_belong_together(attacks, message):
    with pytest.raises(PipelineError, match=message):
        Strongest(attacks=attacks)


def test_a_loss_without_a_network_is_refused(network, labels):
    with pytest.raises(PipelineError, match="strongest needs to record which clips fool the network"):
        Strongest(attacks=[PGD])(cross_entropy(network, labels), CLIPS, clip_generators(0, [str(i) for i in range(80)]))


def test_its_entry_names_attacks():
    pgd = {
        "method": "ascent",
        "perturbation": {"method": "additive_linf", "epsilon": "8/255", "step_size": "8/255"},
        "steps": 2,
    }
    apgd = {"method": "apgd", "inside": "pgd", "steps": 10, "goal": {"method": "dlr"}}
    worst = {"method": "strongest", "attacks": ["pgd", "apgd", {"method": "apgd", "inside": "pgd"}]}
    entry = resolve("attacks.worst", worst, {"Attack": {"pgd": pgd, "apgd": apgd, "worst": worst}})
    first = Ascent(perturbation=LINF, steps=2)
    assert build(entry) == Strongest(attacks=[first, Apgd(inside=first, steps=10, goal=DLR()), Apgd(inside=first)])
    assert passes(entry, (8, 32, 32)) > 2 + 10
