"""Momentum, translation-invariant and temporal-translation attacks: torchattacks' on images, closed forms on videos."""

import math

import pytest
import torch
from torch import Tensor, nn

from configured import changed, resolved
from oracles import oracle
from pipeline_lib.attacks import (
    AdditiveL2,
    AdditiveLinf,
    Apgd,
    Ascent,
    Border,
    RatioLinf,
    Steepest,
    TemporalTranslation,
    TranslationInvariant,
    craft,
)
from pipeline_lib.attacks.kernels import kernel
from pipeline_lib.attacks.losses import loss_and_gradient
from pipeline_lib.attacks.temporal_translation import over_shifts
from pipeline_lib.attacks.translation_invariant import with_smoothed_gradient
from pipeline_lib.configuration.entries import resolve
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.costs import passes
from pipeline_lib.networks.resnet import ResNet2D, ResNet3D
from pipeline_lib.randomness.generators import clip_generators

DRAW = torch.Generator().manual_seed(0)
VIDEOS = torch.randint(0, 256, (4, 3, 6, 16, 16), generator=DRAW) / 255
IMAGES = VIDEOS[:, :, 0]
LABELS = torch.tensor([0, 1, 2, 3])
LINF = AdditiveLinf(epsilon=8 / 255, step_size=2 / 255)
BOUNDS = [LINF, AdditiveL2(epsilon=1.0, step_size=0.3), RatioLinf(epsilon=1.1, step_size=1.03)]
KINDS = ["gaussian", "linear", "uniform"]


def network_of(kind: type, clips: Tensor) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = kind(depth=10, width=8, stages=2, stem_kernel=3, stem_pool=False)(5)
        network.train()(clips)  # BatchNorm statistics of these clips
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return network_of(ResNet2D, IMAGES)


@pytest.fixture(scope="module")
def video_network() -> nn.Module:
    return network_of(ResNet3D, VIDEOS)


def ascent(bound=LINF, **options) -> Ascent:
    return Ascent(perturbation=bound, **({"steps": 5} | options))


def run(attack, loss, clips: Tensor) -> Tensor:
    return attack(loss, clips, clip_generators(0, list("abcd")))


@pytest.mark.parametrize("decay", [0.5, 1.0])
def test_momentum_is_that_of_torchattacks_bit_for_bit(network, decay):
    theirs = oracle("torchattacks").MIFGSM(network, eps=8 / 255, alpha=2 / 255, steps=5, decay=decay)(IMAGES, LABELS)
    ours = craft(network, IMAGES, LABELS, ascent(momentum=decay))
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, craft(network, IMAGES, LABELS, ascent()))


@pytest.mark.parametrize("decay", [0.0, 1.0])
@pytest.mark.parametrize("weights", KINDS)
def test_smoothed_gradients_are_those_of_torchattacks(network, weights, decay):
    theirs = oracle("torchattacks").TIFGSM(
        network,
        eps=8 / 255,
        alpha=2 / 255,
        steps=5,
        decay=decay,
        kernel_name=weights,
        len_kernel=7,
        diversity_prob=0.0,
        random_start=False,
    )(IMAGES, LABELS)
    ours = craft(network, IMAGES, LABELS, TranslationInvariant(attack=ascent(momentum=decay), size=7, weights=weights))
    # A sign may differ where the smoothed gradient is 0 up to rounding.
    different = ((ours - theirs).abs() > 1e-6).float().mean()
    assert different < 1e-3
    assert ((craft(network, IMAGES, LABELS, ascent()) - theirs).abs() > 1e-6).float().mean() > 0.05


@pytest.mark.parametrize("bound", BOUNDS, ids=["linf", "l2", "ratio"])
@pytest.mark.parametrize("region", [None, Border(width=2)], ids=["everywhere", "border"])
def test_on_a_linear_loss_momentum_changes_no_direction(bound, region):
    weight = torch.randn(VIDEOS.shape[1:], generator=torch.Generator().manual_seed(1))
    options = {} if region is None else {"region": region}
    plain, fast = (
        run(ascent(bound, momentum=decay, **options), lambda clips: (clips * weight).flatten(1).sum(1), VIDEOS)
        for decay in (0.0, 1.0)
    )
    torch.testing.assert_close(fast, plain, rtol=0, atol=1e-6)
    assert not torch.equal(plain, VIDEOS)


def test_momentum_of_a_gradient_of_zero_is_zero_and_of_nan_is_refused():
    assert torch.equal(run(ascent(momentum=1.0), lambda clips: 0 * clips.flatten(1).sum(1), VIDEOS), VIDEOS)
    broken = run(ascent(momentum=1.0), lambda clips: (clips * torch.nan).flatten(1).sum(1), VIDEOS)
    assert broken.isnan().all()


@pytest.mark.parametrize(("weights", "side"), [("gaussian", math.exp(-(3**2) / 2)), ("linear", 0.5), ("uniform", 1.0)])
def test_weights_of_one_neighbor_on_each_side(weights, side):
    expected = torch.tensor([side, 1, side], dtype=torch.float64) / (1 + 2 * side)
    torch.testing.assert_close(kernel(weights, 1), expected)


