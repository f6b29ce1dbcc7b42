"""The training state, saved to disk in two generations; an interrupted training continues from it."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.models import checkpoint
from pipeline_lib.training.selection import Scored

LATEST, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"
FIELDS = ("micro_batches", "step", "epochs", "best", "scored")
TENSORS = ("average", "memory")  # by name; they are on the network's device


@dataclass
class State:
    """The content of a checkpoint. The run is the name of its folder, a hash of all that the result depends on.

    step: the next one. epochs: the figures so far (those of the last one may be incomplete). micro_batches: number of
    passes that a batch is cut into. best: score, epoch and weights of the best epoch so far, if one is selected.
    scored: partial score of the current epoch. average, memory: see `defenses.update.Update`.
    """

    network: nn.Module
    optimizers: dict[str, torch.optim.Optimizer]
    micro_batches: int = 1
    step: int = 0
    epochs: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None
    scored: Scored = field(default_factory=Scored)
    average: dict[str, Tensor] = field(default_factory=dict)
    memory: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Cached: iterating over all modules takes longer than copying the buffers.
        self._buffers = list(self.network.buffers())

    def statistics(self) -> Callable[[], None]:
        """A function that restores the buffers as they are now: a forward pass in train mode updates BatchNorm's."""
        saved = [buffer.clone() for buffer in self._buffers]

        def put_back() -> None:
            for buffer, value in zip(self._buffers, saved, strict=True):
                buffer.copy_(value)

        return put_back

    def model(self) -> nn.Module:
        """The network with the weights of the model: the average, if the defense keeps one."""
        if not self.average:
            return self.network
        model = copy.deepcopy(self.network)
        model.load_state_dict(self.average)
        return model

    def save(self, folder: Path) -> None:
        """Raises PipelineError if the disk is full. If killed at any time, one complete generation remains."""
        fresh, latest = folder / "checkpoint.fresh.pt", folder / LATEST
        rest = {name: getattr(self, name) for name in (*FIELDS, *TENSORS)}
        optimizers = {name: each.state_dict() for name, each in self.optimizers.items()}
        checkpoint.save(fresh, self.network, entry={}, run=folder.name, optimizers=optimizers, **rest)
        if latest.exists():
            latest.replace(folder / PREVIOUS)
        fresh.replace(latest)

    def restore(self, folder: Path) -> None:
        """Continues from the latest valid checkpoint of this run; starts from scratch, with a warning, without one."""
        for name in (LATEST, PREVIOUS):
            content = _usable(folder / name)
            if content is not None:
                self._take_over(content)
                LOGGER.info("continuing at step %d from %s", self.step, folder)
                return

    def _take_over(self, content: dict[str, Any]) -> None:
        self.network.load_state_dict(content["state"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(content["optimizers"][name])
        for name in FIELDS:
            setattr(self, name, content[name])
        self.scored = Scored(*self.scored)  # a plain tuple on disk
        device = next(self.network.parameters()).device
        for name in TENSORS:
            setattr(self, name, {key: tensor.to(device) for key, tensor in content[name].items()})

    def keep_if_best(self, score: float, model: nn.Module) -> None:
        """Keeps the weights of `model` if no epoch so far had this score or a higher one."""
        if self.best is None or score > self.best["score"]:
            weights = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
            self.best = {"score": score, "epoch": len(self.epochs), "weights": weights}


def _usable(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        content = checkpoint.load(path)
    except PipelineError as error:
        LOGGER.warning("a checkpoint cannot be used, an earlier one is taken if there is one: %s", error)
        return None
    if content.get("run") != path.parent.name:
        LOGGER.warning("%s is ignored: it belongs to another run (%s)", path, content.get("run"))
        return None
    return content


def save_micro_batches(folder: Path, micro_batches: int) -> None:
    """Saves the number for the restart of all processes; several of them may call it at the same time."""
    (folder / f"micro_batches{micro_batches}").touch()


def saved_micro_batches(folder: Path) -> int:
    return max((int(path.name.removeprefix("micro_batches")) for path in folder.glob("micro_batches*")), default=1)


def remove(folder: Path) -> None:
    """Deletes the checkpoints of a finished run and the saved number of micro-batches."""
    for path in (folder / LATEST, folder / PREVIOUS, *folder.glob("micro_batches*")):
        path.unlink(missing_ok=True)
