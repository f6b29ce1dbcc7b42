"""Halftoning: bit for bit the loop over pixels and Pillow's, whatever the batch, at the picture's mean grey."""

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline_lib.errors import PipelineError
from pipeline_lib.transforms.halftone import Halftone, HalftoneInteger

SIZES = [(1, 1), (1, 7), (7, 1), (2, 2), (5, 3), (3, 9), (17, 16), (32, 32)]


def pictures(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape, np.float32))


def double_loop(picture: np.ndarray, theta: float, levels: int, renormalized: bool) -> np.ndarray:
    """Error diffusion as it is written down, in float32: pixels one after the other, errors pushed to neighbors."""
    picture, top = picture.astype(np.float32).copy(), np.float32(levels - 1)
    height, width = picture.shape
    for row in range(height):
        for column in range(width):
            old = picture[row, column]
            new = np.clip(np.ceil(old * top - np.float32(theta)), 0, top) / top
            picture[row, column] = new
            targets = [(row, column + 1, 7), (row + 1, column - 1, 3), (row + 1, column, 5), (row + 1, column + 1, 1)]
            inside = [(r, c, w) for r, c, w in targets if r < height and 0 <= c < width]
            total = sum(w for *_, w in inside) if renormalized else 16
            for r, c, w in inside:
                picture[r, c] += np.float32(np.float32(w / 16) / np.float32(total / 16)) * (old - new)
    return picture


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("levels", [2, 5, 1001])
@pytest.mark.parametrize("outside", ["dropped", "renormalized"])
def test_the_fronts_give_the_bits_of_the_loop_over_pixels(size, levels, outside):
    clips = pictures(2, 3, *size)
    found = Halftone(levels=levels, outside=outside, theta=0.4)(clips).numpy()
    for n, c in np.ndindex(2, 3):
        expected = double_loop(clips[n, c].numpy(), 0.4, levels, outside == "renormalized")
        assert np.array_equal(found[n, c], expected)


@pytest.mark.parametrize("size", [*SIZES, (40, 61)], ids=str)
def test_the_integer_form_is_pillows(size):
    grey = np.random.default_rng(1).integers(0, 256, (4, *size), np.uint8)
    grey[0] = np.linspace(0, 255, size[0] * size[1]).reshape(size)
    found = HalftoneInteger()(torch.from_numpy(grey)[:, None].float() / 255)
    for picture, ours in zip(grey, found[:, 0], strict=True):
        theirs = np.array(Image.fromarray(picture).convert("1"))
        assert np.array_equal(ours.numpy(), theirs.astype(np.float32))


def grey(kind: str, side: int) -> torch.Tensor:
    flat = torch.linspace(0, 1, side) if kind == "gradient" else torch.tensor(float(kind))
    return flat.expand(1, 1, side, side)


KINDS = ["0.25", "0.5", "0.7", "gradient"]


@pytest.mark.parametrize("transform", [Halftone(), HalftoneInteger()], ids=repr)
@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_grey_stays(transform, kind):
    """Up to the errors that the borders drop: their fraction falls with the size of the frame."""
    halftone = transform(grey(kind, 256))
    assert set(halftone.unique().tolist()) == {0.0, 1.0}
    assert halftone.mean().item() == pytest.approx(grey(kind, 256).mean().item(), rel=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_renormalized_weights_lose_no_grey(kind):
    picture = grey(kind, 32)
    assert Halftone(outside="renormalized")(picture).sum().item() == pytest.approx(picture.sum().item(), abs=0.51)


def test_every_channel_and_frame_is_on_its_own():
    clips = pictures(2, 3, 4, 9, 8)
    whole = Halftone()(clips)
    alone = [Halftone()(clips[n, c, t][None, None])[0, 0] for n, c, t in np.ndindex(2, 3, 4)]
    assert torch.equal(whole.flatten(0, 2), torch.stack(alone))


def test_black_and_white_stay():
    edges = (pictures(1, 1, 12, 12) > 0.5).float()
    for transform in (Halftone(), Halftone(levels=4), HalftoneInteger()):
        assert torch.equal(transform(edges), edges)


def test_the_input_is_left_alone():
    clips = pictures(1, 3, 6, 6)
    before = clips.clone()
    Halftone()(clips)
    HalftoneInteger()(clips)
    assert torch.equal(clips, before)


@pytest.mark.parametrize(("field", "value"), [("levels", 1), ("theta", 0.0), ("theta", 1.5)])
def test_impossible_fields(field, value):
    with pytest.raises(PipelineError, match=f"{field} is {value}"):
        Halftone(**{field: value})


@pytest.mark.gpu
@pytest.mark.parametrize("transform", [Halftone(), Halftone(levels=1001), HalftoneInteger()], ids=repr)
def test_a_gpu_gives_the_same_bits(transform):
    clips = pictures(4, 3, 5, 33, 47)
    assert torch.equal(transform(clips.cuda()).cpu(), transform(clips))
