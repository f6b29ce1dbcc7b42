"""The plan of a study: its jobs from Snakemake's graph, and what each of them takes."""

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError

from pipeline_lib.configuration.clip_numbers import Numbers, clips_of, official_numbers
from pipeline_lib.configuration.estimates import TRAINING, Estimates
from pipeline_lib.configuration.inputs import Inputs
from pipeline_lib.configuration.paths import Paths
from pipeline_lib.configuration.reading import config_of
from pipeline_lib.configuration.requests import Requests
from pipeline_lib.configuration.stacking import laid_over
from pipeline_lib.configuration.targets import split_target
from pipeline_lib.entries.building import build
from pipeline_lib.entries.facts import value_of
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.counts import SHIPPED, Counts, counts_file, read_counts, written_counts
from pipeline_lib.plan.dry_run import dry_run
from pipeline_lib.plan.jobs import Asked, Job
from pipeline_lib.plan.shared_work import in_shared_runs
from pipeline_lib.plan.stand_ins import StandIns, stand_ins
from pipeline_lib.reporting.publish import publish

ROOT = Path(__file__).parents[2]
TARGETS = ("all", "results")


@dataclass(frozen=True, kw_only=True)
class Planned:
    """All jobs of a study. missing: data and weights that are not there, in sentences.

    uncounted: networks that could not be counted, with the reason. config: effective, with defaults.
    """

    jobs: Sequence[Job]
    estimates: Estimates
    config: Mapping[str, Any]
    missing: Sequence[str]
    uncounted: Sequence[str]

    def precision(self, job: Job) -> str:
        """In which a job computes."""
        if job.rule != "train":
            return str(self.config["evaluation"]["precision"]) if job.rule in ("attack", "learn", "union") else "fp32"
        training = self.estimates.plan["models"][job.wildcards["model"]]["training"]
        return str(value_of({"method": TRAINING} | training, "precision"))


def plan_of(files: Sequence[Path], given: Mapping[str, Any], folder: Path) -> Planned:
    """The plan of a configuration, given as files and as the mapping of `--config`.

    Raises:
        PipelineError: a configuration that the workflow refuses.
    """
    config = config_of(files, given)
    if not isinstance(config.get("datasets"), dict) or not isinstance(config.get("models"), dict):
        raise PipelineError("config: `datasets` and `models` have to be named entries")
    with tempfile.NamedTemporaryFile(prefix="stand-in-") as empty:
        missing = stand_ins(config, Path(empty.name))
        return _planned(files, laid_over(given, missing.config), folder, config, missing)


def _planned(
    files: Sequence[Path], given: Mapping[str, Any], folder: Path, config: Mapping[str, Any], missing: StandIns
) -> Planned:
    entries = {name: config["datasets"][name] for name in missing.datasets}
    numbers = {name: clips_of(entry, official_numbers(entry["lists"])) for name, entry in entries.items()}
    size, uncounted = config["evaluation"]["batch_size"], list[str]()
    try:
        with dry_run(ROOT / "Snakefile", folder, given, files) as workflow:
            plan, left = workflow.globals["PLAN"], {*workflow.dag.needrun_jobs(exclude_finished=False)}
            found = [one for one in workflow.dag.jobs if one.rule.name not in TARGETS]
            jobs = [(one, one in left) for one in found if not _stands_in(one, missing)]
            before = read_counts([SHIPPED, counts_file(config["results"])])
            estimates = Estimates(plan=plan, batch_size=size, counts=before, given=numbers)
            if new := count_missing(estimates, _networks(jobs), uncounted):
                _keep(new, counts_file(config["results"]))
                estimates = replace(estimates, counts=before | new)
            requests = replace(workflow.globals["REQUESTS"], counts=estimates.counts, given=numbers)
            return Planned(
                jobs=_with_shared_runs([_job(one, is_left, requests) for one, is_left in jobs], workflow, estimates),
                estimates=estimates,
                config=config,
                missing=[*_missing(missing, numbers), *_absent(plan, config, missing)],
                uncounted=uncounted,
            )
    except WorkflowError as error:
        raise PipelineError(str(error)) from None


