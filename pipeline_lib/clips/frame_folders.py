"""Decoding folders of frames, `clip0001/00001.jpg` and on, to clips."""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from pipeline_lib.clips.decode import Decoding, failed, in_order, in_turn
from pipeline_lib.clips.folders import is_image
from pipeline_lib.clips.images import fitted, opened
from pipeline_lib.clips.listed_paths import entries
from pipeline_lib.clips.sampled import Sampled
from pipeline_lib.clips.sampling import Sampling
from pipeline_lib.clips.status import DecodedClip, Status
from pipeline_lib.entries.ranges import Count, method
from pipeline_lib.errors import PipelineError

FOLDERS_PER_CALL = 8


@method
class FrameFolders(Sampled):
    """Videos as folders of image files, one for each frame, in the order of the last number in their names.

    Only the frames of the clip are read, by Pillow, and resized and cropped as videos are. Files that are no images are
    passed over. If the numbers have gaps (they do not all rise by the same step), the video is TRUNCATED.

    size: side of the clips in pixels.
    sampling: the frames of a clip.
    convert: as of `image_files`: accept gray frames, palettes, CMYK, transparency and 16 bits of RGB.
    """

    size: Count
    sampling: Sampling
    convert: bool = False

    def decode(self, paths: Sequence[Path], decoding: Decoding, workers: int) -> Iterator[DecodedClip]:
        """The clips of the folders in their order, from `workers` threads: Pillow releases the GIL."""
        if self.clips_per_video > 1:
            each = self.of_each_clip()
            return in_turn([spec.decode(paths, decoding, max(1, workers // len(each))) for spec in each])

        def decode_some(some: Sequence[Path]) -> list[DecodedClip]:
            return [self._decoded(path, decoding) for path in some]

        return in_order(decode_some, paths, FOLDERS_PER_CALL, workers)

    def described(self) -> dict[str, Any]:
        sampling: Any = self.sampling
        fields = dataclasses.asdict(sampling) if dataclasses.is_dataclass(type(sampling)) else {"repr": repr(sampling)}
        return {"size": self.size, "sampling": {"method": type(sampling).__name__, **fields}, "frames": "folders"}

    def program(self) -> str:
        return f"Pillow {PIL.__version__}"

    def problem(self, path: Path) -> str | None:
        """What is wrong with a listed folder, to be written after its name; None if nothing is."""
        return None if path.is_dir() else ": not a folder of frames" if path.exists() else ""

    def _decoded(self, folder: Path, decoding: Decoding) -> DecodedClip:
        try:
            names = numbered_frames(folder)
        except PipelineError as error:
            return failed(self.shape, str(error).replace(str(folder), folder.name))
        if len(names) > decoding.max_frames:
            return failed(self.shape, f"more than max_frames = {decoding.max_frames} frames")
        index = self.sampling(len(names))
        chosen, places = np.unique(index, return_inverse=True)
        try:
            frames = np.stack([self._frame(folder / names[number][1], decoding.max_pixels) for number in chosen])
        except PipelineError as error:
            return failed(self.shape, str(error))
        return DecodedClip(frames[places], index, *judgement([number for number, _ in names], self.sampling.frames))

    def _frame(self, path: Path, max_pixels: int) -> np.ndarray:
        """One frame, (size, size, 3). PipelineError names the file."""
        try:
            image = opened(path, max_pixels, self.convert)
            if image.mode != "RGB" and not self.convert:
                raise PipelineError(f"pixels of mode {image.mode}, not RGB: convert: true converts them")
            return np.asarray(fitted(image if image.mode == "RGB" else image.convert("RGB"), self.size))
        # Pillow's parsers raise errors of many types for damaged files; the store reports each of them.
        except Exception as error:
            message = str(error).replace(str(path), path.name) or type(error).__name__
            raise PipelineError(f"{path.name}: {message}") from None


def numbered_frames(folder: Path) -> list[tuple[int, str]]:
    """Number and name of each frame in a folder, in order. PipelineError if there is none, or a number twice."""
    found = []
    for entry in entries(folder):
        numbers = re.findall(r"\d+", Path(entry.name).stem)
        if numbers and is_image(Path(entry.name)):
            found.append((int(numbers[-1]), entry.name))
    found.sort()
    if not found:
        raise PipelineError(f"{folder} has no image files with a number in their names")
    for (number, name), (other, again) in pairwise(found):
        if number == other:
            raise PipelineError(f"{folder}: {name} and {again} have the same number")
    return found


def judgement(numbers: Sequence[int], frames: int) -> tuple[Status, str]:
    """Status and message of a video whose frames have these numbers, of which `frames` were requested."""
    steps = np.diff(numbers)
    if len(steps) and steps.min() != steps.max():
        place = int(np.flatnonzero(steps != steps.min())[0])
        return Status.TRUNCATED, f"frame {numbers[place]} is followed by {numbers[place + 1]}"
    return (Status.SHORT, f"{len(numbers)} frames") if len(numbers) < frames else (Status.OK, "")
