"""Clips through a video encoder and back, in two ffmpeg processes for each."""

import numpy as np
import torch
from torch import Tensor

from pipeline_lib.errors import PipelineError
from pipeline_lib.ffmpeg_binary import piped
from pipeline_lib.pictures import as_bytes

# One thread: encoders cut pictures into as many slices as there are threads, which changes the result. And x265 without
# weighted prediction: with it 2 of 60 clips of 8 x 32 x 32 with noise had other bytes in another run of one command.
ENCODERS = {
    "h264": ("-c:v", "libx264", "-x264-params", "threads=1", "-crf"),
    "h265": ("-c:v", "libx265", "-x265-params", "pools=none:frame-threads=1:no-weightp=1:log-level=none", "-crf"),
    "mpeg2": ("-c:v", "mpeg2video", "-threads", "1", "-q:v"),
}


def recompressed(clips: Tensor, codec: str, quality: int) -> Tensor:
    """Clips (N, 3, T, H, W) or images (N, 3, H, W) in [0, 1], encoded and decoded, 25 frames per second, 4:2:0.

    codec: of `ENCODERS`; quality: the number of its last option. Raises PipelineError for odd sides.
    """
    video = clips if clips.dim() == 5 else clips[:, :, None]
    pictures = as_bytes(video).permute(0, 2, 3, 4, 1).contiguous().cpu().numpy()
    decoded = np.stack([through(clip, codec, quality) for clip in pictures])
    return (torch.from_numpy(decoded).permute(0, 4, 1, 2, 3).to(clips) / 255).reshape(clips.shape)


def through(clip: np.ndarray, codec: str, quality: int) -> np.ndarray:
    """Frames (T, H, W, 3) of uint8, encoded and decoded."""
    height, width = clip.shape[1:3]
    if height % 2 or width % 2:
        raise PipelineError(f"frames are {height} x {width}: a video codec needs even sides")
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24")
    source = (*raw, "-s", f"{width}x{height}", "-r", "25", "-i", "pipe:0")
    coding = (*ENCODERS[codec], str(quality), "-pix_fmt", "yuv420p", "-f", "nut", "pipe:1")
    encoded = piped([*source, *coding], clip.tobytes())
    frames = np.frombuffer(piped(["-f", "nut", "-i", "pipe:0", *raw, "pipe:1"], encoded), np.uint8)
    if frames.size != clip.size:
        raise PipelineError(f"{codec} returns {frames.size:,} of {clip.size:,} values for frames of {width} x {height}")
    return frames.reshape(clip.shape)
