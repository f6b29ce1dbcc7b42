"""Recompression of a clip by a video codec, as every shared video has gone through one."""

from typing import ClassVar, Literal

from torch import Tensor

from pipeline_lib.entries.ranges import Natural, method
from pipeline_lib.errors import PipelineError
from pipeline_lib.recompression import recompressed
from pipeline_lib.transforms.layout import require_rgb

LARGEST = {"h264": 51, "h265": 51, "mpeg2": 31}


@method
class VideoCodec:
    """A clip encoded and decoded with chroma at half resolution (4:2:0), 25 frames per second; images as one frame.

    Not differentiable: attacks pass it by BPDA. Always on the CPU, in two ffmpeg processes for each clip.

    codec: `h264` (x264), `h265` (x265) or `mpeg2`.
    quality: the encoder's number: -crf of h264 and h265, up to 51 (23 and 28 are their defaults), -q:v of mpeg2, 1 to
        31. Larger is coarser.
    """

    differentiable: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False
    # Two processes, and the encoder, of h264 on a core.
    seconds: ClassVar[str] = "0.04 + 3e-8 * elements"

    codec: Literal["h264", "h265", "mpeg2"]
    quality: Natural

    def __post_init__(self) -> None:
        if self.quality > LARGEST[self.codec]:
            raise PipelineError(f"quality is {self.quality}: of {self.codec} it is at most {LARGEST[self.codec]}")

    def __call__(self, clips: Tensor) -> Tensor:
        require_rgb(clips)
        return recompressed(clips, self.codec, self.quality)
