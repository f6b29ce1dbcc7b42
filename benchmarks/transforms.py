"""Transforms of the input: time for each, and halftoning by fronts against the loops that it replaces.

    python benchmarks/transforms.py                    # a batch of 128 images of 32 x 32, a clip of 40 x 112 x 112
    python benchmarks/transforms.py --device cuda --rounds 20

Times are medians over the rounds, ratios those of neighbors in time, so that a slow spell of the machine hits both.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch
from attack import seconds
from torch import Tensor

from pipeline_lib.attacks.randomness import clip_generators
from pipeline_lib.methods import METHODS
from pipeline_lib.registry import build
from pipeline_lib.transforms.bpda import transformed
from pipeline_lib.transforms.drawing import drawing
from pipeline_lib.transforms.halftone import Halftone

NAMES = [name for name, target in METHODS.items() if target.startswith("pipeline_lib.transforms.")]
# Takes seconds for a clip on a CPU.
SLOW = ("nonlocal_means",)


def pixel_loop(clips: Tensor) -> Tensor:
    """Floyd-Steinberg as it is written down: one pixel after the other, each for all frames and channels at once."""
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
    """The same with the errors to the next row handed down for a whole row at a time."""
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
    """Rounds one pixel of every plane and hands its error to the right; returns the errors."""
    value = planes[:, row, column].clone()
    level = (value > 0.5).to(value.dtype)
    planes[:, row, column] = level
    if column + 1 < planes.shape[2]:
        planes[:, row, column + 1] += (value - level) * (7 / 16)
    return value - level


def timed(works: Sequence[Callable[[], object]], rounds: int, device: torch.device) -> list[list[float]]:
    """Seconds of each work in turn, `rounds` times after one unmeasured round."""
    return [[seconds(work, device) for work in works] for _ in range(rounds + 1)][1:]


def applied(name: str, clips: Tensor) -> Callable[[], object]:
    transform: Any = build({"method": METHODS[name]})
    generators = clip_generators(0, [str(i) for i in range(len(clips))], clips.device)

    def work() -> None:
        with drawing(generators):
            transformed(transform, clips)

    return work


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
    for name, loop in (("the loop over pixels", pixel_loop), ("rows, errors handed down by rows", row_loop)):
        cells = []
        for clips in (images, clip):
            if not torch.equal(fronts(clips), loop(clips)):
                raise SystemExit(f"{name}: other bits than the fronts")
            pairs = timed([lambda x=clips: fronts(x), lambda x=clips, f=loop: f(x)], rounds, clips.device)  # type: ignore[misc]
            ratios = sorted(slow / fast for fast, slow in pairs)
            cells.append(f"{statistics.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


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


if __name__ == "__main__":
    main()
