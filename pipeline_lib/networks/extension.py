"""Extensions: blocks added after a stage of any network; the names of its other parameters do not change.

Stages are the `nn.Sequential`s `layer1`, `layer2`, ... of a ResNet, here as in torchvision. The papers' conv2 to conv5
(res2 to res5) are layer1 to layer4.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline_lib.entries.facts import unknown_stage
from pipeline_lib.errors import PipelineError


class Network(Protocol):
    """An architecture: called with the number of classes, it returns a network with fresh weights.

    The network may name the layer that computes its logits and depends on the classes as `head` (a string).
    """

    def __call__(self, classes: int) -> nn.Module: ...


class Added(nn.Module):
    """A block that an extension added to a network: initial weights need not contain it.

    The block maps (N, C, T, H, W) to the same shape; features of a 2D network, (N, C, H, W), are passed as one frame.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, features: Tensor) -> Tensor:
        if features.dim() == 4:
            return self.block(features.unsqueeze(2)).squeeze(2)
        return self.block(features)


class Fixed(Added):
    """A trained network that another one uses and never trains, such as a generator of its transform.

    Its weights are in the state dict, and its parameters are not among the network's: no optimizer, count or precision
    of the network applies to them. Called as a layer, as an `nn.Sequential` calls every part, it changes nothing.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__(block.requires_grad_(False))

    def forward(self, features: Tensor) -> Tensor:
        return features

    def named_modules(
        self, memo: set[nn.Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """This module, without those inside."""
        known = set() if memo is None else memo
        if self not in known:
            known.add(self)
            yield prefix, self


def stages_of(network: nn.Module) -> dict[str, nn.Sequential]:
    """The stages of a network by name, in their order."""
    return {
        child: part
        for child, part in network.named_children()
        if isinstance(part, nn.Sequential) and re.fullmatch(r"layer\d+", child)
    }


def stage_of(network: nn.Module, name: str) -> nn.Sequential:
    """The stage of that name. Raises PipelineError, with the known names, if the network has none."""
    stages = stages_of(network)
    if name not in stages:
        raise PipelineError(f"after: {unknown_stage(name, stages)}")
    return stages[name]


def last_norm(stage: nn.Sequential) -> _BatchNorm:
    """The stage's own last BatchNorm: it has the stage's channels and the network's dimensions."""
    own = (part for layer in stage if not isinstance(layer, Added) for part in layer.modules())
    norms = [part for part in own if isinstance(part, _BatchNorm)]
    if not norms:
        raise PipelineError("after: the channels of a stage are those of its last BatchNorm, and this one has none")
    return norms[-1]


def add_after(network: nn.Module, stage: str, name: str, block: nn.Module) -> None:
    """Appends `block` to a stage, in place; its parameters are called `{stage}.{name}.block. ...`."""
    layers = stage_of(network, stage)
    if name in dict(layers.named_children()):
        raise PipelineError(f"after: {stage} has a block {name!r} already; name each stage once")
    layers.add_module(name, Added(block))


def head_of(network: nn.Module) -> str:
    """The name of the layer that computes the logits: the `head` that the network declares, or else `fc`.

    A network whose layer is called `head` need not declare it.
    """
    head = getattr(network, "head", "fc")
    return head if isinstance(head, str) else "head"


def missing_block_keys(network: nn.Module, weights: Iterable[str]) -> set[str]:
    """The network's state-dict keys in added blocks of which `weights` (keys of another state dict) contain nothing."""
    known = list(weights)
    blocks = [f"{name}." for name, part in network.named_modules() if isinstance(part, Added)]
    fresh = tuple(block for block in blocks if not any(key.startswith(block) for key in known))
    return {key for key in network.state_dict() if key.startswith(fresh)}
