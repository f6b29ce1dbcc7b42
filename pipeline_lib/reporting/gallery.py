"""A page of clean and adversarial clips side by side, as videos or images."""

import base64
import html
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

import ffmpeg
import numpy as np
from PIL import Image

from pipeline_lib.ffmpeg_binary import piped
from pipeline_lib.reporting.difference import MAGNIFICATION, magnified_difference
from pipeline_lib.reporting.formats import page

PANEL = 224  # pixels: approximate longer side of an enlarged frame
GAP = 16  # white pixels between the panels
CRF = 12  # x264's quality: 0 is lossless, 18 hardly visible

STYLE = """
figure { margin: 0 0 2rem; max-width: 46rem; }
figcaption { color: var(--muted); margin-bottom: .35rem; }
.panels { display: grid; grid-template-columns: repeat(3, 1fr); column-gap: 2.2%; font-size: .8rem;
          color: var(--faint); text-align: center; margin-bottom: .15rem; }
video, img { display: block; width: 100%; height: auto; image-rendering: pixelated; }
"""
EXPLANATION = (
    f"Each example shows the clean clip, the adversarial clip and {MAGNIFICATION} times their difference around gray."
)
COMPRESSION = (
    " For display the clips are enlarged and compressed (H.264, colors at half the resolution), so fine perturbations "
    "differ slightly from the network's input; the exact clips are in the adversarial sets."
)

Example = tuple[str, np.ndarray, np.ndarray]
"""Label (the attack; on further lines, for example, the classes), clean and adversarial clip, (T, H, W, 3) uint8."""


def gallery_page(examples: Sequence[Example], fps: float) -> str:
    """Return a self-contained page: per example a looping H.264 video at `fps` frames per second, or for clips of one
    frame a lossless PNG image.

    The three panels are one video, so they are synchronized without a script, also in the frame of a report. A frame
    that forbids scripts also forbids autoplay; there the videos start on a click. The output is deterministic.
    """
    figures = [example_figure(label, shown(side_by_side(clean, adv), fps)) for label, clean, adv in examples]
    moving = any(len(clean) > 1 for _, clean, _ in examples)
    words = EXPLANATION + COMPRESSION * moving
    return page("Adversarial examples", f"<p>{words}</p>\n" + "\n".join(figures), STYLE)


def example_figure(label: str, panels: str) -> str:
    """Return the HTML of one example; panels: the HTML of its three panels."""
    attack, _, details = (html.escape(text) for text in label.partition("\n"))
    return (
        f"<figure>\n<h2>{attack}</h2>\n<figcaption>{details}</figcaption>\n"
        '<div class="panels"><span>clean</span><span>adversarial</span>'
        f"<span>difference &times; {MAGNIFICATION}</span></div>\n"
        f"{panels}\n</figure>"
    )


def shown(clip: np.ndarray, fps: float) -> str:
    """Return the HTML element of a clip (T, H, W, 3): a player, or an image for a single frame."""
    if len(clip) == 1:
        return f'<img alt="" src="data:image/png;base64,{base64.b64encode(png(clip[0])).decode()}">'
    data = base64.b64encode(encode(clip, fps)).decode()
    return f'<video controls loop autoplay muted playsinline src="data:video/mp4;base64,{data}"></video>'


def png(image: np.ndarray) -> bytes:
    """Return an image (H, W, 3) uint8 as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def side_by_side(clean: np.ndarray, adversarial: np.ndarray) -> np.ndarray:
    """Return clean, adversarial and magnified difference as one enlarged clip (T, H', W', 3) of even size."""
    panels = [enlarged(clip) for clip in (clean, adversarial, magnified_difference(clean, adversarial))]
    gap = np.full((*panels[0].shape[:2], GAP, 3), 255, np.uint8)
    joined = np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=2)
    odd_rows, odd_columns = joined.shape[1] % 2, joined.shape[2] % 2
    return np.pad(joined, ((0, 0), (0, odd_rows), (0, odd_columns), (0, 0)), mode="edge")


def enlarged(clip: np.ndarray) -> np.ndarray:
    """Return the clip with every pixel repeated to a square, so that the longer side has about `PANEL` pixels."""
    factor = max(1, round(PANEL / max(clip.shape[1:3])))
    return clip.repeat(factor, axis=1).repeat(factor, axis=2)


def encode(clip: np.ndarray, fps: float) -> bytes:
    """Return the clip (T, H, W, 3), uint8, H and W even, as an MP4 for all browsers (H.264, yuv420p, BT.709).

    One thread and no metadata make the output deterministic. Raises PipelineError with ffmpeg's message.
    """
    height, width = clip.shape[1:3]
    raw = ffmpeg.input("pipe:", format="rawvideo", pixel_format="rgb24", video_size=(width, height), framerate=fps)
    video = raw.filter("scale", out_color_matrix="bt709", out_range="tv")
    options = {"vcodec": "libx264", "pix_fmt": "yuv420p", "crf": CRF, "preset": "slow", "threads": 1}
    colors = {"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709", "color_range": "tv"}
    exact = {"fflags": "+bitexact", "flags": "+bitexact", "map_metadata": -1, "movflags": "+faststart"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        piped(ffmpeg.output(video, str(path), **options, **colors, **exact).get_args(), clip.tobytes())
        return path.read_bytes()