@pytest.mark.parametrize("weights", KINDS)
def test_weights_are_symmetric_and_fall(weights):
    values = kernel(weights, 3)
    assert torch.equal(values, values.flip(0))
    assert values.sum() == pytest.approx(1)
    assert (values.diff()[:3] >= 0).all()
    assert (values > 0).all()
    assert torch.equal(kernel(weights, 0), torch.ones(1, dtype=torch.float64))


def test_the_weights_are_the_printed_ones():
    assert kernel("linear", 1).tolist() == pytest.approx([0.25, 0.5, 0.25])
    gauss = kernel("gaussian", 7)
    assert gauss[7 + 7] / gauss[7] == pytest.approx(torch.exp(torch.tensor(-4.5)).item())


@pytest.mark.parametrize("clips", [VIDEOS, IMAGES], ids=["videos", "images"])
def test_a_gradient_is_smoothed_in_each_frame_and_channel_by_itself(clips):
    """The gradient of one pixel becomes the kernel around it; the loss is unchanged."""
    at = (0, 1, 3, 8, 5) if clips.dim() == 5 else (0, 1, 8, 5)
    plane = torch.outer(kernel("linear", 2), kernel("linear", 2)).float()
    loss = with_smoothed_gradient(lambda given: given[(slice(None), *at[1:])] ** 2, plane)
    losses, gradient = loss_and_gradient(loss, clips)
    assert torch.equal(losses, clips[(slice(None), *at[1:])] ** 2)
    frame = gradient[at[:-2]]
    torch.testing.assert_close(frame[6:11, 3:8], 2 * clips[at] * plane)
    assert frame.count_nonzero() == gradient[0].count_nonzero() == 25


def test_a_kernel_of_one_pixel_changes_nothing(video_network):
    one = craft(video_network, VIDEOS, LABELS, TranslationInvariant(attack=ascent(), size=1))
    assert torch.equal(one, craft(video_network, VIDEOS, LABELS, ascent()))


