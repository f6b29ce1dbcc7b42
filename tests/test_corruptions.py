"""Natural corruptions: closed forms and statistics of each kind, and what is refused."""

import math

import pytest
import torch

from attack_cases import generators, linear, random_clips
from configured import changed, resolved
from pipeline_lib.attacks.corruptions import camera as cameras
from pipeline_lib.attacks.corruptions import noise as noises
from pipeline_lib.attacks.corruptions.blur import BlurCorruption, blurred, disk, path, zoomed
from pipeline_lib.attacks.corruptions.camera import CameraCorruption
from pipeline_lib.attacks.corruptions.compression import CompressionCorruption
from pipeline_lib.attacks.corruptions.noise import NoiseCorruption
from pipeline_lib.attacks.corruptions.temporal import FROZEN, TemporalCorruption
from pipeline_lib.errors import PipelineError

CLIPS = random_clips(4, 3, 8, 24, 20)
GRAY = torch.full((2, 3, 2, 64, 64), 0.5)
KINDS = [(NoiseCorruption, kind) for kind in noises.LEVELS]
KINDS += [(BlurCorruption, kind) for kind in ("defocus", "motion", "zoom")]
KINDS += [(CameraCorruption, kind) for kind in ("static_rotation", "random_rotation", "translation")]
KINDS += [(CompressionCorruption, kind) for kind in ("h264", "h265", "mpeg2")]
TEMPORAL = [(TemporalCorruption, kind) for kind in ("sampling", "reverse", "jumble", "box_jumble", "freeze")]


@pytest.mark.parametrize(("corruption", "kind"), KINDS + TEMPORAL)
def test_a_corruption_gives_clips_in_the_box_that_depend_on_no_batch(corruption, kind):
    made = corruption(kind=kind)(linear, CLIPS, generators())
    alone = corruption(kind=kind)(linear, CLIPS[2:3], generators(1, first=2))
    assert made.shape == CLIPS.shape
    assert made.min() >= 0
    assert made.max() <= 1
    torch.testing.assert_close(made[2:3], alone, atol=1e-5, rtol=0)
    assert not torch.equal(made, CLIPS)


@pytest.mark.parametrize(("corruption", "kind"), KINDS)
def test_higher_severities_change_more_and_images_are_corrupted_too(corruption, kind):
    coarse = random_clips(4, 3, 12, 12)
    images = torch.nn.functional.interpolate(coarse, (120, 120), mode="bilinear")
    mild, strong = (corruption(kind=kind, severity=level)(linear, images, generators()) for level in (1, 5))
    assert (strong - images).abs().mean() > (mild - images).abs().mean() > 0


@pytest.mark.parametrize(
    ("kind", "variance"),
    [("gaussian", 0.08**2), ("shot", 0.5 / 60), ("speckle", 0.25 * 0.15**2), ("impulse", 0.03 * 0.25)],
)
def test_the_variance_of_noise_on_gray(kind, variance):
    noisy = NoiseCorruption(kind=kind, severity=1)(linear, GRAY, generators(2))
    assert noisy.var() == pytest.approx(variance, rel=0.05)
    assert noisy.mean() == pytest.approx(0.5, abs=0.003)


@pytest.mark.parametrize("kind", ["gaussian", "speckle"])
def test_normal_noise_is_added_as_it_is_drawn(kind):
    made = NoiseCorruption(kind=kind, severity=1)(linear, CLIPS[:1], generators(1))[0]
    noise = noises.LEVELS[kind][0] * torch.randn(CLIPS[0].shape, generator=generators(1)[0])
    expected = CLIPS[0] + (noise if kind == "gaussian" else CLIPS[0] * noise)
    torch.testing.assert_close(made, expected.clamp(0, 1))


def test_blurs_leave_a_flat_frame_and_spread_a_point_by_their_kernel():
    flat = GRAY[:, :, 0]
    for kernel in (disk(3.0), path(10.0, generators(1)[0])):
        assert kernel.sum() == pytest.approx(1)
        torch.testing.assert_close(blurred(flat, kernel.expand(2, *kernel.shape)), flat)
    torch.testing.assert_close(zoomed(flat, 1.3), flat)
    point = torch.zeros(1, 1, 15, 15)
    point[..., 7, 7] = 1
    kernel = disk(2.0)
    torch.testing.assert_close(blurred(point, kernel[None])[0, 0, 5:10, 5:10], kernel)


