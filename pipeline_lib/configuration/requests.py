"""Resource requests of jobs: cores, memory and minutes, which grow with the attempt."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pipeline_lib.configuration.clip_numbers import Numbers
from pipeline_lib.configuration.estimates import PROCESS_MB, TRAINING, Estimates
from pipeline_lib.configuration.studies import Plan
from pipeline_lib.entries.facts import value_of
from pipeline_lib.jobs.costs import START_MINUTES, minutes
from pipeline_lib.jobs.counts import Counts
from pipeline_lib.jobs.learned import Use, names_of

# Decoding needs no network: only a few frames of each video are in memory at once.
DECODING_MB = 1500
DECODING_MINUTES = 120
# Host memory of a process that has loaded CUDA's libraries; an assumption.
CUDA_PROCESS_MB = 2200
# What a job requests over the estimate of its peak, see benchmarks/README.md.
MARGIN = 1.25
# In a cluster's job two Snakemake processes wait for the one that works.
SNAKEMAKE_MB = 250
# What convolutions reach without the key `tflops`: on a core with AVX-512, and on a small GPU in fp32.
CPU_TFLOPS_PER_THREAD, GPU_TFLOPS = 0.15, 1.5
# Of a training in bf16 over one in fp32, where the device computes in it (`benchmarks/README.md`).
BF16_TIME = 0.5
TERA = 1e12


def cores(gpus: int, threads: int) -> int:
    """Cores of a job with a network: its threads; on GPUs one per process, plus one that reads ahead."""
    return gpus * (threads + 1) if gpus else threads


def reached(tflops: float | None, gpus: int, threads: int) -> float:
    """TFLOP/s of a job: as configured, else an assumption for its device."""
    return tflops or (GPU_TFLOPS if gpus else CPU_TFLOPS_PER_THREAD * threads)


@dataclass(frozen=True, kw_only=True)
class Requests:
    """Memory in MB and minutes of each kind of job. attempt: Snakemake's count, from 1.

    batch_size: clips at once in attacks and predictions. training_processes: one per GPU of a training. on_gpu:
    whether jobs with a network use one. tflops: that a process with a network reaches. counts: of networks, by their
    keys (`jobs/counts.py`); a network that has not been counted is estimated. given: numbers of clips where lists
    cannot be read. learned: by rule, what earlier runs used.
    """

    plan: Plan
    batch_size: int
    training_processes: int
    tflops: float
    on_gpu: bool = False
    counts: Mapping[str, Counts] = field(default_factory=dict)
    given: Mapping[str, Numbers] = field(default_factory=dict)
    learned: Mapping[str, Use] = field(default_factory=dict)

    @cached_property
    def estimates(self) -> Estimates:
        return Estimates(plan=self.plan, batch_size=self.batch_size, counts=self.counts, given=self.given)

    def decoding_memory(self, attempt: int) -> int:
        return DECODING_MB * attempt

    def decoding_minutes(self, attempt: int) -> int:
        return DECODING_MINUTES * attempt

    def estimate(self, rule: str, wildcards: Mapping[str, str]) -> dict[str, float]:
        """A job's estimated host memory in MB (`mb`), of each of its processes, its TFLOP (`tflop`), and its seconds at
        the rate of the device (`seconds`)."""
        work = self.estimates.work(rule, wildcards)
        own = CUDA_PROCESS_MB - PROCESS_MB - work.activations if self.on_gpu else 0
        seconds = round(self._seconds(rule, wildcards), 2)
        return {"mb": round(work.memory + own), "tflop": round(work.operations / TERA, 9), "seconds": seconds}

    def memory(self, rule: str, wildcards: Mapping[str, str], attempt: int) -> int:
        """Memory of a job with a network: of all its processes, and of those that wait for them."""
        used = self.learned[rule].memory if rule in self.learned else 1
        each = MARGIN * used * self.estimate(rule, wildcards)["mb"]
        own = CUDA_PROCESS_MB if self.on_gpu else PROCESS_MB
        others = (self._processes(rule) - 1) * MARGIN * own
        return int((each + others + SNAKEMAKE_MB) * attempt)

    def minutes(self, rule: str, wildcards: Mapping[str, str], attempt: int) -> int:
        """Minutes of a job with a network, by its operations, at the rate of earlier jobs that differ by their seed,
        else at the slowest of the rule, else at that of the device."""
        work, use = self.estimates.work(rule, wildcards), self.learned.get(rule)
        if use and (own := use.rates.get(names_of(wildcards.values()))):
            # In it is all that is not operations.
            return minutes(work.operations / (own * TERA), attempt)
        if use and use.slowest:
            return minutes(work.operations / (use.slowest * TERA) + work.seconds, attempt)
        return minutes(self._seconds(rule, wildcards), attempt)

    def _seconds(self, rule: str, wildcards: Mapping[str, str]) -> float:
        """What a job computes, at the rate of the device."""
        work, rate = self.estimates.work(rule, wildcards), self.tflops * TERA * self._processes(rule)
        rate /= BF16_TIME if self._in_bf16(rule, wildcards) else 1
        return work.as_operations(self.on_gpu) / rate + work.seconds

    def _in_bf16(self, rule: str, wildcards: Mapping[str, str]) -> bool:
        training = self.plan["models"][wildcards["model"]]["training"] if rule == "train" else {}
        return bool(training) and value_of({"method": TRAINING} | training, "precision") == "bf16"

    def check_minutes(self, budget: float, attempt: int) -> int:
        """Twice the budget, which a last measurement may exceed, and the time to start."""
        return (int(2 * budget) + START_MINUTES) * attempt

    def _processes(self, rule: str) -> int:
        return self.training_processes if rule == "train" else 1
