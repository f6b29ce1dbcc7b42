"""The page of clips, and what an attack changed made visible."""

import base64
import io
import re

import av
import numpy as np
import pytest
from PIL import Image

from pipeline_lib.errors import PipelineError
from pipeline_lib.reporting.difference import magnified_difference
from pipeline_lib.reporting.gallery import encode, enlarged, gallery_page, side_by_side


def clips(size: int = 16, frames: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """A smooth clean clip and one that departs from it by 4 gray levels."""
    generator = np.random.default_rng(0)
    ramp = np.linspace(40, 210, frames * size * size * 3).reshape(frames, size, size, 3).astype(np.uint8)
    return ramp, (ramp + 4 * generator.choice([-1, 1], ramp.shape)).astype(np.uint8)


def test_magnified_difference_is_gray_fifteenfold_and_cut() -> None:
    clean = np.full((1, 1, 5, 3), 100, np.uint8)
    adversarial = clean + np.array([0, 4, 8, 9, 155], np.uint8)[:, None]
    assert magnified_difference(clean, adversarial)[0, 0, :, 0].tolist() == [128, 188, 248, 255, 255]
    assert magnified_difference(adversarial, clean)[0, 0, :, 0].tolist() == [128, 68, 8, 0, 0]
    with pytest.raises(ValueError, match="two uint8 clips of one shape"):
        magnified_difference(clean, clean[..., :1])


@pytest.mark.parametrize(("size", "expected"), [(112, 224), (32, 224), (28, 224), (240, 240), (33, 231)])
def test_enlarged_frames_have_square_pixels(size: int, expected: int) -> None:
    clip = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    large = enlarged(clip)
    assert large.shape == (2, expected, expected, 3)
    assert (large[:, :: expected // size, :: expected // size] == clip).all()


def decode(video: bytes) -> tuple[np.ndarray, float]:
    with av.open(io.BytesIO(video), "r") as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        frames = [
            frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray() for frame in container.decode(stream)
        ]
        assert stream.average_rate is not None
        return np.stack(frames), float(stream.average_rate)


@pytest.mark.parametrize("size", [16, 33])
def test_encoded_clips_decode_to_nearly_the_same(size: int) -> None:
    joined = side_by_side(*clips(size))
    assert joined.shape[1] % 2 == joined.shape[2] % 2 == 0
    frames, rate = decode(encode(joined, 8))
    assert rate == 8
    assert frames.shape == joined.shape
    gray = frames.mean(axis=3) - joined.mean(axis=3)
    assert np.abs(gray).mean() < 4


EXAMPLES = [("Adversarial framing\nHandstandPushups \u2192 JumpingJack", *clips()), ("PGD <&>", *clips(15))]


def test_gallery_is_one_self_contained_page() -> None:
    page = gallery_page(EXAMPLES, 8)
    videos = re.findall(r'<video controls loop autoplay muted playsinline src="data:video/mp4;base64,([^"]+)">', page)
    assert len(videos) == 2
    frames, _ = decode(base64.b64decode(videos[0]))
    assert len(frames) == 4
    rest = re.sub(r"data:video/mp4;base64,[^\"]+", "", page)
    assert not any(word in rest for word in ("http", "href=", "<script", "<link", "url("))
    assert "compressed" in rest
    assert "<h2>PGD &lt;&amp;&gt;</h2>" in rest
    assert "HandstandPushups \u2192 JumpingJack" in rest


def test_gallery_shows_images_as_they_are() -> None:
    clean, adversarial = clips(frames=1)
    page = gallery_page([("PGD", clean, adversarial)], 8)
    [data] = re.findall(r'<img alt="" src="data:image/png;base64,([^"]+)">', page)
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert (np.asarray(picture) == side_by_side(clean, adversarial)[0]).all()
    assert "<video" not in page
    assert "compressed" not in page


def test_gallery_repeats_character_for_character() -> None:
    assert gallery_page(EXAMPLES[:1], 8) == gallery_page(EXAMPLES[:1], 8)


def test_ffmpeg_errors_are_passed_on() -> None:
    with pytest.raises(PipelineError, match=r"ffmpeg failed: .*not divisible by 2"):
        encode(np.zeros((1, 15, 15, 3), np.uint8), 8)
