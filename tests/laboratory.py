"""Results of the configuration of `faulty`, made in this process: valid files, and the records of their jobs."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configured import SCHEMA
from faulty import CONFIG
from pipeline_lib.configuration.jobs import Jobs
from pipeline_lib.configuration.reading import config_of, jobs_of
from pipeline_lib.exchange.choosing import FILES, makers
from pipeline_lib.jobs.recording import write_record
from pipeline_lib.provenance.descriptions import Identities
from pipeline_lib.provenance.records import record_of
from planning import ROOT

STRONGER = {"attacks": {"pgd": {"perturbation": {"epsilon": "128/255"}}}}
OF_SETS = {"h5": "set.h5", "audit.csv": "audit.csv", "trace.csv": "trace.csv"}


def jobs_in(folder: Path, given: Mapping[str, Any] = {}) -> Jobs:
    """The jobs of the configuration, with results in a folder."""
    return jobs_of(config_of([CONFIG], {"results": str(folder), **given}), SCHEMA, ROOT)


def all_files(jobs: Jobs) -> list[str]:
    return [path for files in FILES.values() for path in files(jobs)]


def write_results(
    folder: Path, made: Path, attacked: Path, given: Mapping[str, Any] = {}, jobs: Jobs | None = None
) -> Jobs:
    """Results of all jobs but tables. made: with clips and a model, of conftest. attacked: with a set on the model."""
    jobs = jobs or jobs_in(folder, given)
    for path in all_files(jobs):
        put(Path(path), source_of(path, made, attacked))
    for split in ("train", "test"):
        put(folder / f"tiny/clips/{split}.h5", made / "clips.h5")
    (folder / "tiny/rendered").mkdir()
    (folder / "tiny/rendered/video.mp4").write_text("video")
    record(jobs)
    return jobs


def record(jobs: Jobs) -> None:
    """Writes the records of all jobs as if they had made the files that are there."""
    identities, folder = Identities(jobs.maker), Path(jobs.paths.results)
    for _ in range(2):  # a record repeats the facts in those of its inputs
        for job in makers(jobs, all_files(jobs)):
            write_record(Path(job.record), record_of(identities.plain(job, str(folder)), folder))


def source_of(path: str, made: Path, attacked: Path) -> Path:
    ending = Path(path).name.partition(".")[2]
    if "/models/" in path or ending == "learned.pt":  # a pattern is an archive of tensors, too
        return made / f"plain.{ending[-3:].strip('.')}"
    return attacked / ("predictions.csv" if "/predictions/" in path else OF_SETS[ending])


def put(path: Path, source: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, path)


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of all files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