@pytest.mark.parametrize("bound", BOUNDS, ids=["linf", "l2", "ratio"])
def test_on_a_model_without_regard_to_the_order_of_frames_shifts_change_nothing(bound):
    weight = torch.randn(3, 1, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    clips = VIDEOS.double()
    plain, shifted = (
        run(attack, lambda given: (given * weight).flatten(1).sum(1), clips)
        for attack in (ascent(bound), TemporalTranslation(attack=ascent(bound), shifts=2))
    )
    torch.testing.assert_close(shifted, plain, rtol=0, atol=1e-12)
    assert not torch.equal(plain, clips)


@pytest.mark.parametrize("weights", KINDS)
def test_the_gradient_of_shifts_is_that_of_each_shifted_clip_shifted_back(video_network, weights):
    """The authors' procedure, frame by frame."""
    values = kernel(weights, 2)

    def loss(clips: Tensor) -> Tensor:
        return nn.functional.cross_entropy(video_network(clips), LABELS, reduction="none")

    losses, found = loss_and_gradient(over_shifts(loss, values), VIDEOS)
    expected, mean = torch.zeros_like(VIDEOS), torch.zeros(4)
    for shift, weight in zip(range(-2, 3), values.tolist(), strict=True):
        moved, back = torch.empty_like(VIDEOS), torch.empty_like(VIDEOS)
        for frame in range(6):
            moved[:, :, (frame + shift) % 6] = VIDEOS[:, :, frame]
        own, gradient = loss_and_gradient(loss, moved)
        for frame in range(6):
            back[:, :, frame] = gradient[:, :, (frame + shift) % 6]
        expected, mean = expected + weight * back, mean + weight * own
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(losses, mean)


def test_the_first_shift_is_none_and_a_weight_is_that_of_its_shift():
    seen = []

    def loss(clips: Tensor) -> Tensor:
        seen.append(clips)
        return clips[:, 0, 2].flatten(1).sum(1)

    found = over_shifts(loss, torch.tensor([0.0, 0.0, 0.0, 0.25, 0.75]))(VIDEOS)
    assert torch.equal(seen[0], VIDEOS)
    assert len(seen) == 5
    torch.testing.assert_close(found, (VIDEOS[:, 0, 1] / 4 + 3 * VIDEOS[:, 0, 0] / 4).flatten(1).sum(1))


@pytest.mark.parametrize("clips", [VIDEOS, IMAGES], ids=["videos", "images"])
def test_a_kernel_may_be_as_large_as_the_frame(clips):
    """In clips of fewer frames than its pixels."""
    frames = clips[..., :15]
    found = run(TranslationInvariant(attack=ascent(), size=15), lambda given: given.flatten(1).sum(1), frames)
    torch.testing.assert_close(found, (frames + 8 / 255).clamp(0, 1))


@pytest.mark.parametrize("bound", BOUNDS, ids=["linf", "l2", "ratio"])
def test_all_together_they_stay_in_the_bound_and_the_region(video_network, bound):
    inside = ascent(bound, momentum=1.0, region=Border(width=3))
    attack = TemporalTranslation(attack=TranslationInvariant(attack=inside, size=5), shifts=1)
    found = craft(video_network, VIDEOS, LABELS, attack)
    assert (attack.ratio_to_bound(found, VIDEOS) <= 1 + 1e-5).all()
    assert torch.equal(found[..., 3:-3, 3:-3], VIDEOS[..., 3:-3, 3:-3])
    assert not torch.equal(found, craft(video_network, VIDEOS, LABELS, inside))
    assert (attack.ratio_to_bound(attack.quantize(found, VIDEOS), VIDEOS) <= 1 + 1e-5).all()


def test_they_also_smooth_other_attacks(video_network):
    for attack in (Apgd(inside=ascent(), steps=3), Steepest(attacks=[ascent()], steps=3)):
        found = craft(video_network, VIDEOS, LABELS, TranslationInvariant(attack=attack, size=5))
        assert not torch.equal(found, craft(video_network, VIDEOS, LABELS, attack))


PGD = {"method": "ascent", "perturbation": {"method": "additive_linf", "epsilon": 0.1, "step_size": 0.02}, "steps": 5}


@pytest.mark.parametrize(
    ("outer", "count"),
    [
        ({"method": "translation_invariant"}, 6),
        ({"method": "temporal_translation", "shifts": 2}, 5 * 6),
        ({"method": "temporal_translation"}, 15 * 6),
    ],
)
def test_their_passes(outer, count):
    entry = resolve("attacks.x", outer | {"attack": "pgd"}, {"Attack": {"pgd": PGD, "x": outer}})
    assert passes(entry, (40, 112, 112)) == 1 + count


@pytest.mark.parametrize(
    ("attack", "clips", "message"),
    [
        (TranslationInvariant(attack=ascent(), size=17), VIDEOS, "size is 17: the kernel is larger than frames of 16"),
        (TemporalTranslation(attack=ascent(), shifts=6), VIDEOS, "shifts is 6: clips of 6 frames have no such shift"),
        (TemporalTranslation(attack=ascent(), shifts=1), IMAGES, "clips of 1 frames have no such shift"),
    ],
)
def test_clips_that_are_too_small(attack, clips, message):
    with pytest.raises(PipelineError, match=message):
        run(attack, lambda given: given.flatten(1).sum(1), clips)


SEARCHED = {"method": "searched_rectangle", "search": "gradient", "width": 9}


@pytest.mark.parametrize(
    "changes",
    [
        {"base": "roa", "region": {"height": 31, "width": 31}},
        {"base": "roa", "region": {"height": 32, "width": 32, "last_position": True}},
        {"base": "roa", "region": SEARCHED | {"height": 29, "stride": 3}},
        {"base": "af", "region": {"width": 15}},
        {"base": "spa", "region": {"count": 1024}},
        {
            "method": "fixed_pattern",
            "region": {"method": "border", "width": 17},
            "margin": 2,
            "start": {"method": "constant", "value": 0},
        },
    ],
)
def test_the_largest_regions_that_fit_are_planned(changes):
    config = changed("attacks.x", changes)
    study = {"title": "T", "dataset": "synthetic", "columns": {"x": "x"}, "rows": {"A": "standard"}}
    config["studies"] = {"mine": study}
    assert resolved(config)["studies"]["mine"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"method": "translation_invariant", "attack": "pgd", "size": 33},
            "attacks.x: TranslationInvariant needs frames of 33 pixels or more on each side; those of synthetic",
        ),
        (
            {"method": "temporal_translation", "attack": "pgd", "shifts": 8},
            "attacks.x: TemporalTranslation needs clips of 9 frames or more; those of synthetic have 8",
        ),
        *(
            ({"base": base, "region": region}, f"attacks.x: {name} needs frames of 33 pixels or more on each side")
            for base, region, name in (
                ("roa", {"height": 9, "width": 32}, "RandomRectangle"),
                ("roa", {"height": 33, "last_position": True}, "RandomRectangle"),
                ("roa", SEARCHED | {"height": 30, "stride": 3}, "SearchedRectangle"),
                ("af", {"width": 16}, "Border"),
                ("spa", {"count": 1025}, "RandomPixels"),
            )
        ),
    ],
)
def test_clips_that_are_too_small_are_found_while_planning(entry, message):
    config = changed("attacks.x", entry)
    study = {"title": "T", "dataset": "synthetic", "columns": {"x": "x"}, "rows": {"A": "standard"}}
    config["studies"] = {"mine": study}
    with pytest.raises(PipelineError, match=message):
        resolved(config | {"figures": {}})


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"method": "translation_invariant", "attack": "pgd", "size": 4}, r"attacks\.x\.size: .*odd number of pixels"),
        ({"method": "temporal_translation", "attack": "pgd", "weights": "cubic"}, "'gaussian', 'linear', 'uniform'"),
        (PGD | {"momentum": -1}, r"attacks\.x\.momentum: .*at least 0"),
    ],
)
def test_wrong_entries_are_refused(entry, message):
    with pytest.raises(PipelineError, match=message):
        resolve("attacks.x", entry, {"Attack": {"pgd": PGD, "x": entry}})
