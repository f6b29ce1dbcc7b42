"""Resource requests of jobs: cores, memory and minutes, which grow with the attempt."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pipeline_lib.configuration.estimates import PROCESS_MB, Estimates
from pipeline_lib.configuration.lengths import frames_of
from pipeline_lib.configuration.studies import Plan
from pipeline_lib.entries.facts import learning_of, value_of
from pipeline_lib.jobs.costs import minutes, passes
from pipeline_lib.jobs.counts import Counts

# Decoding needs no network: only a few frames of each video are in memory at once.
DECODING_MB = 2000
DECODING_MINUTES = 120
# Host memory of a process that has loaded CUDA's libraries; an assumption.
CUDA_PROCESS_MB = 2200
# What a job requests over the estimate of its peak, see benchmarks/README.md.
MARGIN = 1.4
STARTING_MINUTES = 10


def cores(gpus: int, threads: int) -> int:
    """Cores of a job with a network: its threads; on GPUs one per process, plus one that reads ahead."""
    return gpus * (threads + 1) if gpus else threads


@dataclass(frozen=True, kw_only=True)
class Requests:
    """Memory in MB and minutes of each kind of job. attempt: Snakemake's count, from 1.

    batch_size: clips at once in attacks and predictions. training_processes: one per GPU of a training. on_gpu:
    whether jobs with a network use one. counts: of networks, by their keys (`jobs/counts.py`); a network that has not
    been counted is estimated.
    """

    plan: Plan
    batch_size: int
    training_processes: int
    on_gpu: bool = False
    counts: Mapping[str, Counts] = field(default_factory=dict)

    @cached_property
    def estimates(self) -> Estimates:
        return Estimates(plan=self.plan, batch_size=self.batch_size, counts=self.counts, given={})

    def shape(self, dataset: str) -> tuple[int, int, int]:
        """Frames, height and width of a data set's clips; images have one frame."""
        size = self.plan["datasets"][dataset]["size"]
        return frames_of(self.plan, dataset), size, size

    def decoding_memory(self, attempt: int) -> int:
        return DECODING_MB * attempt

    def decoding_minutes(self, attempt: int) -> int:
        return DECODING_MINUTES * attempt

    def training_memory(self, dataset: str, model: str, attempt: int) -> int:
        estimate = self.estimates.work("train", {"dataset": dataset, "model": model}).memory
        return self._with_margin(estimate, attempt, self.training_processes)

    def training_minutes(self, dataset: str, model: str, attempt: int) -> int:
        entry, shape = self.plan["models"][model], self.shape(dataset)
        return minutes(entry["training"]["epochs"] * passes(entry["defense"], shape), shape, attempt)

    def prediction_memory(self, dataset: str, target: str, attempt: int) -> int:
        """Memory of a job that attacks or predicts with the model of a target."""
        return self._with_margin(self.estimates.attack_memory(dataset, target), attempt)

    def prediction_minutes(self, dataset: str, attempt: int) -> int:
        return minutes(1, self.shape(dataset), attempt)

    def check_minutes(self, budget: float, attempt: int) -> int:
        """Twice the budget, which a last measurement may exceed, and the time to start."""
        return (int(2 * budget) + STARTING_MINUTES) * attempt

    def attack_minutes(self, dataset: str, attack: str, attempt: int) -> int:
        shape = self.shape(dataset)
        return minutes(passes(self.plan["attacks"][attack], shape), shape, attempt)

    def cascade_minutes(self, dataset: str, study: str, cascade: str, attempt: int) -> int:
        shape = self.shape(dataset)
        steps = self.plan["studies"][study]["cascades"][cascade]["attacks"]
        total = sum(passes(self.plan["attacks"][step["attack"]], shape) for step in steps)
        return minutes(total, shape, attempt)

    def learning_memory(self, dataset: str, source: str, attack: str, attempt: int) -> int:
        """Memory of a job that learns a universal attack on a source."""
        wildcards = {"dataset": dataset, "source": source, "attack": attack}
        return self._with_margin(self.estimates.work("learn", wildcards).memory, attempt)

    def learning_minutes(self, dataset: str, attack: str, attempt: int) -> int:
        return minutes(self._learning(attack, "epochs"), self.shape(dataset), attempt)

    def _learning(self, attack: str, key: str) -> int:
        return value_of(learning_of(self.plan["attacks"][attack]) or {}, key)

    def _with_margin(self, estimate: float, attempt: int, processes: int = 1) -> int:
        """The megabytes to request for an estimated peak of one process, over all processes."""
        own = CUDA_PROCESS_MB if self.on_gpu else PROCESS_MB
        return int((MARGIN * (estimate - PROCESS_MB + own) + (processes - 1) * MARGIN * own) * attempt)
