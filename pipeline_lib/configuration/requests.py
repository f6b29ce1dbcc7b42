"""Resource requests of jobs: cores, memory and minutes, which grow with the attempt."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline_lib.configuration.lengths import frames_of
from pipeline_lib.configuration.studies import Plan
from pipeline_lib.configuration.targets import split_target
from pipeline_lib.entries.facts import learning_of, value_of
from pipeline_lib.jobs.costs import memory_mb, minutes, passes

# Decoding needs no network: only a few frames of each video are in memory at once.
DECODING_MB = 2000
DECODING_MINUTES = 120
STARTING_MINUTES = 10


def cores(gpus: int, threads: int) -> int:
    """Cores of a job with a network: its threads; on GPUs one per process, plus one that reads ahead."""
    return gpus * (threads + 1) if gpus else threads


@dataclass(frozen=True, kw_only=True)
class Requests:
    """Memory in MB and minutes of each kind of job. attempt: Snakemake's count, from 1.

    batch_size: clips at once in attacks and predictions. training_processes: one per GPU of a training.
    """

    plan: Plan
    batch_size: int
    training_processes: int

    def shape(self, dataset: str) -> tuple[int, int, int]:
        """Frames, height and width of a data set's clips; images have one frame."""
        size = self.plan["datasets"][dataset]["size"]
        return frames_of(self.plan, dataset), size, size

    def decoding_memory(self, attempt: int) -> int:
        return DECODING_MB * attempt

    def decoding_minutes(self, attempt: int) -> int:
        return DECODING_MINUTES * attempt

    def training_memory(self, dataset: str, model: str, attempt: int) -> int:
        entry = self.plan["models"][model]
        batch_size = entry["training"]["batch_size"]
        return memory_mb(entry["network"], self.shape(dataset), batch_size, attempt, self.training_processes)

    def training_minutes(self, dataset: str, model: str, attempt: int) -> int:
        entry, shape = self.plan["models"][model], self.shape(dataset)
        return minutes(entry["training"]["epochs"] * passes(entry["defense"], shape), shape, attempt)

    def prediction_memory(self, dataset: str, target: str, attempt: int) -> int:
        """Memory of a job that attacks or predicts with the model of a target."""
        return memory_mb(self._network(target), self.shape(dataset), self.batch_size, attempt)

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
        return memory_mb(self._network(source), self.shape(dataset), self._learning(attack, "batch_size"), attempt)

    def learning_minutes(self, dataset: str, attack: str, attempt: int) -> int:
        return minutes(self._learning(attack, "epochs"), self.shape(dataset), attempt)

    def _network(self, target: str) -> Mapping[str, Any]:
        return self.plan["models"][split_target(target)[0]]["network"]

    def _learning(self, attack: str, key: str) -> int:
        return value_of(learning_of(self.plan["attacks"][attack]) or {}, key)
