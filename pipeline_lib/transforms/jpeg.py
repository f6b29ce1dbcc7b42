"""JPEG compression (Dziugaite et al., 2016; Das et al., 2017)."""

import io
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipeline_lib.entries.ranges import Quality, method
from pipeline_lib.pictures import as_bytes
from pipeline_lib.transforms.layout import on_frames, require_rgb


@method
class Jpeg:
    """Compression of every frame as 8-bit JPEG with chroma at half resolution (4:2:0).

    quality: 1 to 100 (Halftone's comparison, its value is not printed; 75 is Pillow's and libjpeg's default). Always
    on the CPU: a GPU codec produces other bytes.
    """

    differentiable: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False

    quality: Quality = 75

    def __call__(self, clips: Tensor) -> Tensor:
        require_rgb(clips)
        return on_frames(self._compress, clips)

    def _compress(self, frames: Tensor) -> Tensor:
        pictures = as_bytes(frames).permute(0, 2, 3, 1).contiguous().cpu().numpy()
        decoded = np.stack([np.asarray(Image.open(jpeg_file(picture, self.quality))) for picture in pictures])
        return torch.from_numpy(decoded).to(frames.device).permute(0, 3, 1, 2).to(frames.dtype) / 255


def jpeg_file(picture: np.ndarray, quality: int) -> io.BytesIO:
    """A picture (H, W, 3) of uint8 as a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return file
