"""The precision of a run, and its metadata: precision, determinism, versions."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

from pipeline_lib.entries.facts import innermost
from pipeline_lib.errors import PipelineError

Precision = Literal["fp32", "tf32", "bf16"]
KNOWN = ("fp32", "tf32", "bf16")
NO_FP16 = (
    "fp16 is refused: gradients to the input underflow to zero in it, so that attacks stop and a network looks robust "
    "(measured: 18.6 % robust accuracy appeared as 63.7 %). bf16 has the range of fp32 and costs the same"
)


def check_precision(where: str, value: Any) -> Precision:
    """The value itself. Raises PipelineError for fp16, with the reason, and for unknown values."""
    if value in ("fp16", "float16", "half"):
        raise PipelineError(f"config: {where}: {NO_FP16}; use one of {', '.join(KNOWN)}")
    if value not in KNOWN:
        raise PipelineError(f"config: {where}: unknown precision {value!r}; known: {', '.join(KNOWN)}")
    return value


def precision_of(attack: object, outer: Precision) -> Precision:
    """Precision of an attack's passes: the caller's (`outer`), or its own (or of the attack it wraps) if coarser."""
    return "bf16" if getattr(innermost(attack), "precision", outer) == "bf16" else outer


def weights_in(attack: object, precision: Precision) -> Precision:
    """Precision of the network's weights during an attack: fp32 for an attack that also scores clips with them."""
    return "fp32" if getattr(attack, "keeps_weights", False) else precision_of(attack, precision)


def gap_allowed(precision: Precision) -> float:
    """Allowed gap |a - b| / (1 + b) between a loss in a precision and in fp32 for the same model.

    Above the effect of rounding in deep networks, below the effect of another branch or mode of a network.
    """
    return 0.2 if precision == "bf16" else 0.05


@contextmanager
def computing_in(precision: Precision) -> Iterator[None]:
    """Inside, matrix products and convolutions of fp32 tensors on a GPU use TF32 (10 bits of mantissa) or fp32 (23).

    `fp32` disables TF32, which torch allows cuDNN by default. No effect on a CPU.
    """
    from torch.backends import cuda, cudnn

    places: tuple[Any, ...] = (cuda.matmul, cudnn.conv, cudnn.rnn)  # type: ignore[attr-defined]
    before = [place.fp32_precision for place in places]
    try:
        for place in places:
            place.fp32_precision = "ieee" if precision == "fp32" else "tf32"
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.fp32_precision = value


def autocast(precision: Precision, device: Any) -> AbstractContextManager[Any]:
    """For bf16, a context in which operations that are safe in it use it; parameters stay fp32."""
    import torch

    if precision != "bf16":
        return nullcontext()
    # No cache: a forward pass uses each weight once, and frozen weights are not cached (`attacking` rounds them).
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def run_metadata(precision: Precision, device: Any, **more: Any) -> dict[str, Any]:
    """Facts that the numbers of a run depend on besides its entry, as plain data."""
    import torch

    cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if cuda else "cpu",
        "precision": precision,
        "tf32": cuda and precision != "fp32",
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn": torch.backends.cudnn.version() if cuda else "none",
        "cudnn_enabled": torch.backends.cudnn.enabled,
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "torch": str(torch.__version__),
        "cuda": str(torch.version.cuda) if cuda else "none",
        **more,
    }
