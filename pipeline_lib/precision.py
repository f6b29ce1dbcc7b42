"""One key for the precision of a run, and what a run says about its numbers: precision, determinism, versions."""

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
    """The value itself. Raises PipelineError for fp16, with the reason, and for anything unknown."""
    if value in ("fp16", "float16", "half"):
        raise PipelineError(f"config: {where}: {NO_FP16}; use one of {', '.join(KNOWN)}")
    if value not in KNOWN:
        raise PipelineError(f"config: {where}: unknown precision {value!r}; known: {', '.join(KNOWN)}")
    return value


def precision_of(attack: object, outer: Precision) -> Precision:
    """Of an attack's passes: that of whoever runs it, or its own (that of the attack inside of it), if coarser."""
    return "bf16" if getattr(innermost(attack), "precision", outer) == "bf16" else outer


def weights_in(attack: object, precision: Precision) -> Precision:
    """In which precision an attack finds a network's weights: fp32 for one that also scores clips with them."""
    return "fp32" if getattr(attack, "keeps_weights", False) else precision_of(attack, precision)


def gap_allowed(precision: Precision) -> float:
    """How far a loss in a precision may be from the same in fp32, |a - b| / (1 + b), as the same model's.

    Above what rounding changes in deep networks, below what another branch or another mode of a network does.
    """
    return 0.2 if precision == "bf16" else 0.05


@contextmanager
def computing_in(precision: Precision) -> Iterator[None]:
    """Inside, matrix products and convolutions of fp32 tensors on a GPU take TF32's 10 bits, or all of fp32's 23.

    `fp32` is exact on purpose: torch by itself lets cuDNN use TF32. On a CPU nothing changes.
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
    """Inside, networks compute in bf16 where that is safe, if the precision says so; parameters stay fp32."""
    import torch

    if precision != "bf16":
        return nullcontext()
    # Weights are used once in a forward pass, and frozen ones would not be kept: `attacking` rounds those.
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def run_metadata(precision: Precision, device: Any, **more: Any) -> dict[str, Any]:
    """What the numbers of a run depend on besides its entry, as plain data."""
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