def test_white_frames_stay_in_the_box():
    """Also where weights of pixels add up to more than 1 by rounding."""
    assert blurred(torch.ones(1, 1, 9, 9), disk(8.0)[None]).max() <= 1
    turned = CameraCorruption(kind="random_rotation", severity=5)
    assert turned(linear, torch.ones(1, 1, 500, 3, 3), generators(1)).max() <= 1


def test_camera_motions():
    still = CameraCorruption(kind="static_rotation", severity=2)(linear, CLIPS[:, :, :1].expand_as(CLIPS), generators())
    torch.testing.assert_close(still, still[:, :, :1].expand_as(still))  # one angle for all frames
    shaken = CameraCorruption(kind="translation", severity=2)(linear, CLIPS[:, :, :1].expand_as(CLIPS), generators())
    assert not torch.equal(shaken[:, :, 0], shaken[:, :, 1])


def test_orders_of_frames():
    def sources(kind, severity=3):
        made = TemporalCorruption(kind=kind, severity=severity)(linear, CLIPS, generators())
        return [next(s for s in range(8) if torch.equal(made[0, :, t], CLIPS[0, :, s])) for t in range(8)]

    assert sources("sampling", 1) == [0, 0, 2, 2, 4, 4, 6, 6]
    assert sources("reverse", 1) == [6, 6, 4, 4, 2, 2, 0, 0]
    assert sorted(sources("jumble")) == list(range(8))
    assert all({*sources("jumble", 1)[at : at + 2]} == {at, at + 1} for at in (0, 2, 4, 6))
    boxes = sources("box_jumble")
    assert sorted(boxes) == list(range(8))
    assert boxes != sorted(boxes)
    assert boxes[:4] in ([0, 1, 2, 3], [4, 5, 6, 7])
    frozen = sources("freeze")
    assert frozen == sorted(frozen)
    assert frozen[0] == 0


def test_unknown_severities_and_clips_that_are_too_short_are_named_before_any_job():
    with pytest.raises(PipelineError, match=r"attacks.pgd.severity: .*severity from 1 to 5"):
        resolved(changed("attacks.pgd", {"method": "noise_corruption", "kind": "shot", "severity": 6}))
    short = changed("datasets.synthetic.sampling.frames", 1)
    short["attacks"]["frozen"] = {"method": "temporal_corruption", "kind": "freeze"}
    study = short["studies"]["multibn_white_box"]
    study["columns"] = study["columns"] | {"frozen": "frozen"}
    with pytest.raises(PipelineError, match=r"frozen: TemporalCorruption needs clips of 2 frames or more; those of"):
        resolved(short)
    with pytest.raises(PipelineError, match="too short"):
        TemporalCorruption(kind="freeze")(linear, CLIPS[:, :, :1], generators())


def test_the_center_of_a_zoom_is_that_of_the_frame():
    """Also of a frame that is not square: a frame upside down and mirrored stays one."""
    frames = CLIPS[:, :, 0]
    torch.testing.assert_close(zoomed(frames.flip(2, 3), 1.3), zoomed(frames, 1.3).flip(2, 3))


@pytest.mark.parametrize("kind", ["jumble", "box_jumble"])
def test_two_frames_change_places(kind):
    """A jumble has at least one box, whose frames change places; jumbled boxes are at least two."""
    made = TemporalCorruption(kind=kind, severity=5)(linear, CLIPS[:, :, :2], generators())
    turned = [torch.equal(one, clip.flip(1)) for one, clip in zip(made, CLIPS[:, :, :2], strict=True)]
    assert 0 < sum(turned) < len(CLIPS)


def test_a_motion_blur_is_a_line_of_its_length_within_45_degrees_of_the_horizontal():
    angles = []
    for generator, copy in zip(generators(20), generators(20), strict=True):
        angles.append((2 * torch.rand((), generator=copy).item() - 1) * math.pi / 4)
        rows, columns = (index - 8.0 for index in path(15.0, generator).nonzero().unbind(1))
        across = rows * math.cos(angles[-1]) - columns * math.sin(angles[-1])
        along = columns * math.cos(angles[-1]) + rows * math.sin(angles[-1])
        assert across.abs().max() <= 0.5**0.5
        assert [along.min(), along.max()] == pytest.approx([-7.5, 7.5], abs=0.75)
    assert min(angles) < -0.5
    assert max(angles) > 0.5


