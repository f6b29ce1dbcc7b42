"""Transforms: shape, range and device kept, the same for any batch, and equal to independent implementations."""

import numpy as np
import pytest
import torch
import torchvision.io
from PIL import Image, ImageOps
from scipy import ndimage

from pipeline_lib.entries.building import build
from pipeline_lib.entries.facts import declared
from pipeline_lib.entries.methods import METHODS
from pipeline_lib.errors import PipelineError
from pipeline_lib.randomness.draws import drawing
from pipeline_lib.randomness.generators import clip_generators
from pipeline_lib.transforms.bpda import transformed
from pipeline_lib.transforms.color import ColorQuantization, GreyScale
from pipeline_lib.transforms.filters import BilateralFilter, GaussianBlur, MeanFilter, MedianFilter
from pipeline_lib.transforms.frequency import FourierTruncation
from pipeline_lib.transforms.geometry import ResizeAndPad, Swirl
from pipeline_lib.transforms.jpeg import Jpeg, jpeg_file
from pipeline_lib.transforms.levels import BitDepth, HistogramEqualization
from pipeline_lib.transforms.noise import NoiseInjection
from pipeline_lib.transforms.nonlocal_means import NonlocalMeans

SMALL = {
    "nonlocal_means": {"patch": 3, "search": 5},
    "color_space": {"space": "hsv"},
    "video_codec": {"codec": "h264", "quality": 23},
}
TEMPORAL = ("video_codec",)  # a frame depends on the ones before it
# Those that a trained generator makes are tested in test_purification.py.
NAMES = [
    name
    for name, target in METHODS.items()
    if target.startswith("pipeline_lib.transforms.") and not declared({"method": target}, "generated_by")
]
TRANSFORMS = {name: build({"method": METHODS[name]} | SMALL.get(name, {})) for name in NAMES}
STOCHASTIC = {name: transform for name, transform in TRANSFORMS.items() if transform.stochastic}
SHAPES = [(3, 3, 20, 18), (3, 3, 2, 20, 18)]