def _keep(counts: Mapping[str, Counts], path: Path) -> None:
    """Adds counts to a file, which is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    publish(path, written_counts(read_counts([path]) | dict(counts)))


def _stands_in(job: Any, missing: StandIns) -> bool:
    return job.rule.name == "render" and job.wildcards_dict["dataset"] in missing.datasets


def _job(job: Any, left: bool, requests: Requests) -> Job:
    rule, wildcards = job.rule.name, dict(job.wildcards_dict)
    work = requests.estimates.work(rule, wildcards)
    asked = (
        Asked(requests.memory(rule, wildcards, 1), requests.minutes(rule, wildcards, 1)) if work.operations else None
    )
    return Job(rule, wildcards, left, work, asked)


def _with_shared_runs(jobs: Sequence[Job], workflow: Any, estimates: Estimates) -> list[Job]:
    planning, describe = workflow.globals["PLANNING"], workflow.globals["JOBS"].describe
    longest = {record: one.record for record, one in planning.sharing.longest.items()}
    return in_shared_runs(jobs, longest, lambda job: describe(job.rule, job.wildcards).record, estimates)


def _networks(jobs: Iterable[tuple[Any, bool]]) -> set[tuple[str, str]]:
    """Data set and model of all jobs with a network."""
    wildcards = [job.wildcards_dict for job, _ in jobs]
    named = [(one, one.get("model") or one.get("target") or one.get("source")) for one in wildcards if "dataset" in one]
    return {(one["dataset"], split_target(target)[0]) for one, target in named if target}


def count_missing(estimates: Estimates, networks: Iterable[tuple[str, str]], uncounted: list[str]) -> dict[str, Counts]:
    """Counts of the networks, and of the transforms in front of them, that have none yet. Those that cannot be counted
    are added to `uncounted`."""
    found: dict[str, Counts] = {}
    for dataset, model in sorted(networks):
        for key, (what, count) in _countable(estimates, dataset, model).items():
            if key in estimates.counts or key in found:
                continue
            try:
                found[key] = count()
            except Exception as error:  # a network or transform of the user may raise anything
                uncounted.append(f"{model}: {what} cannot be counted ({type(error).__name__}: {error})")
    return found


def _countable(estimates: Estimates, dataset: str, model: str) -> dict[str, tuple[str, Callable[[], Counts]]]:
    """By key what to say of a model's network and of its transforms if they cannot be counted, and the call that counts
    (with torch)."""
    entry, shape = estimates.plan["models"][model], estimates.shape(dataset)

    def network() -> Counts:
        from pipeline_lib.plan.counting import counted

        return counted(entry["network"], entry["defense"], shape, estimates.numbers[dataset].classes)

    def transform(one: Mapping[str, Any]) -> Counts:
        from pipeline_lib.plan.counting_transforms import counted_transform

        return counted_transform(one, shape)

    transforms = estimates.transform_keys(dataset, model)
    return {estimates.key(dataset, model): ("estimated, its network", network)} | {
        key: ("without its transform, which", partial(transform, one)) for key, one in transforms.items()
    }


def _missing(missing: StandIns, numbers: Mapping[str, Numbers]) -> list[str]:
    """Sentences about data sets and weights that are not there."""
    datasets = [
        f"data set {name}: {reason}; planned for {numbers[name].train:,} training and {numbers[name].test:,} "
        f"test clips ({'the official lists' if numbers[name].source == 'official' else 'an assumption'})"
        for name, reason in missing.datasets.items()
    ]
    return (
        datasets
        + [
            f"weights {file}, for {len(models)} models ({', '.join(models[:3])}{', ...' if len(models) > 3 else ''})"
            for file, models in missing.weights.items()
        ]
        + [f"file {file}, for the attacks {', '.join(attacks)}" for file, attacks in missing.files.items()]
    )


def _absent(plan: Mapping[str, Any], config: Mapping[str, Any], missing: StandIns) -> list[str]:
    """Sentences about listed files that are not there, by number."""
    inputs, absent = Inputs(plan, Paths(config["results"])), []
    for name, entry in plan["datasets"].items():
        if "root" not in entry or name in missing.datasets:
            continue
        lists, root = build(entry["lists"]), Path(inputs.data_root(name))
        if getattr(lists, "in_lists", False):
            continue
        for split in ("train", "test"):
            videos = lists.read(root, split)
            gone = [video.path for video in videos if not (lists.video_root(root) / video.path).exists()]
            if gone:
                absent.append(f"data set {name}: {len(gone):,} of {len(videos):,} {split} files, the first: {gone[0]}")
    return absent
