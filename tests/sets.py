"""Adversarial sets of the tiny data, made and read by the real jobs."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

import tiny
from pipeline_lib.clips.adversarial_store import AdversarialClips
from pipeline_lib.clips.store import Clips
from pipeline_lib.evaluation.adversarial import SetFiles, make_adversarial_set
from pipeline_lib.evaluation.prediction import predict
from pipeline_lib.evaluation.source import Run, Settings, Source
from pipeline_lib.jobs.sharing import ShorterRun

CPU = torch.device("cpu")
RESULTS = ("set.h5", "predictions.csv", "audit.csv", "trace.csv")


def attacked(
    made: Path,
    out: Path,
    entry: dict = tiny.PGD,
    *,
    batch_size: int = 4,
    model: str = "plain",
    branch: str | None = None,
    learned: Path | None = None,
    shorter: Sequence[dict] = (),
    scoring: Run | None = None,
    code: str = "code",
    shorter_code: str = "code",
    **settings: object,
) -> Path:
    """The folder with the files of a set, made on a model of the folder `made`."""
    make_adversarial_set(
        entry,
        source=Source(weights=made / f"{model}.pt", branch=branch),
        clips=made / "clips.h5",
        learned=learned,
        run=Run(
            folder=out / "runs",
            code=code,
            scoring=scoring,
            shorter=[ShorterRun(one, shorter_code, out / "not_forced") for one in shorter],
        ),
        settings=Settings(batch_size=batch_size, device=CPU, **settings),
        outputs=SetFiles(**{Path(name).stem: out / name for name in RESULTS[1:]}, adversarial=out / RESULTS[0]),
    )
    return out


def predicted(
    made: Path,
    out: Path,
    adversarial: Path | None,
    *,
    batch_size: int = 4,
    model: str = "plain",
    scoring: Run | None = None,
) -> list[dict[str, str]]:
    """The rows of a prediction job."""
    predict(
        Source(weights=made / f"{model}.pt"),
        clips=made / "clips.h5",
        adversarial=adversarial,
        scoring=scoring,
        output=out / "again.csv",
        settings=Settings(batch_size=batch_size, device=CPU),
    )
    return rows_of(out / "again.csv")


def predicted_again(made: Path, out: Path) -> str:
    """What any other job predicts on the stored set."""
    predicted(made, out, out / "set.h5")
    return (out / "again.csv").read_text()


def frames_of(made: Path, out: Path) -> np.ndarray:
    return AdversarialClips(out / "set.h5", Clips(made / "clips.h5")).read(range(10))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def same_results(found: Path, expected: Path) -> bool:
    return all((found / name).read_bytes() == (expected / name).read_bytes() for name in RESULTS)