def clips_of(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    """Smooth pictures with some noise, and a black and a white corner."""
    generator = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(generator.random(shape), (0, 0, *[0] * (len(shape) - 4), 1.5, 1.5))
    smooth = (noise - noise.min()) / (noise.max() - noise.min())
    clips = np.clip(smooth + generator.normal(0, 0.02, shape), 0, 1).astype(np.float32)
    clips[..., :4, :4], clips[..., -4:, -4:] = 0, 1
    return torch.from_numpy(clips)


def run(transform, clips: torch.Tensor, seed: int = 0, backward="bpda") -> torch.Tensor:
    with drawing(clip_generators(seed, [str(i) for i in range(len(clips))])):
        return transformed(transform, clips, backward)


def near(found: torch.Tensor, expected: np.ndarray) -> None:
    torch.testing.assert_close(found, torch.from_numpy(np.asarray(expected, np.float32)), rtol=0, atol=2e-6)


@pytest.mark.parametrize("shape", SHAPES, ids=["images", "clips"])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_shape_range_and_type_are_kept(name, shape):
    clips = clips_of(shape)
    before = clips.clone()
    out = run(TRANSFORMS[name], clips)
    assert (out.shape, out.dtype, out.device) == (clips.shape, torch.float32, clips.device)
    assert out.min() >= 0
    assert out.max() <= 1
    assert not torch.equal(out, clips)
    assert torch.equal(clips, before)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_clip_is_its_frames_and_a_batch_its_clips(name):
    clips, transform = clips_of(SHAPES[1]), TRANSFORMS[name]
    whole = run(transform, clips)
    for i in range(3):
        with drawing(clip_generators(0, [str(i)])):
            torch.testing.assert_close(transformed(transform, clips[i : i + 1]), whole[i : i + 1], rtol=0, atol=1e-6)
    if not transform.stochastic and name not in TEMPORAL:
        frames = torch.stack([run(transform, clips[:, :, t]) for t in range(2)], dim=2)
        torch.testing.assert_close(frames, whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_gradients_flow(name):
    leaf = clips_of(SHAPES[1]).requires_grad_()
    (gradient,) = torch.autograd.grad((run(TRANSFORMS[name], leaf) * clips_of(SHAPES[1], seed=1)).sum(), leaf)
    assert gradient.isfinite().all()
    assert (gradient != 0).flatten(1).float().mean(1).min() > 0.1


@pytest.mark.parametrize("name", [name for name, transform in TRANSFORMS.items() if not transform.differentiable])
def test_bpda_is_the_identity_backward_and_exact_forward(name):
    leaf, weight = clips_of(SHAPES[1]).requires_grad_(), torch.randn(SHAPES[1])
    out = run(TRANSFORMS[name], leaf)
    assert torch.equal(out, TRANSFORMS[name](leaf.detach()))
    assert torch.equal(torch.autograd.grad((out * weight).sum(), leaf)[0], weight)


@pytest.mark.parametrize("name", [name for name, transform in TRANSFORMS.items() if not transform.differentiable])
def test_without_bpda_no_gradient_passes(name):
    leaf = clips_of(SHAPES[1]).requires_grad_()
    out = run(TRANSFORMS[name], leaf, backward="none")
    assert torch.equal(out, TRANSFORMS[name](leaf.detach()))
    assert not torch.autograd.grad(out.sum(), leaf)[0].any()


@pytest.mark.parametrize("name", [name for name, transform in TRANSFORMS.items() if transform.differentiable])
def test_differentiable_ones_have_their_derivative(name):
    """Against central differences along a random direction, in double precision, away from clamps and ties."""
    transform, random = TRANSFORMS[name], torch.Generator().manual_seed(0)
    shape = (2, 3, 14, 12)
    noise, weight, direction = (torch.randn(shape, generator=random, dtype=torch.double) for _ in range(3))
    clips = (0.3 + 0.4 * clips_of(shape) + 0.01 * noise).requires_grad_()
    (gradient,) = torch.autograd.grad((run(transform, clips, backward="none") * weight).sum(), clips)
    with torch.no_grad():
        up, down = (run(transform, clips + sign * 1e-8 * direction) for sign in (1, -1))
    slope = (((up - down) / 2e-8) * weight).sum()
    torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_draws_follow_the_generators(name):
    clips, transform = clips_of(SHAPES[1]), STOCHASTIC[name]
    assert torch.equal(run(transform, clips, seed=1), run(transform, clips, seed=1))
    assert not torch.equal(run(transform, clips, seed=1), run(transform, clips, seed=2))
    with drawing(clip_generators(0, ["a", "b", "c"])):
        first, second = transformed(transform, clips), transformed(transform, clips)
    assert not torch.equal(first, second)


def test_several_versions_of_the_clips_draw_in_order():
    clips, noise = torch.full((2, 3, 1, 4, 4), 0.5), NoiseInjection()
    with drawing(clip_generators(0, ["a", "b"])):
        out = transformed(noise, clips.repeat(2, 1, 1, 1, 1))
    with drawing(clip_generators(0, ["a", "b"])):
        assert torch.equal(out, torch.cat([transformed(noise, clips), transformed(noise, clips)]))
    with drawing(clip_generators(0, ["a", "b"])), pytest.raises(RuntimeError, match="3 clips for 2 generators"):
        transformed(noise, clips_of(SHAPES[1]))
    with pytest.raises(RuntimeError, match="has no generators"):
        transformed(noise, clips)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.skipif(not hasattr(torchvision.io, "encode_jpeg"), reason="this torchvision has no JPEG codec any more")
@pytest.mark.parametrize("quality", [10, 75, 95])
def test_jpeg_is_torchvisions(quality):
    clips = clips_of((2, 3, 2, 21, 18))
    found = Jpeg(quality=quality)(clips)
    for n, t in np.ndindex(2, 2):
        frame = (clips[n, :, t] * 255).round().byte()
        file = torchvision.io.encode_jpeg(frame, quality=quality)
        assert jpeg_file(frame.permute(1, 2, 0).numpy(), quality).getvalue() == file.numpy().tobytes()
        assert torch.equal((found[n, :, t] * 255).round().byte(), torchvision.io.decode_jpeg(file))


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_bit_depth_is_its_formula(bits):
    clips, top = clips_of(SHAPES[0]), 2**bits - 1
    out = BitDepth(bits=bits)(clips)
    near(out, np.rint(clips.numpy() * top) / top)
    assert len(out.unique()) <= 2**bits


def test_equalization_is_pillows():
    clips = clips_of(SHAPES[0])
    out = HistogramEqualization()(clips)
    for picture, ours in zip(clips.flatten(0, 1), out.flatten(0, 1), strict=True):
        theirs = ImageOps.equalize(Image.fromarray((picture * 255).round().byte().numpy()))
        assert np.array_equal((ours * 255).round().numpy(), np.array(theirs))


@pytest.mark.parametrize("size", [3, 5])
def test_filters_are_scipys(size):
    clips, window = clips_of(SHAPES[0]), (1, 1, size, size)
    near(MeanFilter(size=size)(clips), ndimage.uniform_filter(clips.double().numpy(), window, mode="mirror"))
    near(MedianFilter(size=size)(clips), ndimage.median_filter(clips.numpy(), window, mode="mirror"))
    blurred = ndimage.gaussian_filter(
        clips.double().numpy(), (0, 0, 1.3, 1.3), radius=(0, 0, size // 2, size // 2), mode="mirror"
    )
    near(GaussianBlur(size=size, sigma=1.3)(clips), blurred)


def test_bilateral_filter_between_its_limits():
    clips = clips_of(SHAPES[0])
    near(BilateralFilter(size=3, sigma_space=1.0, sigma_color=1e4)(clips), GaussianBlur()(clips))
    near(BilateralFilter(sigma_color=1e-7)(clips), clips)
    edge = torch.zeros(1, 1, 8, 8)
    edge[..., 4:] = 1
    near(BilateralFilter()(edge), edge)


# OpenCV 5.0: fastNlMeansDenoising(picture, None, h=20, templateWindowSize=3, searchWindowSize=5).
NOISY = [
    [102, 117, 111, 123, 138, 131, 150, 154],
    [94, 108, 119, 118, 134, 141, 140, 165],
    [106, 102, 112, 128, 129, 128, 154, 156],
    [111, 110, 117, 141, 130, 134, 149, 162],
    [153, 162, 178, 164, 185, 204, 204, 206],
    [171, 159, 172, 181, 192, 197, 207, 216],
    [159, 168, 161, 186, 183, 187, 216, 208],
    [161, 163, 171, 186, 185, 202, 210, 222],
]
DENOISED = [
    [108, 110, 115, 123, 130, 138, 145, 146],
    [108, 110, 115, 123, 130, 139, 144, 147],
    [109, 110, 116, 124, 130, 138, 145, 147],
    [115, 119, 127, 135, 140, 146, 154, 157],
    [155, 157, 162, 168, 179, 191, 199, 202],
    [165, 167, 171, 178, 188, 198, 205, 208],
    [165, 167, 172, 179, 188, 198, 206, 207],
    [165, 167, 172, 178, 187, 198, 205, 208],
]


def test_nonlocal_means_is_opencvs_before_rounding():
    transform = NonlocalMeans(strength=20 / 255, patch=3, search=5)
    out = transform(torch.tensor(NOISY, dtype=torch.float32)[None, None] / 255)
    assert (out[0, 0] * 255 - torch.tensor(DENOISED)).abs().max() < 0.55


@pytest.mark.parametrize("patch", [1, 5, 7])
def test_nonlocal_means_is_its_formula(patch):
    clips, (edge, reach, strength) = clips_of((1, 1, 14, 13)), (patch // 2, 3, 0.2)
    picture = np.pad(clips[0, 0].double().numpy(), edge + reach, mode="reflect")

    def around(row, column, radius):
        return picture[row - radius : row + radius + 1, column - radius : column + radius + 1]

    expected = np.empty(clips.shape)
    for row, column in np.ndindex(14, 13):
        y, x = row + edge + reach, column + edge + reach
        weights = [
            np.exp(-np.mean((around(y + v, x + u, edge) - around(y, x, edge)) ** 2) / strength**2)
            for v in range(-reach, reach + 1)
            for u in range(-reach, reach + 1)
        ]
        expected[0, 0, row, column] = np.average(around(y, x, reach).ravel(), weights=weights)
    near(NonlocalMeans(strength=strength, patch=patch, search=2 * reach + 1)(clips), expected)


def test_grey_scale_is_pillows_luma():
    clips = clips_of(SHAPES[0])
    out = GreyScale()(clips)
    rgb = (clips[0] * 255).round().byte().permute(1, 2, 0).numpy()
    assert np.abs((out[0, 0] * 255).numpy() - np.array(Image.fromarray(rgb).convert("L"))).max() <= 1.001
    assert torch.equal(out[:, 0], out[:, 1])
    assert torch.equal(out[:, 0], out[:, 2])


def test_color_quantization_keeps_grey_and_bounds_the_rest():
    grey = torch.linspace(0, 1, 64).view(1, 1, 8, 8).expand(1, 3, 8, 8)
    out = ColorQuantization(luma_bits=6, chroma_bits=2)(grey)
    near(out, grey)
    clips = clips_of(SHAPES[0])
    rgb = (clips[0] * 255).round().byte().permute(1, 2, 0).numpy()
    pillow = np.array(Image.fromarray(rgb).convert("YCbCr").convert("RGB"))
    fine = ColorQuantization(luma_bits=8, chroma_bits=8)(clips)[0].permute(1, 2, 0) * 255
    assert np.abs(fine.numpy() - pillow).max() < 4
    coarse = ColorQuantization(luma_bits=2, chroma_bits=8)(0.25 + clips / 2)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    error = ((coarse - 0.25 - clips / 2) * weights).sum(1).abs().max()
    assert 0.1 < error <= 1 / 6 + 1e-6


def test_fourier_truncation_keeps_low_and_drops_high_frequencies():
    time = torch.arange(16) / 16
    low, high = (
        0.2 * torch.cos(2 * torch.pi * cycles * time).view(1, 1, 1, 16).expand(1, 1, 16, 16) for cycles in (4, 5)
    )
    near(FourierTruncation(keep=0.5)(0.5 + low + high.mT), (0.5 + low).numpy())
    near(FourierTruncation(keep=1.0)(0.5 + low + high), (0.5 + low + high).numpy())
    near(FourierTruncation(keep=0.0)(0.5 + low + high), np.full((1, 1, 16, 16), 0.5))


def test_swirl_is_its_map():
    clips, (height, width) = clips_of((1, 2, 20, 26)), (20, 26)
    y, x = np.mgrid[:height, :width] - np.array([height - 1, width - 1])[:, None, None] / 2
    distance, decay = np.hypot(y, x), 15.0 / 5 * np.log(2)
    angle = np.arctan2(y, x) + 0.8 * np.exp(-distance / decay)
    rows, columns = distance * np.sin(angle) + (height - 1) / 2, distance * np.cos(angle) + (width - 1) / 2
    expected = [ndimage.map_coordinates(c.double().numpy(), (rows, columns), order=1, mode="nearest") for c in clips[0]]
    out = Swirl(strength=0.8, radius=1.5)(clips)
    torch.testing.assert_close(out[0], torch.tensor(np.array(expected), dtype=torch.float32), rtol=0, atol=2e-5)


def test_resize_and_pad_keeps_a_white_rectangle_of_a_drawn_size():
    white = torch.ones(200, 1, 2, 20, 30)
    out = ResizeAndPad(smallest=0.8)(white, clip_generators(0, [str(i) for i in range(200)]))
    sizes, corners = set(), set()
    for clip in out:
        assert torch.equal(clip[:, 0], clip[:, 1])
        rows, columns = clip[0, 0].amax(1).nonzero(), clip[0, 0].amax(0).nonzero()
        sizes.add((len(rows), len(columns)))
        corners.add((len(rows), int(rows[0])))
        assert clip[0, 0].sum() == len(rows) * len(columns)
    assert sizes == {(16, 24), (17, 26), (18, 27), (19, 28), (20, 30)}
    assert corners == {(size, top) for size in range(16, 21) for top in range(21 - size)}


def test_noise_has_its_strength():
    clips = torch.full((4, 3, 2, 32, 32), 0.5)
    noise = NoiseInjection(sigma=0.1)(clips, clip_generators(0, list("abcd"))) - 0.5
    assert noise.std().item() == pytest.approx(0.1, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.002)


IMPOSSIBLE = [
    (BitDepth, {"bits": 0}, "bits is 0"),
    (Jpeg, {"quality": 101}, "quality is 101"),
    (GaussianBlur, {"size": 4}, "size is 4"),
    (GaussianBlur, {"sigma": 0.0}, "sigma is 0.0"),
    (MeanFilter, {"size": 2}, "size is 2"),
    (MedianFilter, {"size": -1}, "size is -1"),
    (BilateralFilter, {"sigma_color": 0.0}, "sigma_color is 0.0"),
    (NonlocalMeans, {"patch": 6}, "patch is 6"),
    (NonlocalMeans, {"strength": 0.0}, "strength is 0.0"),
    (ColorQuantization, {"luma_bits": 9}, "luma_bits is 9"),
    (ColorQuantization, {"chroma_bits": 1}, "chroma_bits is 1"),
    (FourierTruncation, {"keep": 1.1}, "keep is 1.1"),
    (Swirl, {"radius": 0.0}, "radius is 0.0"),
    (ResizeAndPad, {"smallest": 0.0}, "smallest is 0.0"),
    (NoiseInjection, {"sigma": -1.0}, "sigma is -1.0"),
]


@pytest.mark.parametrize(("method", "given", "message"), IMPOSSIBLE, ids=[message for *_, message in IMPOSSIBLE])
def test_impossible_fields(method, given, message):
    with pytest.raises(PipelineError, match=message):
        method(**given)


def test_frames_that_a_transform_cannot_take():
    with pytest.raises(PipelineError, match="reaches 13 pixels, frames are 12 x 20"):
        NonlocalMeans()(torch.zeros(1, 3, 12, 20))
    for transform in (Jpeg(), GreyScale(), ColorQuantization()):
        with pytest.raises(PipelineError, match="the clips have 1"):
            transform(torch.zeros(1, 1, 16, 16))


@pytest.mark.gpu
@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_gpu_gives_the_same(name):
    clips = clips_of(SHAPES[1]).cuda()
    out = run(TRANSFORMS[name], clips)
    assert out.device == clips.device
    torch.testing.assert_close(out.cpu(), run(TRANSFORMS[name], clips.cpu()), rtol=0, atol=1e-5)
