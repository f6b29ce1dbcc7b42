"""A file's clip as a tensor, for use without the workflow."""

from pathlib import Path
from typing import Literal

from torch import Tensor

from pipeline_lib.clips.decode import Decoder, Decoding, Part
from pipeline_lib.clips.folders import is_image
from pipeline_lib.clips.images import ImageFiles
from pipeline_lib.clips.loader import as_clips
from pipeline_lib.clips.sampling import Sampling, UniformStride
from pipeline_lib.clips.status import DecodedClip, Status
from pipeline_lib.clips.videos import VideoFiles, decode_batch
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.logs import LOGGER


def read_clip(
    path: Path | str,
    *,
    size: int = 112,
    sampling: Sampling | None = None,
    start: float | None = None,
    end: float | None = None,
    pixel_aspect: Literal["stored", "square"] = "stored",
    decoding: Decoding | None = None,
) -> Tensor:
    """The clip of a video or image as the networks get it: a batch of one, (1, 3, T, size, size) float32 in [0, 1].

    sampling: which frames (16 at a uniform stride); an image has T = 1. start, end: seconds of the part of a video.
    A clip that is not OK is logged as a warning. Raises PipelineError if there is no clip.
    """
    path, decoding = Path(path), decoding or Decoding()
    if is_image(path):
        decoder: Decoder = ImageFiles(size=size, resize=True, convert=True)
        [clip] = decoder.decode([path], decoding, 1)
    else:
        spec = VideoFiles(size=size, sampling=sampling or UniformStride(frames=16), pixel_aspect=pixel_aspect)
        [clip] = decode_batch([Part(path, start, end)], spec, decoding)
    report(path, clip)
    return as_clips(clip.frames[None].copy(), "cpu").contiguous()


def report(path: Path, clip: DecodedClip) -> None:
    """PipelineError for a clip that failed; a warning in the log for one that is not OK."""
    if clip.status is Status.FAILED:
        raise PipelineError(f"{path} could not be decoded: {clip.message}")
    if clip.status is not Status.OK:
        LOGGER.warning("%s is %s: %s", path, clip.status.name, clip.message)
