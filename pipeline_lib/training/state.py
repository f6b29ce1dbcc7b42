"""What a killed training continues from: its state, on disk in two generations, and only ever that of the same run."""

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
TENSORS = ("average", "memory")  # by name; they live on the network's device


@dataclass
class State:
    """What a checkpoint holds. The run is the name of its folder, a hash of all that the result depends on.

    step: the next one. epochs: the figures so far (those of the last one may be unfinished). micro_batches: how
    many passes a batch is cut into. best: score, epoch and weights of the best epoch so far, where one is selected.
    scored: how far the present epoch is scored for that, at its end. average, memory: `defenses.update.Update`.
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
        # Walking through all modules for them takes longer than copying them.
        self._buffers = list(self.network.buffers())

    def statistics(self) -> Callable[[], None]:
        """A function that puts the buffers back as they are now: a forward pass in train mode moves BatchNorm's."""
        saved = [buffer.clone() for buffer in self._buffers]

        def put_back() -> None:
            for buffer, value in zip(self._buffers, saved, strict=True):
                buffer.copy_(value)

        return put_back

    def model(self) -> nn.Module:
        """The network with the weights that are the model: the average, where the defense keeps one."""
        if not self.average:
            return self.network
        model = copy.deepcopy(self.network)
        model.load_state_dict(self.average)
        return model

    def save(self, folder: Path) -> None:
        """Raises PipelineError when the disk is full; whenever it is killed, one whole generation stays."""
        fresh, latest = folder / "checkpoint.fresh.pt", folder / LATEST
        rest = {name: getattr(self, name) for name in (*FIELDS, *TENSORS)}
        optimizers = {name: each.state_dict() for name, each in self.optimizers.items()}
        checkpoint.save(fresh, self.network, entry={}, run=folder.name, optimizers=optimizers, **rest)
        if latest.exists():
            latest.replace(folder / PREVIOUS)
        fresh.replace(latest)

    def restore(self, folder: Path) -> None:
        """Continues from the latest checkpoint that is whole and of this run; begins anew, with a warning, without."""
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
        """Remembers the weights of `model` if no epoch so far had this score or a higher one."""
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


def remember_micro_batches(folder: Path, micro_batches: int) -> None:
    """For processes that begin again together; any of them may do so at the same time."""
    (folder / f"micro_batches{micro_batches}").touch()


def remembered_micro_batches(folder: Path) -> int:
    return max((int(path.name.removeprefix("micro_batches")) for path in folder.glob("micro_batches*")), default=1)


def remove(folder: Path) -> None:
    """Deletes the checkpoints of a run that is finished, and what its processes remembered."""
    for path in (folder / LATEST, folder / PREVIOUS, *folder.glob("micro_batches*")):
        path.unlink(missing_ok=True)
