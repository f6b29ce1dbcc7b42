"""The check of a model that the workflow trained, on its test clips."""

import dataclasses
from pathlib import Path

import torch

from pipeline_lib.check.branches import View
from pipeline_lib.check.clips import Labeled, Reading, clips_of
from pipeline_lib.check.evaluating import evaluate
from pipeline_lib.check.files import CheckFiles, write_files
from pipeline_lib.check.options import Options
from pipeline_lib.check.threats import parsed
from pipeline_lib.clips.store import Clips
from pipeline_lib.evaluation.source import Run, Source
from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.jobs.runs import run_folder
from pipeline_lib.provenance.fingerprints import file_digest


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """The section `check` of a configuration. threat: such as `linf:8/255`. budget: in minutes. clips: at most, with
    equal shares of the classes, drawn by the seed."""

    threat: str
    budget: float
    clips: int
    seed: int


def check_target(
    source: Source, *, clips: Path, asked: CheckSettings, run: Run, device: torch.device, outputs: CheckFiles
) -> None:
    """Checks a target and writes `outputs`. Finished measurements are kept in a run folder: a job that was stopped
    continues. How many clips fit into the budget depends on the machine.

    Raises:
        PipelineError: unsuitable clips, or a threat that does not fit them.
    """
    threat = parsed(asked.threat)
    data = clips_of(clips, Reading(most=asked.clips, seed=asked.seed))
    loaded = source.load(data.classes, device)
    settings = dataclasses.asdict(asked) | {"branch": source.branch}
    with run_folder(run.folder, run.key(settings, Clips(clips).checksum, file_digest(source.weights))) as folder:
        check = evaluate(
            View(loaded.network, source.branch),
            data.clips.to(device),
            data.labels.to(device),
            threat,
            names=data.names,
            options=Options(minutes=asked.budget, classes=len(data.classes), folder=folder, seed=asked.seed),
            say=LOGGER.info,
        )
    write_files(dataclasses.replace(check, about=about(source, clips, asked, data)), outputs)


def about(source: Source, clips: Path, asked: CheckSettings, data: Labeled) -> dict[str, str]:
    """What was checked, in words."""
    shape = " x ".join(map(str, data.clips.shape[1:]))
    branch = {"branch": source.branch} if source.branch else {}
    return (
        {"model": str(source.weights)}
        | branch
        | {
            "clips": f"{clips}: {len(data.labels)} of {shape}, {len(data.classes)} classes",
            "threat": asked.threat,
            "budget": f"{asked.budget:g} minutes",
            "seed": str(asked.seed),
            "torch": torch.__version__,
        }
    )
