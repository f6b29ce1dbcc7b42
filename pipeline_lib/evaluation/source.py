"""Common arguments of evaluation jobs: a trained model, settings, and a folder of run folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from pipeline_lib.attacks.protocols import Model
from pipeline_lib.jobs.sharing import ShorterRun
from pipeline_lib.models.adaptive_batch_size import AdaptiveBatchSize, architecture, memory_of
from pipeline_lib.models.trained import check_classes, load_model, view
from pipeline_lib.networks.multi_batchnorm import branches_of
from pipeline_lib.precision import Precision
from pipeline_lib.provenance.fingerprints import canonical, digest


class Loaded(NamedTuple):
    """A trained network in eval mode; `model` is the view that is attacked or evaluated, possibly one branch."""

    network: nn.Module
    model: Model
    entry: dict[str, Any]

    @property
    def branches(self) -> Sequence[str]:
        return branches_of(self.network)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A trained model: its checkpoint, and the branch that clips pass through (None: the whole network)."""

    weights: Path
    branch: str | None = None

    def load(self, classes: list[str], device: torch.device) -> Loaded:
        """The model on the device. Raises PipelineError for a damaged file, or a model of other classes."""
        trained = load_model(self.weights, device)
        check_classes(trained, classes, self.weights)
        return Loaded(trained.network, view(trained.network, self.branch), trained.entry)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a job's computation.

    batch_size: clips at once, or fewer if the memory of the device is too small.
    seed: of all random draws. precision: of an attack's gradients; clips are always scored in fp32.
    gpu_share: jobs on one GPU. batch_sizes: a folder for the batch sizes that fit on a GPU, if given.
    """

    batch_size: int
    device: torch.device
    seed: int = 0
    precision: Precision = "fp32"
    gpu_share: int = 1
    batch_sizes: Path | None = None

    def batches(self, network: nn.Module, shape: Sequence[int], *work: Any) -> AdaptiveBatchSize:
        """The batch size for one kind of work (plain data) with a network on clips (T, H, W, C)."""
        if self.batch_sizes is None:
            return AdaptiveBatchSize(self.batch_size)
        kind = *work, architecture(network), list(shape)
        return AdaptiveBatchSize(self.batch_size, memory_of(self.batch_sizes, self.device, self.gpu_share, *kind))


@dataclass(frozen=True, kw_only=True)
class Run:
    """The parent of a job's run folder, and the fingerprint of the job's code.

    scoring: where the scores on the clean clips are kept; without it they are not. shorter: attacks of fewer
    iterations, in increasing order, whose clips are left in their own run folders.
    """

    folder: Path
    code: str
    scoring: "Run | None" = None
    shorter: Sequence[ShorterRun] = ()

    def key(self, entry: Any, *inputs: str) -> str:
        """The name of the run folder of an entry (plain data) and of inputs, given by their digests."""
        return digest(canonical(entry), self.code, *inputs)
