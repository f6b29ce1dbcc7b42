"""Recompression of a clip by a video codec, as every shared video has gone through one."""

from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from pipeline_lib.entries.ranges import Natural, method
from pipeline_lib.errors import PipelineError
from pipeline_lib.ffmpeg_binary import piped
from pipeline_lib.transforms.layout import as_bytes, require_rgb

# One thread: encoders cut pictures into as many slices as there are threads, which changes the result.
ENCODERS = {
    "h264": ("-c:v", "libx264", "-x264-params", "threads=1", "-crf"),
    "h265": ("-c:v", "libx265", "-x265-params", "pools=none:frame-threads=1:log-level=none", "-crf"),
    "mpeg2": ("-c:v", "mpeg2video", "-threads", "1", "-q:v"),
}
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

    codec: Literal["h264", "h265", "mpeg2"]
    quality: Natural

    def __post_init__(self) -> None:
        if self.quality > LARGEST[self.codec]:
            raise PipelineError(f"quality is {self.quality}: of {self.codec} it is at most {LARGEST[self.codec]}")

    def __call__(self, clips: Tensor) -> Tensor:
        require_rgb(clips)
        video = clips if clips.dim() == 5 else clips[:, :, None]
        pictures = as_bytes(video).permute(0, 2, 3, 4, 1).contiguous().cpu().numpy()
        decoded = np.stack([self._through(clip) for clip in pictures])
        return (torch.from_numpy(decoded).permute(0, 4, 1, 2, 3).to(clips) / 255).reshape(clips.shape)

    def _through(self, clip: np.ndarray) -> np.ndarray:
        """Frames (T, H, W, 3) of uint8, encoded and decoded."""
        height, width = clip.shape[1:3]
        if height % 2 or width % 2:
            raise PipelineError(f"frames are {height} x {width}: a video codec needs even sides")
        raw = ("-f", "rawvideo", "-pix_fmt", "rgb24")
        source = (*raw, "-s", f"{width}x{height}", "-r", "25", "-i", "pipe:0")
        coding = (*ENCODERS[self.codec], str(self.quality), "-pix_fmt", "yuv420p", "-f", "nut", "pipe:1")
        encoded = piped([*source, *coding], clip.tobytes())
        frames = np.frombuffer(piped(["-f", "nut", "-i", "pipe:0", *raw, "pipe:1"], encoded), np.uint8)
        if frames.size != clip.size:
            raise PipelineError(
                f"{self.codec} returns {frames.size:,} of {clip.size:,} values for frames of {width} x {height}"
            )
        return frames.reshape(clip.shape)
