"""Time of each input transform, relative to a library with the same transform, and of halftoning relative to loops.

    python benchmarks/transforms.py                    # a batch of 128 images of 32 x 32, a clip of 40 x 112 x 112
    python benchmarks/transforms.py --device cuda --rounds 20

Times are medians over rounds. Ratios are of consecutive runs, so that a slow phase of the machine affects both. Inputs
of libraries (on the CPU) are converted before timing; only installed libraries are used
(`pip install opencv-python-headless scikit-image`). Goal: 1.5 of their time.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from common import seconds, spread
from torch import Tensor, nn

from pipeline_lib.entries.building import build
from pipeline_lib.entries.methods import METHODS
from pipeline_lib.networks.resnet import ResNet2D, ResNet3D
from pipeline_lib.pictures import as_bytes
from pipeline_lib.randomness.draws import drawing
from pipeline_lib.randomness.generators import clip_generators
from pipeline_lib.transforms.bpda import transformed
from pipeline_lib.transforms.halftone import Halftone
from pipeline_lib.transforms.jpeg import jpeg_file

NAMES = [name for name, target in METHODS.items() if target.startswith("pipeline_lib.transforms.")]
# Takes seconds for a clip on a CPU.
SLOW = ("nonlocal_means",)


def pixel_loop(clips: Tensor) -> Tensor:
    """Floyd-Steinberg as published: one pixel at a time, for all frames and channels at once."""
    planes = clips.flatten(0, -3).clone()
    height, width = planes.shape[1:]
    for row in range(height):
        for column in range(width):
            error = dithered(planes, row, column)
            if row + 1 < height:
                planes[:, row + 1, column] += error * (5 / 16)
                if column > 0:
                    planes[:, row + 1, column - 1] += error * (3 / 16)
                if column + 1 < width:
                    planes[:, row + 1, column + 1] += error * (1 / 16)
    return planes.view(clips.shape)


def row_loop(clips: Tensor) -> Tensor:
    """The same, with the errors added to the next row for a whole row at a time."""
    planes = clips.flatten(0, -3).clone()
    height, width = planes.shape[1:]
    for row in range(height):
        errors = torch.stack([dithered(planes, row, column) for column in range(width)], dim=1)
        if row + 1 < height:
            below = planes[:, row + 1]
            below[:, 1:] += errors[:, :-1] * (1 / 16)
            below += errors * (5 / 16)
            below[:, :-1] += errors[:, 1:] * (3 / 16)
    return planes.view(clips.shape)


def dithered(planes: Tensor, row: int, column: int) -> Tensor:
    """Rounds one pixel of every plane and adds its error to the right neighbor; returns the errors."""
    value = planes[:, row, column].clone()
    level = (value > 0.5).to(value.dtype)
    planes[:, row, column] = level
    if column + 1 < planes.shape[2]:
        planes[:, row, column + 1] += (value - level) * (7 / 16)
    return value - level


def timed(works: Sequence[Callable[[], object]], rounds: int, device: torch.device) -> list[list[float]]:
    """Seconds of each function, interleaved, `rounds` times after one unmeasured round."""
    return [[seconds(work, device) for work in works] for _ in range(rounds + 1)][1:]


def applied(name: str, clips: Tensor) -> Callable[[], object]:
    transform: Any = build({"method": METHODS[name]})
    generators = clip_generators(0, [str(i) for i in range(len(clips))])

    def work() -> None:
        with drawing(generators):
            transformed(transform, clips)

    return work


def library_calls(clip: Tensor) -> dict[str, tuple[str, Callable[[], object]]]:
    """Calls of libraries for a clip (1, 3, T, H, W): transform -> name of the library, and the call."""
    from PIL import Image
    from scipy import ndimage
    from torchvision.transforms.v2 import functional as vision

    frames = clip[0].transpose(0, 1).contiguous()
    pictures, array = as_bytes(frames).permute(0, 2, 3, 1).contiguous().numpy(), clip.numpy()
    calls: dict[str, tuple[str, Callable[[], object]]] = {
        "gaussian_blur": ("torchvision", lambda: vision.gaussian_blur(frames, [3, 3], [1.0, 1.0])),
        "grey_scale": ("torchvision", lambda: vision.rgb_to_grayscale(frames, 3)),
        "histogram_equalization": ("torchvision", lambda: vision.equalize(as_bytes(frames))),
        "jpeg": ("Pillow", lambda: [np.asarray(Image.open(jpeg_file(picture, 75))) for picture in pictures]),
        "mean_filter": ("scipy", lambda: ndimage.uniform_filter(array, (1, 1, 1, 3, 3), mode="mirror")),
        "median_filter": ("scipy", lambda: ndimage.median_filter(array, (1, 1, 1, 3, 3), mode="mirror")),
        "fourier_truncation": ("numpy", lambda: np.fft.irfft2(np.fft.rfft2(array)).clip(0, 1)),
        "bit_depth": ("numpy", lambda: (array * 7).round() / 7),
    }
    if find_spec("cv2"):
        import cv2

        planes, grey = array.reshape(-1, *array.shape[-2:]), as_bytes(clip).numpy().reshape(-1, *array.shape[-2:])
        calls["bilateral_filter"] = ("OpenCV", lambda: [cv2.bilateralFilter(plane, 5, 0.1, 2.0) for plane in planes])
        calls["nonlocal_means"] = ("OpenCV", lambda: [cv2.fastNlMeansDenoising(p, None, 10, 7, 21) for p in grey])
    if find_spec("skimage"):
        from skimage.transform import swirl

        colors = [frame.permute(1, 2, 0).numpy() for frame in frames]
        calls["swirl"] = ("scikit-image", lambda: [swirl(frame, strength=1, radius=56) for frame in colors])
    return calls


def library_table(clip: Tensor, rounds: int) -> None:
    print("\n| transform | library | ms per clip | ratio |\n|---|---|---:|---:|")
    for name, (library, call) in library_calls(clip).items():
        pairs = timed([applied(name, clip), call], 1 if name in SLOW else rounds, clip.device)
        theirs = statistics.median(pair[1] for pair in pairs) * 1000
        print(f"| {name} | {library} | {theirs:.1f} | {spread((a / b for a, b in pairs), digits=2)} |", flush=True)


def transform_table(images: Tensor, clip: Tensor, rounds: int) -> None:
    print("| transform | ms per image | ms per clip |\n|---|---:|---:|")
    for name in NAMES:
        count = 1 if name in SLOW and images.device.type == "cpu" else rounds
        times = timed([applied(name, images), applied(name, clip)], count, images.device)
        image, whole = (statistics.median(column) * 1000 for column in zip(*times, strict=True))
        print(f"| {name} | {image / len(images):.4f} | {whole:.1f} |", flush=True)


def halftone_table(images: Tensor, clip: Tensor, rounds: int) -> None:
    print("\n| halftone by fronts over | 32 x 32 | 40 x 112 x 112 |\n|---|---:|---:|")
    fronts = Halftone()
    for name, loop in (("the loop over pixels", pixel_loop), ("the loop with row-wise errors", row_loop)):
        cells = []
        for clips in (images, clip):
            if not torch.equal(fronts(clips), loop(clips)):
                raise SystemExit(f"{name}: the result differs from the fronts")
            pairs = timed([lambda x=clips: fronts(x), lambda x=clips, f=loop: f(x)], rounds, clips.device)  # type: ignore[misc]
            cells.append(spread((slow / fast for fast, slow in pairs), digits=1))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def training_pass(network: nn.Module, clips: Tensor) -> None:
    network(clips).sum().backward()


def training_step_table(clip: Tensor, rounds: int) -> None:
    """Time of halftoning relative to a training pass of the network behind it."""
    print("\n| network | training step, ms | halftone, ms | fraction |\n|---|---:|---:|---:|")
    for name, network, clips in (
        ("2D ResNet-18, 8 images of 32 x 32", ResNet2D(depth=18)(10), clip[:, :, 0, :32, :32].repeat(8, 1, 1, 1)),
        ("3D ResNet-18, a clip of 40 x 112 x 112", ResNet3D(depth=18, shortcut="A")(101), clip),
    ):
        network.to(clips.device)
        work = partial(training_pass, network, clips)
        pairs = timed([work, applied("halftone", clips)], rounds, clips.device)
        step, halftone = (statistics.median(column) * 1000 for column in zip(*pairs, strict=True))
        print(f"| {name} | {step:.1f} | {halftone:.1f} | {spread(b / a for a, b in pairs)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128, help="images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 ...")
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's own choice")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    random = torch.Generator().manual_seed(0)
    images, clip = (
        torch.rand(shape, generator=random).to(options.device)
        for shape in ((options.batch, 3, 32, 32), (1, 3, 40, 112, 112))
    )
    print(f"\n{options.device}, torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    transform_table(images, clip, options.rounds)
    halftone_table(images, clip, options.rounds)
    training_step_table(clip, options.rounds)
    library_table(clip.cpu(), options.rounds)


if __name__ == "__main__":
    main()
