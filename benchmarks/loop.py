"""Time of a training epoch over its bare steps, fraction of time waiting for data, and speed-up by two processes.

    python benchmarks/loop.py                        # a tiny network on the CPU, two gloo processes
    python benchmarks/loop.py --full --device cuda   # 3D ResNet-18, 16 x 112 x 112; with two GPUs two processes

Bare steps are the defense's loss, its backward pass and the optimizer's step on clips that are already on the device.
All are interleaved in one run; ratios are medians over rounds. Two processes have the same global batch as one.
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
from common import NETWORKS, headline, parsed, parser_of, seconds, spread

from pipeline_lib.clips.loader import as_clips
from pipeline_lib.clips.splits import Video
from pipeline_lib.clips.status import DecodedClip
from pipeline_lib.clips.store import Clips
from pipeline_lib.clips.store_writer import write_store
from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.models.trained import new_network
from pipeline_lib.precision import autocast, computing_in
from pipeline_lib.randomness.generators import clip_generators
from pipeline_lib.training.job import Inputs, Outputs, train_model

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
    known = NETWORKS[options.network]
    network = {"method": f"pipeline_lib.networks.resnet:{known.method.__name__}"} | known.fields
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
    """An epoch's steps on one batch that is already on the device."""
    network, defense = new_network(entry, 2)
    network.to(device).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    size = entry["training"]["batch_size"]
    videos, labels = as_clips(clips.read(range(size)), device), torch.from_numpy(clips.labels[:size]).to(device)

    def run() -> None:
        for _ in range(len(clips) // size):
            optimizer.zero_grad(set_to_none=True)
            with autocast(entry["training"]["precision"], device):
                outcome = defense.objective(network, videos, labels, lambda name: draws(size))
            outcome.loss.backward()
            optimizer.step()
            outcome.loss.item()

    return run


def draws(count: int) -> list[torch.Generator]:
    return clip_generators(0, [str(i) for i in range(count)])


def epoch(entry: dict[str, Any], clips: Path, device: torch.device, processes: int) -> Callable[[], None]:
    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            outputs = Outputs(runs=Path(folder), weights=Path(folder, "w.pt"), history=Path(folder, "h.csv"))
            train_model(entry, Inputs(clips=clips), outputs, code="", device=device, processes=processes)

    return run


class Waits(logging.Handler):
    """Collects the percentage of time waiting for data from the log."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg.startswith("waited for data"):
            self.seen.append(float(record.args[1]))  # type: ignore[arg-type, index]


def one_process(path: Path, options: argparse.Namespace, waits: Waits) -> None:
    print(
        "| defense | bare steps, s | epoch, s | epoch over bare steps | waiting for data |\n|---|---:|---:|---:|---:|"
    )
    device = options.device
    for name, defense in DEFENSES.items():
        entry = entry_of(defense, options)
        works = [bare_steps(entry, Clips(path), device), epoch(entry, path, device, 1)]
        with computing_in(options.precision):
            pairs = [[seconds(work, device) for work in works] for _ in range(options.rounds + 1)][1:]
        bare, whole = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratio, waited = spread(whole / bare for bare, whole in pairs), statistics.median(waits.seen)
        print(f"| {name} | {bare:.2f} | {whole:.2f} | {ratio} | {waited:.2f} % |", flush=True)


def several_processes(path: Path, options: argparse.Namespace) -> None:
    """Prints clips per second of one and of several processes, by wall time, and their ratio."""
    print(f"\n| defense | clips/s, 1 process | clips/s, {options.processes} | ratio |\n|---|---:|---:|---:|")
    for name, defense in DEFENSES.items():
        rates = [
            [
                clips_per_second(entry_of(defense, options), path, options.device, count)
                for count in (1, options.processes)
            ]
            for _ in range(options.rounds)
        ]
        alone, together = (statistics.median(rate) for rate in zip(*rates, strict=True))
        print(f"| {name} | {alone:.1f} | {together:.1f} | {spread(b / a for a, b in rates)} |", flush=True)


def clips_per_second(entry: dict[str, Any], path: Path, device: torch.device, processes: int) -> float:
    """Rate of the second epoch, from the difference between a run of two epochs and a run of one, without start-up."""
    spent = []
    for epochs in (1, 2):
        start = time.perf_counter()
        longer = entry | {"training": entry["training"] | {"epochs": epochs}}
        epoch(longer, path, device, processes)()
        spent.append(time.perf_counter() - start)
    return len(Clips(path)) / (spent[1] - spent[0])


def main() -> None:
    parser = parser_of(__doc__, rounds=5)
    parser.add_argument("--clips", type=int, default=320)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "tf32", "bf16"])
    parser.add_argument("--processes", type=int, help="compared with one; default: two, or the number of GPUs")
    options = parsed(parser)
    if options.processes is None:
        options.processes = min(2, torch.cuda.device_count()) if options.device.type == "cuda" else 2
    LOGGER.addHandler(waits := Waits())
    LOGGER.setLevel("INFO")
    print(headline(options))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train.h5")
        write_clips(path, options.clips, (options.frames, options.size, options.size, 3))
        one_process(path, options, waits)
        if options.processes > 1:
            several_processes(path, options)


if __name__ == "__main__":
    main()
