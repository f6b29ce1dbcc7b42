"""Operations and memory of a network, counted on the meta device: its tensors have shapes and no content.

Operations are floating-point operations of convolutions and matrix products, two for a multiplication and an addition,
by the formulas of `torch.utils.flop_counter`. Memory is the peak of the storages in use at once, without workspaces.
"""

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from pipeline_lib.attacks.losses import attacking
from pipeline_lib.attacks.protocols import Model
from pipeline_lib.entries.building import build
from pipeline_lib.entries.facts import innermost
from pipeline_lib.jobs.counts import Counts
from pipeline_lib.models.trained import channels_last
from pipeline_lib.networks.bn_selector import SelectedNetwork
from pipeline_lib.networks.multi_batchnorm import branches_of, through

CLIPS = 2  # of a pass
# Of a training pass: with many clips the peak is at the end of the forward pass, where no gradient of the weights is in
# memory yet. With few it is at the end of the backward pass, and says little of the activations.
MANY_CLIPS = 64


class Counter(TorchDispatchMode):
    """Counts floating-point operations, the calls of torch's operators, the elements that these write (views write
    none), and the bytes of all storages in use at once."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.calls = self.elements = 0
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with self:  # in inference mode an operation arrives whole
            whole = function.decompose(*args, **kwargs)
        if whole is not NotImplemented:
            return whole
        result = function(*args, **kwargs)
        self.calls += 1
        packet = function._overloadpacket
        if packet is torch.ops.aten.convolution_backward:
            self.operations += _convolution_backward(result, *args)
        elif formula := flop_registry.get(packet):
            self.operations += formula(*args, **kwargs, out_val=result)
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self.elements += 0 if function.is_view else value.numel()
                self._add(value.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._remove, key, size)

    def _remove(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def _convolution_backward(
    result: Sequence[Tensor | None], output: Tensor, clips: Tensor, weight: Tensor, *_: Any
) -> int:
    """Each of the gradients of the input and of the weights costs a forward pass.

    torch's own formula counts the latter several times in convolutions with groups.
    """
    transposed = bool(_[4])
    positions = (clips if transposed else output).numel() // (clips if transposed else output).shape[1]
    forward = 2 * positions * weight.numel()
    return forward * sum(gradient is not None for gradient in result[:2])


def counted(network: Mapping[str, Any], defense: Mapping[str, Any], shape: Sequence[int], classes: int) -> Counts:
    """The counts of a resolved network that a resolved defense extends, per clip of (frames, height, width).

    Transforms in front of the network have counts of their own (`counted_transforms`).

    Raises:
        Exception: whatever a network raises that does not work on the meta device.
    """
    with torch.device("meta"):
        made = build(innermost(defense)).extend(build(network)(classes)).eval()
        few, many, twice = (torch.empty(clips, 3, *shape) for clips in (CLIPS, MANY_CLIPS, 2 * MANY_CLIPS))
    passes = {name: _pass(call, made, _any_route(made), few) for name, call in PASSES.items()}
    trained = [_pass(_training, made, _any_route(made), clips).peak for clips in (many, twice)]
    return Counts(
        parameters=sum(parameter.numel() for parameter in made.parameters()),
        operations={name: counter.operations / CLIPS for name, counter in passes.items()},
        memory={name: counter.peak / CLIPS for name, counter in passes.items()}
        | {"training": (trained[1] - trained[0]) / MANY_CLIPS},
        elements={name: counter.elements / CLIPS for name, counter in passes.items()},
        calls={name: counter.calls for name, counter in passes.items()},
    )


def _any_route(network: nn.Module) -> Model:
    """The network as a function, through its first branch if it has branches, with its selection module."""
    if isinstance(network, SelectedNetwork):
        routed, selector = through(network.target, network.batchnorm_branches[0]), network.selector
        return lambda clips: torch.cat([routed(clips), selector(clips)], 1)
    branches = branches_of(network)
    return through(network, branches[0]) if branches else network


def _forward(network: nn.Module, model: Model, clips: Tensor) -> None:
    with attacking(network), torch.no_grad():
        model(clips)


def _to_input(network: nn.Module, model: Model, clips: Tensor) -> None:
    with attacking(network):
        leaf = clips.detach().requires_grad_()
        torch.autograd.grad(_loss(model(leaf)), leaf)


def _training(network: nn.Module, model: Model, clips: Tensor) -> None:
    """In eval mode: a selection module's statistics of a batch need numbers."""
    torch.autograd.grad(_loss(model(clips)), [*network.parameters()], allow_unused=True)


def _loss(logits: Tensor) -> Tensor:
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))


PASSES = {"forward": _forward, "to_input": _to_input, "training": _training}
Pass = Callable[[nn.Module, Model, Tensor], None]


def _pass(call: Pass, network: nn.Module, model: Model, clips: Tensor) -> Counter:
    """Operations of a pass, and what it has at once in addition to the network and the clips."""
    with Counter() as counter:
        call(network, model, clips)
    return counter


def real_pass(
    network: Mapping[str, Any], defense: Mapping[str, Any], shape: Sequence[int], count: int, device: torch.device
) -> Callable[[], None]:
    """A call of the pass forward and backward to `count` random clips, for its time."""
    made = channels_last(build(innermost(defense)).extend(build(network)(classes=10)).eval().to(device))
    model, clips = _any_route(made), torch.rand(count, 3, *shape, device=device)

    def call() -> None:
        _to_input(made, model, clips)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return call
