"""Small videos of many kinds for the tests, and plain ways to decode them."""

import subprocess
from pathlib import Path

import av
import numpy as np

from pipeline_lib.clips.decode import Decoding
from pipeline_lib.clips.sampling import UniformStride
from pipeline_lib.clips.status import DecodedClip
from pipeline_lib.clips.videos import VideoFiles
from pipeline_lib.ffmpeg_binary import ffmpeg_binary

SPEC = VideoFiles(size=32, sampling=UniformStride(frames=8))
H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "2", "-g", "12")
B_FRAMES = ["-c:v", "mpeg4", "-bf", "2", "-qscale", "3"]


def encode(path: Path, *options: str, frames: int = 41, size: str = "80x60") -> Path:
    source = ["-f", "lavfi", "-i", f"mandelbrot=s={size}:r=25"]
    limits = [] if "-vf" in options and "vfr" in options else ["-frames:v", str(frames)]
    command = [ffmpeg_binary(), "-v", "error", "-y", *source, *options, "-t", f"{frames / 25}", *limits]
    subprocess.run([*command, f"file:{path.absolute()}"], check=True, stdin=subprocess.DEVNULL)
    return path


def decode(*paths: Path, spec: VideoFiles = SPEC, workers: int = 1, **decoding: float) -> list[DecodedClip]:
    return list(spec.decode(paths, Decoding(**decoding), workers))  # type: ignore[arg-type]


def every_frame(path: Path, size: int) -> np.ndarray:
    """All frames (N, size, size, 3) by another way: PyAV for the resolution, one plain ffmpeg command for the rest."""
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        width, height = codec.width, codec.height
    wide, high = max(size, size * width // height), max(size, size * height // width)
    scale = (
        f"scale={wide}:{high}:flags=bilinear,format=gbrp,crop={size}:{size}:{(wide - size) // 2}:{(high - size) // 2}"
    )
    command = [ffmpeg_binary(), "-v", "error", "-i", f"file:{path}", "-map", "v:0", "-vf", scale]
    done = subprocess.run(
        [*command, "-fps_mode", "passthrough", "-f", "rawvideo", "-"], capture_output=True, check=True
    )
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, 3, size, size)[:, [2, 0, 1]].transpose(0, 2, 3, 1)


def counted_by_pyav(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))
