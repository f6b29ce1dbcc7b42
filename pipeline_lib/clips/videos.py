"""Exact decoding of videos to clips with ffmpeg: all frames are decoded, and their number determines the clip."""

import contextlib
import dataclasses
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline_lib.clips.containers import advice, whitelist
from pipeline_lib.clips.decode import Decoding, Part, failed, in_order, in_turn
from pipeline_lib.clips.exact import decode_exactly
from pipeline_lib.clips.ffmpeg_command import Limits, Request
from pipeline_lib.clips.ffmpeg_process import Output, Received, descriptors
from pipeline_lib.clips.messages import only_about_earlier_frames
from pipeline_lib.clips.readable import in_words, why_unreadable
from pipeline_lib.clips.sampled import Sampled
from pipeline_lib.clips.sampling import Sampling
from pipeline_lib.clips.status import DecodedClip, Status, printable
from pipeline_lib.clips.times import evenly_spaced, reaches
from pipeline_lib.clips.wholeness import frames_in_header, missing
from pipeline_lib.entries.ranges import Count, method
from pipeline_lib.ffmpeg_binary import ffmpeg_version
from pipeline_lib.jobs.limits import workers_within_open_files


@method
class VideoFiles(Sampled):
    """Video files: clips of `size` x `size` pixels, and the sampling that chooses their frames.

    size: side of the clips in pixels.
    sampling: the frames of a clip.
    pixel_aspect: `stored` resizes the pixels as they are stored, as the papers' frames were; `square` first corrects
    pixels that are displayed wider or narrower than high.
    """

    size: Count
    sampling: Sampling
    pixel_aspect: Literal["stored", "square"] = "stored"

    def decode(self, paths: Sequence[Path], decoding: Decoding, workers: int) -> Iterator[DecodedClip]:
        """The clips of `paths` in their order, from `workers` ffmpeg processes at a time."""
        return self.decode_parts([Part(path) for path in paths], decoding, workers)

    def decode_parts(self, parts: Sequence[Part], decoding: Decoding, workers: int) -> Iterator[DecodedClip]:
        """The clips of videos or of intervals of them, in their order."""
        if self.clips_per_video > 1:
            each = self.of_each_clip()
            return in_turn([spec.decode_parts(parts, decoding, max(1, workers // len(each))) for spec in each])
        step = decoding.videos_per_process
        processes = workers_within_open_files(workers, descriptors(step), f"an ffmpeg process of {step} videos")
        return in_order(lambda some: decode_batch(some, self, decoding), parts, step, processes)

    def described(self) -> dict[str, Any]:
        """The fields as plain data; a sampling that is not a dataclass is given by its repr."""
        sampling: Any = self.sampling
        fields = dataclasses.asdict(sampling) if dataclasses.is_dataclass(type(sampling)) else {"repr": repr(sampling)}
        aspect = {} if self.pixel_aspect == "stored" else {"pixel_aspect": self.pixel_aspect}
        return {"size": self.size, "sampling": {"method": type(sampling).__name__, **fields}} | aspect

    def limits(self, decoding: Decoding) -> Limits:
        """The limits of a process, and what the files are decoded as."""
        width = "sar" if self.pixel_aspect == "square" else "1"
        containers = whitelist(decoding.containers)
        return Limits(decoding.max_pixels, decoding.max_frames, decoding.deadline, containers, width)

    def program(self) -> str:
        return f"ffmpeg {ffmpeg_version()}"


def decode_batch(parts: Sequence[Part], spec: VideoFiles, decoding: Decoding) -> list[DecodedClip]:
    """The clips of a few videos from one process; from one process each after any error."""
    reasons = [why_unreadable(part.path) for part in parts]
    readable = [part for part, reason in zip(parts, reasons, strict=True) if not reason]
    clips = iter(decode_readable(readable, spec, decoding))
    return [failed(spec.shape, reason) if reason else next(clips) for reason in reasons]


def decode_readable(parts: Sequence[Part], spec: VideoFiles, decoding: Decoding) -> list[DecodedClip]:
    """The clips of videos that this user may read.

    The exit code and the error lines of a process that decodes several videos do not identify the faulty one. What the
    process found out about each video, such as its number of frames, spares the processes of single ones a second run.
    """
    requests = [first_request(part, spec) for part in parts]
    if len(requests) > 1:
        output, requests = decode_exactly(requests, spec.size, spec.sampling, spec.limits(decoding))
        if output.clean:
            return [
                clip_of(request, video, output, spec, decoding)
                for request, video in zip(requests, output.videos, strict=True)
            ]
    return [decode_one(request, spec, decoding) for request in requests]


def decode_one(request: Request, spec: VideoFiles, decoding: Decoding) -> DecodedClip:
    """The clip of one video from a separate process."""
    output, requests = decode_exactly([request], spec.size, spec.sampling, spec.limits(decoding))
    output = dataclasses.replace(output, errors=reproducible(output.errors, request.path))
    return clip_of(requests[0], output.videos[0], output, spec, decoding)


def reproducible(errors: str, path: Path) -> str:
    """Error lines sorted, and without addresses, folders and pipe numbers, so that they are reproducible."""
    text = re.sub(r" @ 0x[0-9a-f]+|(?<=pipe):\d+", "", errors.replace(f"file:{path.absolute()}", path.name))
    return printable("\n".join(sorted(set(text.splitlines()))))


def first_request(part: Part, spec: VideoFiles) -> Request:
    """The frames that the sampling chooses by the number in the header, or by 1 if there is none."""
    count = 1
    if part.start is None and part.end is None:
        with contextlib.suppress(OSError):
            count = frames_in_header(part.path) or 1
    return Request(part.path, np.unique(spec.sampling(count)), start=part.start, end=part.end)


def clip_of(request: Request, video: Received, output: Output, spec: VideoFiles, decoding: Decoding) -> DecodedClip:
    """The clip of a video with its status; `output` is the output of the process that decoded it."""
    reason = why_failed(request, video, output, decoding)
    if reason:
        return failed(spec.shape, reason)
    index = spec.sampling(video.count)
    chosen, places = np.unique(index, return_inverse=True)
    if len(video.frames) != len(chosen):
        return failed(spec.shape, f"{len(video.frames)} frames were decoded where {len(chosen)} were requested")
    # Planes G, B, R to pixels R, G, B.
    frames = np.ascontiguousarray(video.frames[places][:, [2, 0, 1]].transpose(0, 2, 3, 1))
    try:
        return DecodedClip(frames, index, *judgement(request, video, output, len(index)))
    except OSError as error:
        return failed(spec.shape, in_words(error))


def why_failed(request: Request, video: Received, output: Output, decoding: Decoding) -> str:
    """The reason why there is no clip; empty when there is one."""
    if output.code is None:
        return f"ffmpeg took longer than the deadline of {decoding.deadline:g} s"
    if video.count == 0:
        if output.code == 0 and (request.start is not None or request.end is not None):
            end = "the end" if request.end is None else f"{request.end:g} s"
            return f"no frames between {request.start or 0:g} s and {end}"
        return advice(output.errors) or without_frames(request.path, output)
    if video.count > decoding.max_frames:
        return f"more than max_frames = {decoding.max_frames} frames"
    return ""


def without_frames(path: Path, output: Output) -> str:
    """Why a file has no frames: what is missing at its end, else what ffmpeg reports."""
    with contextlib.suppress(OSError):
        if lacking := missing(path, sys.maxsize):
            return f"no frames: {lacking}"
    return output.errors or f"no frames (ffmpeg ended with {output.code})"


def judgement(request: Request, video: Received, output: Output, frames: int) -> tuple[Status, str]:
    """Status and message of a video with at least one frame, of which `frames` were requested."""
    complaint = output.errors and only_about_earlier_frames(output.errors) and evenly_spaced(video.lines)
    if output.code != 0 or (output.errors and not complaint):
        return Status.DAMAGED, output.errors or f"ffmpeg ended with {output.code}"
    whole_video = request.start is None and request.end is None
    lacking = missing(request.path, video.count if whole_video else sys.maxsize)
    if lacking and not reaches(video.lines, request.end):
        return Status.TRUNCATED, f"{video.count} frames, but {lacking}"
    if video.count < frames:
        return Status.SHORT, f"{video.count} frames"
    return (Status.COMPLAINED, output.errors) if complaint else (Status.OK, "")
