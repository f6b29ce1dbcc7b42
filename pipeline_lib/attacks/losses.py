"""Losses that attacks maximize: clips -> (N,), one number per clip; and the state of a network under attack."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from pipeline_lib.attacks.protocols import Criterion, Loss, Model
from pipeline_lib.precision import Precision

NO_GRADIENT = (
    "the network's logits have no gradient to the clips: give it a differentiable stand-in (a transform's BPDA), or "
    "attack it by queries (method square)"
)


def cross_entropy(model: Model, labels: Tensor) -> Loss:
    """Untargeted cross-entropy to the true labels (N,), per clip and in float32.

    It is not averaged, so a clip's gradient does not depend on the batch size (and does not underflow).
    """
    return on_logits(model, to_labels(labels))


def to_labels(labels: Tensor) -> Criterion:
    """Cross-entropy of each clip to its label (N,)."""
    return lambda logits: F.cross_entropy(logits, labels, reduction="none")


def on_logits(model: Model, criterion: Criterion) -> Loss:
    """The criterion of the model's logits, in float32, or in float64 for such logits."""
    return lambda clips: criterion(at_least_float32(model(clips)))


def at_least_float32(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def in_bfloat16(loss: Loss) -> Loss:
    """The loss with its matrix products in bfloat16 (autocast); sums and the loss itself are in float32.

    Its exponent range is that of float32: gradients do not underflow as in float16.
    """

    def rounded(clips: Tensor) -> Tensor:
        with torch.autocast(clips.device.type, dtype=torch.bfloat16):
            return loss(clips).float()

    return rounded


def divergence(model: Model, reference: Tensor) -> Loss:
    """KL(p || q) per clip: p given by its log-probabilities (N, classes), q the model's softmax (TRADES).

    Its gradient vanishes where q = p: an attack on it needs a random start.
    """

    def loss(clips: Tensor) -> Tensor:
        return kl_divergence(reference, model(clips).float().log_softmax(1))

    return loss


def kl_divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) of each row, (N, classes) -> (N,); differentiable in both."""
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1)


def expectation(loss: Loss, samples: int) -> Loss:
    """The mean of `samples` calls of a loss with new random draws of the network (EOT, Athalye et al., ICML 2018)."""

    def mean(clips: Tensor) -> Tensor:
        return torch.stack([loss(clips) for _ in range(samples)]).mean(0)

    return mean


def loss_and_gradient(loss: Loss, clips: Tensor) -> tuple[Tensor, Tensor]:
    """Losses (N,), and their gradients with the shape of the clips: one forward and one backward pass.

    Raises ValueError for a loss that is not one number per clip: the gradients of a mean depend on the batch size.
    """
    with torch.enable_grad():
        leaf = clips.detach().requires_grad_()
        losses = loss(leaf)
        if losses.shape != clips.shape[:1]:
            raise ValueError(f"the loss of {len(clips)} clips has shape {tuple(losses.shape)}: give one per clip")
        (gradient,) = _gradient(losses.sum(), leaf)
    return losses.detach(), gradient


def _gradient(loss: Tensor, leaf: Tensor) -> tuple[Tensor, ...]:
    try:
        return torch.autograd.grad(loss, leaf)
    except RuntimeError as error:
        if "use_reentrant" in str(error):
            raise ValueError("the network's checkpoints are reentrant: give them use_reentrant=False") from error
        if "does not require grad" in str(error) or "to not have been used" in str(error):
            raise ValueError(NO_GRADIENT) from error
        raise


@contextmanager
def attacking(network: nn.Module, precision: Precision = "fp32") -> Iterator[None]:
    """Inside, the network is in eval mode and its parameters get no gradients (half the cost of a backward pass).

    precision: of the passes inside. With bf16 all of them must be under autocast; weights are then rounded once
        instead of in each of them.

    Training flags of every submodule, and requires_grad and values of every parameter are restored as they were.
    """
    training = [(part, part.training) for part in network.modules()]
    learning = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    try:
        _freeze(network)
        with _rounded(network) if precision == "bf16" else nullcontext():
            yield
    finally:
        for part, flag in training:
            part.training = flag
        for parameter, flag in learning:
            parameter.requires_grad_(flag)


def _freeze(network: nn.Module) -> None:
    """Eval mode, and no gradients of parameters; also for scripted modules, which have no `requires_grad_`."""
    try:
        network.eval()
    except NotImplementedError as error:
        raise ValueError("the network is an exported program: attack the module that it was exported from") from error
    for parameter in network.parameters():
        parameter.requires_grad_(False)


@contextmanager
def _rounded(network: nn.Module) -> Iterator[None]:
    """Inside, weights that autocast would round in every pass are bfloat16 (a fifth of a pass on a CPU)."""
    products = [part for part in network.modules() if _is_plain(part)]
    exact = {weight: weight.data for part in products for weight in part.parameters(recurse=False)}
    stems = [part for part in products if isinstance(part, nn.Conv3d) and part.weight.shape[1] == 3 == part.in_channels]
    hooks = []
    try:
        for weight, values in exact.items():
            weight.data = values.to(torch.bfloat16)
        for stem in stems:
            if stem.weight.device.type == "cpu":
                stem.weight.data = _with_a_fourth(stem.weight.data)
                hooks.append(stem.register_forward_pre_hook(lambda _, given: (_with_a_fourth(given[0]),)))
        yield
    finally:
        for weight, values in exact.items():
            weight.data = values
        for hook in hooks:
            hook.remove()


def _is_plain(part: nn.Module) -> bool:
    """Whether a layer only multiplies by its weight. Subclasses that do not declare `only_multiplies` may standardize
    it; parametrizations and hooks (weight_norm, pruning) compute it from others."""
    plain = type(part) in (nn.Linear, nn.Conv2d, nn.Conv3d) or vars(type(part)).get("only_multiplies", False)
    return plain and not (part._forward_pre_hooks or part._forward_hooks or is_parametrized(part))


def _with_a_fourth(data: Tensor) -> Tensor:
    """Clips or weights of three channels (N, 3, T, H, W) with one of zeros. oneDNN's bfloat16 is five times slower on
    three.
    """
    return F.pad(data, (0, 0, 0, 0, 0, 0, 0, 1))
