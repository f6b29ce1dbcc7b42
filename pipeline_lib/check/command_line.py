"""The command line of the check."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline_lib.errors import PipelineError

MODEL = (
    "file.py:factory (a function that returns a torch.nn.Module), a TorchScript file or a checkpoint of this pipeline, "
    "or the name of a network such as resnet_3d"
)
CLIPS = "a folder of class folders, a manifest path,label, or a clip store (.h5)"
THREAT = "linf:4/255, l2:1.5, l1:100, ratio_linf:1.04, rectangle:30x30, border:4 or pixels:100"
ATTACK = "an attack (network, clips, labels) -> adversarial clips of your own evaluation, which is checked too"
MEAN = "of the channels, for a network that expects normalized clips: a,b,c"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m pipeline_lib.check",
        description="Is this model robust? Attacks it as a careful reviewer would, and ends with one page.",
        epilog="Exit status: 0 no sign of masking, 1 any other verdict, 2 unsuitable input.",
    )
    made.add_argument("model", help=MODEL)
    made.add_argument("clips", type=Path, help=CLIPS)
    made.add_argument("--threat", required=True, help=THREAT)
    of_model, of_clips, of_check = (made.add_argument_group(name) for name in ("model", "clips", "check"))
    _add_model(of_model)
    of_clips.add_argument("--frames", type=int, default=16, help="of a clip that is decoded (default 16)")
    of_clips.add_argument("--size", type=int, default=112, help="height and width of such a clip (default 112)")
    of_clips.add_argument("--clips", dest="most", type=int, default=100, help="clips at most (default 100)")
    _add_check(of_check)
    return made


def _add_model(group: Any) -> None:
    group.add_argument("--weights", type=Path, help="state dict (.pt, .pth, .safetensors) for the network")
    group.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="field of a network: depth=18")
    group.add_argument("--branch", help="of a checkpoint of this pipeline with branches, such as lp")
    group.add_argument("--mean", type=_numbers, help=MEAN)
    group.add_argument("--std", type=_numbers, help="of the channels: a,b,c")
    group.add_argument("--classes", type=int, help="number of classes; by default that of the clips")


def _add_check(group: Any) -> None:
    group.add_argument("--attack", metavar="FILE.py:FUNCTION", help=ATTACK)
    group.add_argument("--stand-in", metavar="FILE.py:FACTORY", help="a network to transfer attacks from")
    group.add_argument("--budget", type=float, default=15.0, metavar="MINUTES", help="for everything (default 15)")
    group.add_argument("--steps", type=_counts, default=(10, 40, 100), help="of PGD, growing (default 10,40,100)")
    group.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of the attacks' passes")
    group.add_argument("--batch-size", type=int, help="clips at once")
    group.add_argument("--threads", type=int, help="of the CPU; by default all")
    group.add_argument("--seed", type=int, default=0, help="of all random draws")
    group.add_argument("--out", type=Path, default=Path("check"), help="folder of the page (default check)")


def require_positive(given: argparse.Namespace) -> None:
    """Raises PipelineError for a number that is not above 0."""
    if min(given.steps) < 1 or sorted(set(given.steps)) != list(given.steps):
        raise PipelineError(f"--steps is {','.join(map(str, given.steps))}: give growing numbers from 1, 10,40,100")
    for name in ("frames", "size", "most", "budget", "batch_size", "threads", "classes"):
        value = getattr(given, name)
        if value is not None and not value > 0:
            raise PipelineError(
                f"--{'clips' if name == 'most' else name.replace('_', '-')} is {value}: it must be above 0"
            )


def settings(pairs: Sequence[str]) -> dict[str, Any]:
    """The fields of `key=value` texts; values are read as JSON, else as text."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise PipelineError(f"--set {pair}: give KEY=VALUE")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def _counts(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]
