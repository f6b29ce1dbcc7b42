"""A training epoch over its bare steps, the share of its time that waits for data, and two processes over one.

    python benchmarks/loop.py                        # a tiny network on the CPU, two gloo processes
    python benchmarks/loop.py --full --device cuda   # 3D ResNet-18, 16 x 112 x 112; with two GPUs two processes

Bare steps are the defense's loss, its backward pass and the optimizer's step on clips that lie on the device already.
All are timed in turn in one run; ratios are medians over rounds.
"""

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline_lib.attacks.randomness import clip_generators
from pipeline_lib.clips.loader import as_clips
from pipeline_lib.clips.splits import Video
from pipeline_lib.clips.status import DecodedClip
from pipeline_lib.clips.store import Clips
from pipeline_lib.clips.store_writer import write_store
from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.modeling import new_network
from pipeline_lib.training.job import train_model

TINY = {"depth": 10, "width": 12, "shortcut": "A", "stages": 3, "stem_kernel": 3, "stem_pool": False}
FULL = {"depth": 18, "shortcut": "A"}
PGD = {
    "method": "pipeline_lib.attacks.ascent:Ascent",
    "perturbation": {
        "method": "pipeline_lib.attacks.perturbations:AdditiveLinf",
        "epsilon": 4 / 255,
        "step_size": 1 / 255,
    },
    "steps": 3,
}
DEFENSES: dict[str, dict[str, Any]] = {
    "standard": {"method": "pipeline_lib.defenses.standard:Standard"},
    "AT-PGD-3": {"method": "pipeline_lib.defenses.adversarial_training:AdversarialTraining", "attack": PGD},
}


def entry_of(defense: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    network = {"method": "pipeline_lib.models.resnet:ResNet3D"} | (FULL if options.full else TINY)
    schedule = {"method": "pipeline_lib.training.schedules:OneCycle"}
    training = {"epochs": 1, "batch_size": options.batch, "learning_rate": 0.01, "schedule": schedule}
    training["precision"] = options.precision
    return {"network": network, "defense": defense, "training": training, "seed": 0}


def write_clips(path: Path, count: int, shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(0)
    clip = generator.integers(0, 256, shape, dtype=np.uint8)
    clips = (DecodedClip(np.roll(clip, i, axis=1), np.arange(shape[0])) for i in range(count))
    videos = [Video(f"{'ab'[i % 2]}/v_{i:05}.avi", i % 2) for i in range(count)]
    write_store(path, videos, clips, shape=shape, classes=["a", "b"], spec={})


def bare_steps(entry: dict[str, Any], clips: Clips, device: torch.device) -> Callable[[], None]:
    """An epoch's steps on one batch that lies on the device."""
    network, defense = new_network(entry, 2)
    network.to(device).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    size = entry["training"]["batch_size"]
    videos, labels = as_clips(clips.read(range(size)), device), torch.from_numpy(clips.labels[:size]).to(device)

    def run() -> None:
        for _ in range(len(clips) // size):
            optimizer.zero_grad(set_to_none=True)
            outcome = defense.objective(network, videos, labels, lambda name: draws(size, device))
            outcome.loss.backward()
            optimizer.step()
            outcome.loss.item()

    return run


def draws(count: int, device: torch.device) -> list[torch.Generator]:
    return clip_generators(0, [str(i) for i in range(count)], device)


def epoch(entry: dict[str, Any], clips: Path, device: torch.device, processes: int) -> Callable[[], None]:
    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            names = {"runs": Path(folder), "weights": Path(folder, "w.pt"), "history": Path(folder, "h.csv")}
            train_model(entry, clips=clips, initial=None, code="", device=device, processes=processes, **names)

    return run


class Waits(logging.Handler):
    """Notes the share of time that waited for data, in percent, as the log says it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg.startswith("waited for data"):
            self.seen.append(float(record.args[1]))  # type: ignore[arg-type, index]


def seconds(work: Callable[[], None], device: torch.device) -> float:
    """CPU time on the CPU, which other processes hardly disturb; else the time until the work has finished."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    start = clock()
    work()
    return clock() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="3D ResNet-18 at 112 x 112, not a tiny network at 32 x 32")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--clips", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu", help="cpu, cuda")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "tf32", "bf16"])
    parser.add_argument(
        "--processes", type=int, default=1, help="also with as many; their start counts and takes seconds"
    )
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device, side = torch.device(options.device), 112 if options.full else 32
    waits = Waits()
    LOGGER.addHandler(waits)
    LOGGER.setLevel("INFO")
    print(f"\n{'3D ResNet-18' if options.full else 'tiny 3D ResNet-10'}, {device}, torch {torch.__version__}\n")
    print(
        "| defense | bare steps, s | epoch, s | epoch over bare steps | waiting for data |\n|---|---:|---:|---:|---:|"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train.h5")
        write_clips(path, options.clips, (16 if options.full else 8, side, side, 3))
        for name, defense in DEFENSES.items():
            entry = entry_of(defense, options)
            works = [bare_steps(entry, Clips(path), device), epoch(entry, path, device, 1)]
            pairs = [[seconds(work, device) for work in works] for _ in range(options.rounds + 1)][1:]
            ratios = sorted(whole / bare for bare, whole in pairs)
            bare, whole = (statistics.median(times) for times in zip(*pairs, strict=True))
            spread = f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
            print(
                f"| {name} | {bare:.2f} | {whole:.2f} | {spread} | {statistics.median(waits.seen):.2f} % |", flush=True
            )
            if options.processes > 1:
                start = time.perf_counter()
                epoch(entry, path, device, options.processes)()
                print(
                    f"| {name}, {options.processes} processes | | {time.perf_counter() - start:.2f} | | |", flush=True
                )


if __name__ == "__main__":
    main()
