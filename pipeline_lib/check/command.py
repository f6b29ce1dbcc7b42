"""What the command does: reads model and clips, checks them, writes the page."""

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from pipeline_lib.check.clips import Labeled, Reading, clips_of, numbered_as
from pipeline_lib.check.command_line import require_positive, settings
from pipeline_lib.check.evaluating import evaluate
from pipeline_lib.check.files import CheckFiles, write_files
from pipeline_lib.check.measuring import Bar
from pipeline_lib.check.models import attribute_of, classes_of_checkpoint, model_of, normalized
from pipeline_lib.check.options import Options
from pipeline_lib.check.threats import parsed
from pipeline_lib.configuration.paths import CHECK_ENDINGS
from pipeline_lib.records.checks import Check


def run(given: argparse.Namespace) -> Check:
    """Checks the model, and writes its page. Raises PipelineError for unsuitable input, before it writes anything."""
    require_positive(given)
    threat = parsed(given.threat, given.precision)
    torch.set_num_threads(given.threads or torch.get_num_threads())
    attack = attribute_of(given.attack) if given.attack else None
    reading = Reading(
        frames=given.frames, size=given.size, most=given.most, seed=given.seed, workers=torch.get_num_threads()
    )
    names = classes_of_checkpoint(given.model)
    data = numbered_as(clips_of(given.clips, reading), names, given.model)
    classes = given.classes or len(data.classes)
    network = model_of(given.model, settings(given.set), classes, given.weights, given.branch)
    stand_in = model_of(given.stand_in, {}, classes, None) if given.stand_in else None
    check = evaluate(
        normalized(network, given.mean, given.std),
        data.clips,
        data.labels,
        threat,
        names=data.names,
        options=dataclasses.replace(options_of(given), attack=attack, stand_in=stand_in),
        say=say,
        bars=Shown,
    )
    check = dataclasses.replace(check, about=about(given, data))
    files = {kind: given.out / f"check.{ending}" for kind, ending in CHECK_ENDINGS.items()}
    write_files(check, CheckFiles(**files))
    return check


def options_of(given: argparse.Namespace) -> Options:
    """The settings of the check."""
    return Options(
        minutes=given.budget,
        batch_size=given.batch_size,
        classes=given.classes,
        folder=given.out,
        seed=given.seed,
        steps=given.steps,
        key=texts_of(given.model, given.attack, given.stand_in),
    )


def about(given: argparse.Namespace, data: Labeled) -> dict[str, str]:
    """What was checked, in words."""
    shape = " x ".join(map(str, data.clips.shape[1:]))
    return {
        "model": given.model,
        "weights": str(given.weights or "of the model"),
        **({"branch": given.branch} if given.branch else {}),
        "clips": f"{given.clips}: {len(data.labels)} of {shape}, {len(data.classes)} classes",
        "threat": given.threat,
        "budget": f"{given.budget:g} minutes",
        "precision of the attacks": given.precision,
        "seed": str(given.seed),
        "torch": torch.__version__,
    }


def texts_of(*given: str | None) -> str:
    """The content of the Python files of `file.py:name` texts: finished measurements depend on it."""
    paths = [Path(one.rpartition(":")[0]) for one in given if one and ".py:" in one]
    return "\0".join(path.read_text() for path in paths if path.is_file())


def say(line: str) -> None:
    """Prints a line, above a progress bar if there is one."""
    tqdm.write(line, file=sys.stdout)


class Shown(Bar):
    """A progress bar on a terminal, by passes of a clip."""

    def __init__(self, title: str, total: int) -> None:
        self.shown: Any = tqdm(desc=title[:40], total=total, unit=" passes", leave=False, disable=None)

    def count(self, passes: int) -> None:
        self.shown.update(passes)

    def close(self) -> None:
        self.shown.close()
