"""Which results of a configuration are published, and the records behind them."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import product
from typing import NamedTuple

from pipeline_lib.configuration.entries import CLEAN
from pipeline_lib.configuration.jobs import Jobs
from pipeline_lib.configuration.studies import used_cells
from pipeline_lib.entries.facts import learning_of
from pipeline_lib.errors import PipelineError
from pipeline_lib.provenance.availability import Availability
from pipeline_lib.provenance.comparison import Comparison
from pipeline_lib.provenance.descriptions import Description, Identities, below

PARTS = ("models", "sets", "predictions")


class Chosen(NamedTuple):
    """Paths of results that can be published, and those that cannot, each with the reason."""

    files: list[str]
    lacking: list[tuple[str, str]]


def chosen(jobs: Jobs, parts: Sequence[str], only: Sequence[str]) -> Chosen:
    """The results of a configuration that are there and made for it.

    parts: of PARTS. only: patterns of paths below the folder of results (`synthetic/models/at_*`); none for all.
    Raises PipelineError if there is nothing.
    """
    availability = Availability(Comparison(jobs.paths.results, Identities(jobs.maker)))
    named = {part: sorted(set(files(jobs))) for part, files in FILES.items() if part in parts}
    wanted = [path for paths in named.values() for path in paths if matches(below(jobs.paths.results, path), only)]
    reasons = {path: availability.reason(path) for path in wanted}
    found = Chosen(
        [path for path, reason in reasons.items() if reason is None],
        [(path, reason) for path, reason in reasons.items() if reason is not None],
    )
    if not found.files:
        why = f"{found.lacking[0][0]}: {found.lacking[0][1]}" if found.lacking else "no result is named so"
        raise PipelineError(f"there is nothing to publish in {jobs.paths.results}: {why}")
    return found


def matches(path: str, only: Sequence[str]) -> bool:
    return not only or any(fnmatchcase(path, pattern) for pattern in only)


def models(jobs: Jobs) -> Iterator[str]:
    for dataset, model in jobs.layouts.trained:
        yield from (jobs.paths.weights(dataset, model), jobs.paths.history(dataset, model))


def sets(jobs: Jobs) -> Iterator[str]:
    for one in jobs.layouts.audited_sets:
        place = one["dataset"], one["source"], one["attack"]
        yield from jobs.paths.set_files(*place).values()
        if learning_of(jobs.plan["attacks"][one["attack"]]) is not None:
            yield jobs.paths.adversarial(*place, "learned.pt")


def predictions(jobs: Jobs) -> Iterator[str]:
    for dataset, cell in used_cells(jobs.plan):
        source = None if cell["attack"] == CLEAN else cell["source"]
        yield jobs.paths.prediction(dataset, cell["target"], source, cell["attack"])
    for name, study in jobs.plan["studies"].items():
        for dataset, cascade in product(study["datasets"], study.get("cascades", {})):
            yield jobs.paths.union(dataset, name, cascade)


FILES = dict(zip(PARTS, (models, sets, predictions), strict=True))


def makers(jobs: Jobs, files: Sequence[str]) -> list[Description]:
    """The jobs that made files, and all jobs behind them, each once."""
    found: dict[str, Description] = {}
    todo = [*files]
    while todo:
        job = jobs.maker(todo.pop())
        if job is not None and job.record not in found:
            found[job.record] = job
            todo += [path for paths in job.input_files().values() for path in paths]
    return [found[record] for record in sorted(found)]
