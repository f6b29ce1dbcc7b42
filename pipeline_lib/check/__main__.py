"""`python -m pipeline_lib.check MODEL CLIPS --threat linf:4/255`: is this model robust?

Exit status: 0 for no sign of masking, 1 for any other verdict, 2 for unsuitable input, in one sentence; 130 when it was
interrupted (run it again, and it continues).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline_lib.errors import PipelineError

FLAGGED, BAD_INPUT, INTERRUPTED = 1, 2, 130


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m pipeline_lib.check",
        description="Is this model robust? Attacks it as a careful reviewer would, and ends with one page.",
        epilog="Exit status: 0 no sign of masking, 1 any other verdict, 2 unsuitable input.",
    )
    made.add_argument("model", help="file.py:factory (a function that returns a torch.nn.Module), a TorchScript "
                      "file or a checkpoint of this pipeline, or the name of a network such as resnet_3d")  # fmt: skip
    made.add_argument(
        "clips", type=Path, help="a folder of class folders, a manifest path,label, or a clip store (.h5)"
    )
    made.add_argument("--threat", required=True, help="linf:4/255, l2:1.5, l1:100, ratio_linf:1.04, rectangle:30x30, "
                      "border:4 or pixels:100")  # fmt: skip
    made.add_argument("--weights", type=Path, help="state dict (.pt, .pth, .safetensors) for the network")
    made.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="field of the network: --set depth=18"
    )
    made.add_argument(
        "--mean", type=_numbers, help="of the channels, for a network that expects normalized clips: a,b,c"
    )
    made.add_argument("--std", type=_numbers, help="of the channels: a,b,c")
    made.add_argument("--classes", type=int, help="number of classes; by default that of the clips")
    made.add_argument("--frames", type=int, default=16, help="of a clip that is decoded (default 16)")
    made.add_argument("--size", type=int, default=112, help="height and width of a clip that is decoded (default 112)")
    made.add_argument("--clips", dest="most", type=int, default=100, help="clips that are used at most (default 100)")
    made.add_argument("--attack", metavar="FILE.py:FUNCTION", help="an attack (network, clips, labels) -> adversarial "
                      "clips of your own evaluation, which is checked too")  # fmt: skip
    made.add_argument("--stand-in", metavar="FILE.py:FACTORY", help="a network to transfer attacks from")
    made.add_argument("--budget", type=float, default=15.0, metavar="MINUTES", help="time for everything (default 15)")
    made.add_argument("--steps", type=_counts, default=(10, 40, 100), help="of PGD, growing (default 10,40,100)")
    made.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of the attacks' passes")
    made.add_argument("--batch-size", type=int, help="clips at once")
    made.add_argument("--threads", type=int, help="of the CPU; by default all")
    made.add_argument("--seed", type=int, default=0, help="of all random draws")
    made.add_argument(
        "--out", type=Path, default=Path("check"), help="folder of the page, and of finished measurements"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; the exit status."""
    given = parser().parse_args(arguments)
    try:
        return run(given)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"interrupted; the same command continues with what is finished in {given.out}", file=sys.stderr)
        return INTERRUPTED


def run(given: argparse.Namespace) -> int:
    """Checks the model, and writes its page. Raises PipelineError for unsuitable input, before it writes anything."""
    from dataclasses import replace

    import torch

    from pipeline_lib.check.clips import Reading, clips_of
    from pipeline_lib.check.evaluating import Options, evaluate
    from pipeline_lib.check.models import attribute_of, model_of, normalized
    from pipeline_lib.check.threats import parsed
    from pipeline_lib.reporting.check_page import write_check

    require_positive(given)
    threat = parsed(given.threat, given.precision)
    torch.set_num_threads(given.threads or torch.get_num_threads())
    attack = attribute_of(given.attack) if given.attack else None
    workers = torch.get_num_threads()
    data = clips_of(
        given.clips,
        Reading(frames=given.frames, size=given.size, most=given.most, seed=given.seed, workers=workers),
    )
    classes = given.classes or len(data.classes)
    network = model_of(given.model, settings(given.set), classes, given.weights)
    network = normalized(network, given.mean, given.std)
    stand_in = model_of(given.stand_in, {}, classes, None) if given.stand_in else None
    shape = " x ".join(map(str, data.clips.shape[1:]))
    print(f"{given.model} on {len(data.labels)} clips of {shape}, threat {threat.text}")
    check = evaluate(
        network,
        data.clips,
        data.labels,
        threat,
        attack=attack,
        stand_in=stand_in,
        names=data.names,
        options=Options(
            minutes=given.budget,
            batch_size=given.batch_size,
            classes=given.classes,
            folder=given.out,
            seed=given.seed,
            steps=given.steps,
            key=texts_of(given.model, given.attack, given.stand_in),
        ),
        say=say,
        bars=bar,
    )
    about = {"model": given.model, "weights": str(given.weights or "-"), "clips": str(given.clips)}
    about |= {"threat": threat.text, "budget": f"{given.budget:g} minutes", "precision": given.precision}
    check = replace(check, about={**about, "seed": str(given.seed), "torch": torch.__version__})
    write_check(check, given.out / "check.html", given.out / "check.md")
    write_record(check.plain(), given.out / "check.json")
    print(f"\n{check.verdict}\n" + "\n".join(f"  {one.name}: {one.sentence}" for one in check.findings))
    print(f"worst case: {check.worst.percent:.1f} % of {len(check.worst.rows)} clips. Page: {given.out / 'check.html'}")
    return FLAGGED if check.flagged else 0


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


def texts_of(*given: str | None) -> str:
    """The content of the Python files of `file.py:name` texts: finished measurements depend on it."""
    paths = [Path(one.rpartition(":")[0]) for one in given if one and ".py:" in one]
    return "\0".join(path.read_text() for path in paths if path.is_file())


def write_record(plain: dict[str, Any], path: Path) -> None:
    """Writes the check as JSON, atomically."""
    from pipeline_lib.reporting.publish import publish

    publish(path, json.dumps(plain, indent=1) + "\n")


def say(line: str) -> None:
    """Prints a line, above a progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(line, file=sys.stdout)


def bar(title: str, total: int) -> Any:
    """A progress bar on a terminal, by passes of a clip."""
    from pipeline_lib.check.measuring import Bar

    class Shown(Bar):
        def __init__(self) -> None:
            from tqdm import tqdm

            self.shown = tqdm(desc=title[:40], total=total, unit=" passes", leave=False, disable=None)

        def count(self, passes: int) -> None:
            self.shown.update(passes)

        def close(self) -> None:
            self.shown.close()

    return Shown()


def _counts(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
