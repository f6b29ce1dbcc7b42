"""The command of one ffmpeg process that decodes several videos, and the filters that choose and resize frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ffmpeg
import numpy as np

from pipeline_lib.clips.containers import DEFAULT
from pipeline_lib.ffmpeg_binary import ffmpeg_binary

# ffmpeg's name for the first stream that is a video and not an attached picture.
FIRST_VIDEO = "V:0"


@dataclass(frozen=True)
class Request:
    """A video, and the numbers of the requested frames (increasing), counted from `start` and up to `end`.

    stream: in ffmpeg's notation. start, end: seconds; frames at `start` <= time < `end` are counted. changes_size: the
    video is known to have frames of several sizes; each is then resized by itself, and frames are not counted.
    """

    path: Path
    numbers: np.ndarray
    stream: str = FIRST_VIDEO
    start: float | None = None
    end: float | None = None
    changes_size: bool = False


@dataclass(frozen=True)
class Limits:
    """Largest width x height, largest number of frames counted in a video, and seconds for a process; the containers
    as ffmpeg's list; and the width of a pixel relative to its height: that of the file (`sar`), or 1."""

    max_pixels: int
    max_frames: int
    deadline: float
    containers: str = DEFAULT
    pixel_width: str = "1"


def decoding_command(requests: Sequence[Request], pipes: Sequence[int], size: int, limits: Limits) -> list[str]:
    """The command that writes each video's requested frames to one pipe and a line for every frame to the next."""
    # ffmpeg-python takes names in UTF-8 only, and equal ones for one input.
    names = {f"input {place}": f"file:{request.path.absolute()}" for place, request in enumerate(requests)}
    outputs = [
        decoded(name, request, frames, lines, size, limits)
        for name, request, frames, lines in zip(names, requests, pipes[::2], pipes[1::2], strict=True)
    ]
    merged = ffmpeg.merge_outputs(*outputs) if len(outputs) > 1 else outputs[0]
    # Information names the streams of the files; the level marks the errors among it.
    arguments = ["-nostdin", "-hide_banner", "-nostats", "-v", "repeat+level+info", "-filter_threads", "1"]
    command = merged.global_args(*arguments).compile(cmd=ffmpeg_binary())
    return [names.get(word, word) for word in command]


def decoded(
    name: str, request: Request, frames: int, lines: int, size: int, limits: Limits
) -> ffmpeg.nodes.OutputStream:
    """The requested frames of a video that is called `name`, written to the pipe `frames`."""
    stream = ffmpeg.input(
        name,
        protocol_whitelist="file",
        format_whitelist=limits.containers,
        max_pixels=limits.max_pixels,
        threads=1,
        # Restarted filters would count from 0 again.
        reinit_filter=int(request.changes_size),
    )[request.stream]
    interval = between(request.start, request.end)
    if request.changes_size:
        # The frames are selected after the filters, which restart at every change of size.
        selection = {"vf": ",".join([*interval, *resized(size, limits.pixel_width)])}
        selection |= {"bsf:v": f"noise=drop='not({any_of(request.numbers)})'"}
    else:
        counted = [*interval, *counting(lines, limits.max_frames), f"select='{any_of(request.numbers)}'"]
        selection = {"vf": ",".join([*counted, *resized(size, limits.pixel_width)])}
    # gbrp: same pixels as rgb24 and faster: ffmpeg has SIMD code for planes only. The default of fps_mode would
    # duplicate and drop frames for a constant rate.
    constant = {"format": "rawvideo", "pix_fmt": "gbrp", "fps_mode": "passthrough"}
    return ffmpeg.output(stream, f"pipe:{frames}", **constant, **selection)


def between(start: float | None, end: float | None) -> list[str]:
    """The filter that keeps the frames at `start` <= time < `end`, if any is given."""
    limits = {"start": start, "end": end}
    given = ":".join(f"{name}={value:.6f}" for name, value in limits.items() if value is not None)
    return [f"trim={given}"] if given else []


def counting(pipe: int, max_frames: int) -> list[str]:
    """Filters that write a line for each frame to a pipe, and stop one frame after the largest number allowed."""
    # Only frames with metadata are printed.
    mark = "metadata=mode=add:key=frame:value=1"
    return [f"trim=end_frame={max_frames + 1}", mark, f"metadata=mode=print:file='pipe\\:{pipe}'"]


def any_of(numbers: np.ndarray) -> str:
    """The expression that is true for the frames of these numbers."""
    return "+".join(f"eq(n,{number})" for number in numbers)


def resized(size: int, pixel_width: str = "1") -> list[str]:
    """Filters: the shorter side becomes `size`, the longer one is rounded down, then a center crop.

    As in torchvision. ffmpeg's bilinear scaler is near PIL's bilinear resize, which the papers use: it differs
    by 0.25 gray levels on average on UCF101 (0.45 on the worst video tried), ffmpeg's default, bicubic, by 1.5.
    pixel_width: of a pixel relative to its height, as an expression.
    """
    wide = "iw" if pixel_width == "1" else f"iw*{pixel_width}"
    return [
        f"scale=w='if(lt({wide},ih),{size},trunc({size}*{wide}/ih))'"
        f":h='if(lt({wide},ih),trunc({size}*ih/({wide})),{size})':flags=bilinear",
        # With chroma at half resolution the crop could start at even pixels only.
        "format=gbrp",
        f"crop={size}:{size}:trunc((iw-{size})/2):trunc((ih-{size})/2)",
    ]
