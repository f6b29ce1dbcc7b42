"""Decoding images to clips of one frame: files by Pillow, and the records of CIFAR-10's binary files."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import Image, ImageOps

from pipeline_lib.clips.decode import Decoding, failed, in_order
from pipeline_lib.clips.image_lists import CIFAR10_RECORD_BYTES
from pipeline_lib.clips.png_rows import lacks_rows
from pipeline_lib.clips.readable import why_unreadable
from pipeline_lib.clips.status import DecodedClip
from pipeline_lib.entries.ranges import Count, method
from pipeline_lib.errors import PipelineError

# Without this list, a file could make Pillow start other programs (EPS: Ghostscript).
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
FILES_PER_CALL = 64


@method
class ImageFiles:
    """Image files of `size` x `size` pixels. There is no sampling: an image is its only frame.

    resize: accept images of other sizes, resized and cropped as videos are. convert: accept gray images, palettes, CMYK
    and images with transparency, which Pillow converts to RGB, and 16 bits per channel, of which it keeps the upper 8.
    Both change the content of the images, so both are off by default.
    size: side of the images in pixels.
    """

    size: Count
    resize: bool = False
    convert: bool = False

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return 1, self.size, self.size, 3

    def decode(self, paths: Sequence[Path], decoding: Decoding, workers: int) -> Iterator[DecodedClip]:
        """The clips of `paths` in their order, from `workers` threads: Pillow releases the GIL."""

        def decode_some(some: Sequence[Path]) -> list[DecodedClip]:
            return [self._decoded(path, decoding.max_pixels) for path in some]

        return in_order(decode_some, paths, FILES_PER_CALL, workers)

    def described(self) -> dict[str, Any]:
        return {"size": self.size, "images": {"method": type(self).__name__}}

    def program(self) -> str:
        return f"Pillow {PIL.__version__}"

    def _decoded(self, path: Path, max_pixels: int) -> DecodedClip:
        if reason := why_unreadable(path):
            return failed(self.shape, reason)
        try:
            return one_frame(fitted(self._checked(opened(path, max_pixels, self.convert)), self.size))
        # Pillow's parsers raise errors of many types for damaged files; the store reports each of them.
        except Exception as error:
            return failed(self.shape, str(error).replace(str(path), path.name) or type(error).__name__)

    def _checked(self, image: Image.Image) -> Image.Image:
        if image.size != (self.size, self.size) and not self.resize:
            size = f"{image.width} x {image.height} pixels, not {self.size} x {self.size}"
            raise PipelineError(f"{size}: images.resize: true resizes and crops it")
        if image.mode != "RGB" and not self.convert:
            raise PipelineError(f"pixels of mode {image.mode}, not RGB: images.convert: true converts them")
        return image if image.mode == "RGB" else image.convert("RGB")


@method
class Cifar10Records(ImageFiles):
    """Records of CIFAR-10's binary files: the path `data_batch_1.bin/00042` is record 42, from 0, of that file."""

    size: Count = 32

    def decode(self, paths: Sequence[Path], decoding: Decoding, workers: int) -> Iterator[DecodedClip]:
        """The clips of `paths` in their order. One thread: nothing is compressed."""
        content = {path: records(path) for path in dict.fromkeys(path.parent for path in paths)}
        for path in paths:
            pixels = content[path.parent][int(path.name), 1:].reshape(3, 32, 32).transpose(1, 2, 0)
            yield one_frame(fitted(Image.fromarray(np.ascontiguousarray(pixels)), self.size))


def records(path: Path) -> np.ndarray:
    """The whole records of a CIFAR-10 file, (n, 3073) uint8, memory-mapped. PipelineError if it cannot be read."""
    try:
        content = np.memmap(path, np.uint8, "r")
    except (OSError, ValueError) as error:
        raise PipelineError(f"{path} cannot be read ({error}). Unpack CIFAR-10's binary version again.") from error
    return content[: len(content) // CIFAR10_RECORD_BYTES * CIFAR10_RECORD_BYTES].reshape(-1, CIFAR10_RECORD_BYTES)


def opened(path: Path, max_pixels: int, reduce: bool = False) -> Image.Image:
    """The first frame of an image file, upright by its EXIF data. PipelineError for too many pixels, or more than 8
    bits per channel; `reduce` accepts 16 bits of RGB, of which Pillow keeps the upper 8."""
    with Image.open(path, formats=FORMATS) as image:
        if image.width * image.height > max_pixels:
            raise PipelineError(f"{image.width} x {image.height} pixels are more than max_pixels = {max_pixels}")
        if image.mode.startswith(("I", "F")):
            # Pillow would clip all values above 255.
            raise PipelineError(f"pixels of mode {image.mode}: convert the image to 8 bits per channel")
        if has_16_bits(image) and not reduce:
            raise PipelineError("16 bits per channel, not 8: images.convert: true keeps the upper 8")
        image.load()
        if lacks_rows(path, image):
            raise PipelineError("the data end before the last row")
        return upright(image)


def has_16_bits(image: Image.Image) -> bool:
    """Whether the file of an image has more than 8 bits per channel, which Pillow reduces while reading."""
    tiles: Any = getattr(image, "tile", ())
    return any(";16" in str(tile.args) or (tile.codec_name == "ppm" and tile.args[1] > 255) for tile in tiles)


def upright(image: Image.Image) -> Image.Image:
    """A copy of a loaded image, rotated or mirrored as its EXIF data state; as it is stored if they cannot be read."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # Pillow's parser raises errors of many types for damaged EXIF data
        return image.copy()


def fitted(image: Image.Image, size: int) -> Image.Image:
    """Shorter side resized to `size` (PIL's bilinear, the longer side rounded down), then a center crop.

    As for videos, and as in torchvision. Only the pixels of the crop are computed.
    """
    if image.size == (size, size):
        return image
    width, height = (size * side // min(image.size) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    across, down = image.width / width, image.height / height
    box = left * across, top * down, (left + size) * across, (top + size) * down
    return image.resize((size, size), Image.Resampling.BILINEAR, box=box)


def one_frame(image: Image.Image) -> DecodedClip:
    """An RGB image as a clip of one frame."""
    return DecodedClip(np.asarray(image)[None], np.zeros(1, np.int64))
