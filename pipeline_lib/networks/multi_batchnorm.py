"""MultiBN: one BatchNorm per kind of input, everything else shared (Lo and Patel, IEEE T-IP 2022).

A route around the forward pass selects the branch that normalizes each clip. A route is a context manager, so a network
has no state from an earlier route.
"""

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline_lib.context import holding
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.networks.extension import head_of, missing_block_keys

# The attribute of a network that holds the names of its branches.
BRANCHES = "batchnorm_branches"


class Route(Protocol):
    """Assigns a batch of `clips` clips to the branches of a BatchNorm."""

    @property
    def clips(self) -> int: ...

    def normalize(self, branches: nn.ModuleList, features: Tensor) -> Tensor: ...


_ROUTE: ContextVar[Route | None] = ContextVar("route", default=None)


def routed(route: Route) -> AbstractContextManager[Route]:
    """Inside, every MultiBatchNorm normalizes its batch by the route."""
    return holding(_ROUTE, route)


def present_route() -> Route | None:
    return _ROUTE.get()


@dataclass(frozen=True)
class Groups:
    """A batch of contiguous groups (branch index, number of clips), in this order.

    Neighbors of the same branch are one group, normalized together: in train mode their statistics are shared.
    """

    groups: tuple[tuple[int, int], ...]

    @property
    def clips(self) -> int:
        return sum(count for _, count in self.groups)

    def normalize(self, branches: nn.ModuleList, features: Tensor) -> Tensor:
        runs = itertools.groupby((group for group in self.groups if group[1] > 0), key=lambda group: group[0])
        merged = [(branch, sum(count for _, count in run)) for branch, run in runs]
        if len(merged) == 1:
            return branches[merged[0][0]](features)
        parts = features.split([count for _, count in merged])
        return torch.cat([branches[branch](part) for (branch, _), part in zip(merged, parts, strict=True)])


class MultiBatchNorm(nn.Module):
    """One BatchNorm per branch; the route assigns the clips of a batch to them.

    Every branch starts as a copy of `norm`: parameters and running statistics.
    """

    def __init__(self, norm: _BatchNorm, branches: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(copy.deepcopy(norm) for _ in range(branches))

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, ...) -> the same shape. Raises RuntimeError outside a route, or if the route is not for N clips."""
        route = present_route()
        if route is None:
            raise RuntimeError("a network with MultiBN has no default branch: call it by through(network, branch)")
        if route.clips != len(features):
            raise RuntimeError(f"the route is for {route.clips} clips, the batch has {len(features)}: {route}")
        return route.normalize(self.branches, features)


def branch_out(network: nn.Module, branches: Sequence[str], shared: Sequence[str] = ("downsample",)) -> nn.Module:
    """A copy of `network` with a BatchNorm per branch, each initialized from the existing one.

    BatchNorms below a submodule named in `shared` stay single: by default those of the shortcuts, as in the authors'
    networks; `shared=()` branches these too. The names are stored as `network.batchnorm_branches`.

    Raises:
        PipelineError: no branches, one named twice, or a network that has branches already.
    """
    if not branches or len(set(branches)) < len(branches):
        raise PipelineError(f"branches are {list(branches)}: give one or more different names")
    if hasattr(network, BRANCHES):
        raise PipelineError("branches: this network has branches already; choose a defense that adds them once")
    network = copy.deepcopy(network)
    for name, norm in list(network.named_modules()):
        if isinstance(norm, _BatchNorm) and not set(name.split(".")) & set(shared):
            parent, _, child = name.rpartition(".")
            setattr(network.get_submodule(parent), child, MultiBatchNorm(norm, len(branches)))
    network.batchnorm_branches = tuple(branches)  # type: ignore[assignment]
    return network


def through(network: nn.Module, branch: str) -> Callable[[Tensor], Tensor]:
    """The network for batches of one branch. Raises PipelineError for an unknown branch."""
    index = branch_index(network, branch)

    def forward(clips: Tensor) -> Tensor:
        with routed(Groups(((index, len(clips)),))):
            return network(clips)

    return forward


def through_groups(network: nn.Module, groups: Sequence[tuple[str, int]]) -> Callable[[Tensor], Tensor]:
    """The network for batches made of contiguous groups (branch, number of clips), e.g. [clean; PGD; ROA]."""
    route = Groups(tuple((branch_index(network, branch), count) for branch, count in groups))

    def forward(clips: Tensor) -> Tensor:
        with routed(route):
            return network(clips)

    return forward


def branches_of(network: nn.Module) -> tuple[str, ...]:
    """The names of a network's BatchNorm branches; empty for any other network."""
    return getattr(network, BRANCHES, ())


def branch_index(network: nn.Module, branch: str) -> int:
    known = branches_of(network)
    if branch not in known:
        has = f"it has {', '.join(known)}" if known else "it has no branches: use a MultiBN defense"
        raise PipelineError(f"branch {branch!r} is unknown to this network; {has}")
    return known.index(branch)


def load_initial(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Loads the weights of a trained network into `network`, for fine-tuning.

    A plain BatchNorm is copied into every branch. A head for another number of classes keeps its current (fresh)
    weights, and so does a block that an extension added, if the weights do not contain it. Any other mismatch is a
    PipelineError, and the network is unchanged.
    """
    own, fresh, head = network.state_dict(), missing_block_keys(network, state), f"{head_of(network)}."
    sources = {key: source_key(network, key, state) for key in own}
    unused = sorted(set(state) - set(sources.values()))
    if unused:
        shape = tuple(state[unused[0]].shape)
        raise PipelineError(f"initial weights: {unused[0]} {shape} has no place in this network")
    loaded = {
        key: own[key] if key in fresh else initial_tensor(key, own[key], state.get(source), head)
        for key, source in sources.items()
    }
    network.load_state_dict(loaded)
    skipped = sorted(key for key in own if key.startswith(head) and own[key].shape != state[sources[key]].shape)
    if skipped:
        LOGGER.info("initial weights: %s for other classes omitted: the head has fresh weights", ", ".join(skipped))


def source_key(network: nn.Module, key: str, state: Mapping[str, Tensor]) -> str:
    """`bn1.branches.2.weight` -> `bn1.weight`, unless the state is branched itself."""
    owner, _, rest = key.rpartition(".branches.")
    if key in state or not owner or not isinstance(network.get_submodule(owner), MultiBatchNorm):
        return key
    return f"{owner}.{rest.partition('.')[2]}"


def initial_tensor(key: str, own: Tensor, source: Tensor | None, head: str) -> Tensor:
    if source is None:
        # Checkpoints older than torch 0.4.1 (Kinetics) have no num_batches_tracked.
        if key.endswith("num_batches_tracked"):
            return own
        raise PipelineError(f"initial weights: {key} {tuple(own.shape)} is missing in them")
    if source.shape == own.shape:
        return source
    if key.startswith(head) and source.shape[1:] == own.shape[1:]:
        return own
    hint = f" (only its head, {head[:-1]!r}, may be for other classes)" if source.shape[1:] == own.shape[1:] else ""
    raise PipelineError(f"initial weights: {key} is {tuple(source.shape)}, this network needs {tuple(own.shape)}{hint}")