@pytest.mark.parametrize("length", [3.0, 10.0])
def test_a_motion_blur_counts_points_of_its_line_in_pixels(length):
    """4 * reach + 1 points from end to end, at most half a pixel apart: the reach is half the length, rounded up."""
    (generator,), (copy,) = generators(1), generators(1)
    angle = (2 * torch.rand((), generator=copy).item() - 1) * math.pi / 4
    reach = math.ceil(length / 2)
    counts = torch.zeros(2 * reach + 1, 2 * reach + 1)
    for number in range(4 * reach + 1):
        along = length * (number / (4 * reach) - 0.5)
        counts[round(along * math.sin(angle)) + reach, round(along * math.cos(angle)) + reach] += 1
    torch.testing.assert_close(path(length, generator), counts / (4 * reach + 1))


def test_motions_of_the_camera_are_drawn_up_to_their_level():
    def motions(kind):
        return CameraCorruption(kind=kind, severity=2)._motions(200, 30, generators(1)[0])

    still, turned, shifted = (motions(kind) for kind in ("static_rotation", "random_rotation", "translation"))
    ten = math.radians(cameras.LEVELS["static_rotation"][1])
    assert still.tolist() == [pytest.approx([ten, 0, 0])] * 200
    most = torch.tensor([math.radians(cameras.LEVELS["random_rotation"][1]), 0, 0])
    assert (turned.abs() <= most).all()
    torch.testing.assert_close(turned.amax(0), most, rtol=0.1, atol=0)
    torch.testing.assert_close(turned.amin(0), -most, rtol=0.1, atol=0)
    drawn = 2 * torch.rand((200, 2), generator=generators(1)[0]) - 1
    torch.testing.assert_close(turned[:, 0], most[0] * drawn[:, 0])  # the first of two numbers of each frame
    most = torch.tensor([0, 30, 30]) * cameras.LEVELS["translation"][1]
    torch.testing.assert_close(shifted.amax(0), most, rtol=0.1, atol=0)
    torch.testing.assert_close(shifted.amin(0), -most, rtol=0.1, atol=0)


def test_a_disk_has_an_edge_of_one_pixel():
    near, far = 0.5, 1.5 - math.sqrt(2)  # one pixel from the center, and diagonally
    expected = torch.tensor([[far, near, far], [near, 1, near], [far, near, far]])
    torch.testing.assert_close(disk(1.0), expected / expected.sum())


def test_blurs_grow_with_the_shorter_side_of_the_frame():
    clips = random_clips(1, 3, 2, 112, 120)
    for kind, kernel in (("defocus", disk(10 * 112 / 224)), ("motion", path(20 * 112 / 224, generators(1)[0]))):
        made = BlurCorruption(kind=kind, severity=5)(linear, clips, generators(1))
        frames = clips[0].transpose(0, 1)
        torch.testing.assert_close(made[0].transpose(0, 1), blurred(frames, kernel.expand(2, *kernel.shape)))


def test_a_zoom_makes_a_ramp_flatter_around_its_center():
    """At zoom z a pixel shows what was 1 / z as far from the center; the mean is over eleven zooms."""
    ramp = (torch.arange(21.0) / 100).expand(1, 1, 15, 21)
    factor = (1 / torch.linspace(1, 1.3, 11)).mean()
    torch.testing.assert_close(zoomed(ramp, 1.3), 0.1 + (ramp - 0.1) * factor)
    torch.testing.assert_close(zoomed(ramp.mT, 1.3), 0.1 + (ramp.mT - 0.1) * factor)


def test_a_shift_is_relative_to_the_shorter_side_and_repeats_the_edge():
    ramp = (torch.arange(40.0) / 100).expand(1, 3, 2, 40, 40).contiguous()
    corruption = CameraCorruption(kind="translation", severity=2)
    right = corruption._motions(2, 40, generators(1)[0])[:, 2]
    sources = (torch.arange(40.0) - right[:, None]).clamp(0, 39) / 100
    torch.testing.assert_close(corruption(linear, ramp, generators(1))[0, 0, :, 20], sources, atol=1e-5, rtol=0)


@pytest.mark.parametrize("severity", [1, 5])
def test_frozen_frames_are_as_many_as_their_severity_says_and_show_the_one_before(severity):
    freeze = TemporalCorruption(kind="freeze", severity=severity)
    orders = torch.stack([freeze._order(20, generator) for generator in generators(300)])
    assert (orders[:, 0] == 0).all()
    assert (orders.diff(dim=1) >= 0).all()
    moving = (orders[:, 1:] == torch.arange(1, 20)).float().mean().item()
    assert moving == pytest.approx(1 - FROZEN[severity - 1], abs=0.02)
