"""Cost of checksums and records: a training and an attack job with them, over the same job without.

    python benchmarks/identities.py --clips 160 --rounds 9
    python benchmarks/identities.py --network resnet18 --frames 8 --size 56 --batch 4 --clips 8

Without: no checksum is computed or compared (of clips, stores, sets, weights), and the job has no record. Both are
interleaved in one process; CPU time. The fraction is that of the CPU time with them, measured inside their functions.
"""

import argparse
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from common import headline, parsed, parser_of, seconds, spread
from loop import DEFENSES, PGD, entry_of, write_clips

from pipeline_lib.clips import hdf5
from pipeline_lib.evaluation.adversarial import SetFiles, make_adversarial_set
from pipeline_lib.evaluation.source import Run, Settings, Source
from pipeline_lib.jobs import recording
from pipeline_lib.models import checkpoint
from pipeline_lib.training.job import Inputs, Outputs, train_model

# Functions that compute or compare checksums, or read or write records, where they are called.
CHECKS: tuple[tuple[Any, str], ...] = (
    (zlib, "crc32"),
    (hdf5, "complaint_of"),
    (checkpoint, "crc32_of"),
    (recording, "require_recorded_bytes"),
    (recording, "record_of"),
    (recording, "write_record"),
)


@contextmanager
def no_checks() -> Iterator[None]:
    """Inside, no checksum is computed or compared; files of outside do not fit."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(zlib, "crc32", lambda *given: 0))
        stack.enter_context(patch.object(hdf5, "complaint_of", lambda path: ""))
        stack.enter_context(patch.object(checkpoint, "crc32_of", lambda file, size: 0 * file.seek(size)))
        yield


class Stopwatch:
    """CPU seconds inside functions; of nested calls the outermost counts."""

    def __init__(self) -> None:
        self.seconds, self._inside = 0.0, False

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            if self._inside:
                return function(*arguments, **named)
            self._inside, start = True, time.process_time()
            try:
                return function(*arguments, **named)
            finally:
                self._inside = False
                self.seconds += time.process_time() - start

        return timed


def train(folder: Path, options: argparse.Namespace) -> None:
    entry = entry_of(DEFENSES["standard"], options)
    with tempfile.TemporaryDirectory() as runs:
        outputs = Outputs(runs=Path(runs), weights=folder / "weights.pt", history=folder / "history.csv")
        train_model(entry, Inputs(clips=folder / "clips.h5"), outputs, code="", device=options.device)


def attack(folder: Path, options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as runs:
        make_adversarial_set(
            PGD,
            source=Source(weights=folder / "weights.pt"),
            clips=folder / "clips.h5",
            run=Run(folder=Path(runs), code=""),
            settings=Settings(batch_size=options.batch, device=options.device),
            outputs=SetFiles(
                adversarial=folder / "set.h5",
                audit=folder / "audit.csv",
                trace=folder / "trace.csv",
                predictions=folder / "predictions.csv",
            ),
        )


JOBS: dict[str, tuple[Callable[[Path, argparse.Namespace], None], list[str], list[str]]] = {
    "training": (train, ["clips.h5"], ["weights.pt", "history.csv"]),
    "attack": (attack, ["clips.h5", "weights.pt"], ["set.h5", "audit.csv", "trace.csv", "predictions.csv"]),
}


def identity_of(name: str, inputs: list[str], outputs: list[str]) -> dict[str, Any]:
    """What the record of a job contains about its making, as the workflow gives it."""
    made = [{"path": path, "record": f"{path}.json", "output": path, "identity": "0" * 64} for path in inputs]
    plain = {"identity": "0" * 64, "rule": name, "record": f"{name}.json", "settings": PGD, "code": "0" * 64}
    return plain | {"sources": {}, "inputs": {"files": made}, "outputs": {path: path for path in outputs}}


def recorded_job(name: str, folder: Path, options: argparse.Namespace) -> None:
    work, inputs, outputs = JOBS[name]
    with recording.recorded(identity_of(name, inputs, outputs), folder):
        work(folder, options)


def prepare(folder: Path, options: argparse.Namespace) -> None:
    """The files that the jobs read, with records."""
    for made, write in {"clips.h5": write_clips_of, "weights.pt": train}.items():
        write(folder, options)
        recording.write_record(folder / f"{made}.json", recording.record_of(identity_of(made, [], [made]), folder))


def write_clips_of(folder: Path, options: argparse.Namespace) -> None:
    write_clips(folder / "clips.h5", options.clips, (options.frames, options.size, options.size, 3))


def measured(name: str, checked: Path, unchecked: Path, options: argparse.Namespace) -> tuple[float, float, float]:
    """CPU seconds with checks, without, and inside the checks."""
    watch = Stopwatch()
    with ExitStack() as stack:
        for place, function in CHECKS:
            stack.enter_context(patch.object(place, function, watch.around(getattr(place, function))))
        with_checks = seconds(lambda: recorded_job(name, checked, options), options.device)
    with no_checks():
        without = seconds(lambda: JOBS[name][0](unchecked, options), options.device)
    return with_checks, without, watch.seconds


def main() -> None:
    parser = parser_of(__doc__, rounds=5)
    parser.add_argument("--clips", type=int, default=160, help="in each set")
    parser.set_defaults(precision="fp32")
    options = parsed(parser)
    print(headline(options), f"{options.clips} clips\n")
    print("| job | CPU s with | with over without | fraction inside the checks |\n|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        prepare(Path(one), options)
        with no_checks():
            prepare(Path(other), options)
        for name in JOBS:
            rounds = [measured(name, Path(one), Path(other), options) for _ in range(options.rounds + 1)][1:]
            took = statistics.median(with_checks for with_checks, _, _ in rounds)
            ratio = spread(with_checks / without for with_checks, without, _ in rounds)
            fraction = spread((100 * inside / with_checks for with_checks, _, inside in rounds), 2)
            print(f"| {name} | {took:.2f} | {ratio} | {fraction} % |", flush=True)


if __name__ == "__main__":
    main()
