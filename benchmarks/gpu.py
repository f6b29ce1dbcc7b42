"""All GPU checks in one command of at most ten minutes: parts with a time limit each, in order of importance.

    python benchmarks/gpu.py --out gpu_results                     # correctness, then rates
    python benchmarks/gpu.py --out gpu_results --cifar10 DIR       # and CIFAR-10's rows; DIR has cifar-10-batches-bin
    python benchmarks/gpu.py --out gpu_results --video DIR         # and videos; DIR has train.h5 and test.h5

It needs torch, torchvision, h5py, Pillow, PyYAML, tqdm and pytest, but neither Snakemake nor ffmpeg. Each part writes
its own log below --out; a summary with machine, date, versions and commands is printed at the end.
"""

import argparse
import os
import platform
import shlex
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import torch

ROOT = Path(__file__).parents[1]
GPU_TESTS = " ".join(
    f"tests/test_{name}.py" for name in ("gpu", "pooling", "stem", "ascent", "halftone", "loader", "transforms")
)
CIFAR10 = "benchmarks/study.py --config config/cifar10_gpu.yaml --study multibn_cifar10"
VIDEO = "benchmarks/study.py --config config/ucf101_3class_gpu.yaml --study multibn_white_box"


class Part(NamedTuple):
    """A command of this Python and its time limit in seconds; its output until then is kept."""

    name: str
    command: str
    seconds: int


def parts(options: argparse.Namespace) -> list[Part]:
    found = [
        Part("correctness", f"-m pytest -m gpu -q --no-header -p no:cacheprovider {GPU_TESTS}", 150),
        Part("rates", "benchmarks/rates.py --seconds 60", 110),
    ]
    results = options.out / "results"
    if options.cifar10:
        place = f"--results {results} --set datasets.cifar10.root={options.cifar10}"
        found.append(Part("cifar10", f"{CIFAR10} {place} {options.cifar10_options}", 330))
    if options.video:
        found.append(Part("video", f"{VIDEO} --results {results} --clips {options.video} {options.video_options}", 200))
    return [part for part in found if not options.only or part.name in options.only]


def environment() -> dict[str, str]:
    """The environment of a part, in which the package need not be installed."""
    return os.environ | {"PYTHONPATH": str(ROOT)}


def run(part: Part, out: Path, seconds: float) -> str:
    """Runs a part within its time limit; returns its outcome in words."""
    start, log = time.monotonic(), out / f"{part.name}.log"
    with log.open("w") as file:
        command = [sys.executable, "-u", *shlex.split(part.command)]
        try:
            streams: dict[str, Any] = {"stdout": file, "stderr": subprocess.STDOUT}
            code = subprocess.run(command, cwd=ROOT, env=environment(), timeout=seconds, **streams).returncode
            ended = "done" if code == 0 else f"exit status {code}"
        except subprocess.TimeoutExpired:
            ended = f"stopped after its {seconds:.0f} s"
    return f"{part.name}: {ended}, {time.monotonic() - start:.0f} s: python {part.command}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=9.5)
    parser.add_argument("--cifar10", type=Path)
    parser.add_argument("--cifar10-options", default="", help="further options of benchmarks/study.py")
    parser.add_argument("--video", type=Path)
    parser.add_argument("--video-options", default="", help="further options of benchmarks/study.py")
    parser.add_argument("--only", nargs="*", help="names of parts")
    options = parser.parse_args()
    options.out = options.out.absolute()
    options.out.mkdir(parents=True, exist_ok=True)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    print(f"{date.today()}, {device}, Python {platform.python_version()}, torch {torch.__version__}", flush=True)
    end, ended = time.monotonic() + 60 * options.minutes, []
    for part in parts(options):
        left = end - time.monotonic()
        ended.append(run(part, options.out, min(part.seconds, left)) if left > 5 else f"{part.name}: no time left")
        print(f"\n{ended[-1]}\n{(options.out / f'{part.name}.log').read_text()[-3500:]}", flush=True)
    print("\n" + "\n".join(ended))


if __name__ == "__main__":
    main()
