"""Weights as safetensors: names, types and shapes as JSON, then the tensors; no code, and readable without torch.

The layout (huggingface.co/docs/safetensors): 8 bytes, the length of the header, little-endian; the header, a JSON
mapping from names to `dtype`, `shape` and `data_offsets`, and `__metadata__`, texts by name; the tensors, row by row.
"""

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.runs import atomic_write
from pipeline_lib.jobs.system_errors import reason_of

ENDING = ".safetensors"
METADATA = "__metadata__"
LONGEST_HEADER = 100_000_000  # as in the library
TYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8},
    **{"BOOL": torch.bool},
}
NAMES = {kind: name for name, kind in TYPES.items()}


def write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes tensors whole or not at all, the same bytes for the same content."""
    header: dict[str, Any] = {METADATA: dict(sorted(metadata.items()))}
    offset = 0
    for name, tensor in sorted(tensors.items()):
        size = tensor.numel() * tensor.element_size()
        header[name] = {"dtype": NAMES[tensor.dtype], "shape": [*tensor.shape], "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors are aligned
    with atomic_write(path, 8 + len(text) + offset) as temporary, temporary.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, tensor in sorted(tensors.items()):
            file.write(as_bytes(tensor))


def as_bytes(tensor: Tensor) -> bytes:
    plain = tensor.detach().cpu().contiguous()
    return plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors, on the CPU, and the metadata of a file.

    Raises:
        PipelineError: a file that is missing, truncated, damaged or of another kind.
    """
    try:
        content = path.read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        if length > min(LONGEST_HEADER, len(content) - 8):
            raise ValueError("its header is longer than the file")
        header = json.loads(content[8 : 8 + length])
        metadata = header.pop(METADATA, {})
        data = bytearray(content[8 + length :])
        require_whole(header, len(data))
        return {name: tensor_of(one, data) for name, one in header.items()}, metadata
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError) as error:
        raise PipelineError(f"{path}: {reason_of(error) or f'no safetensors, cut off, or damaged ({error})'}") from None


def require_whole(header: Mapping[str, Mapping[str, Any]], size: int) -> None:
    """Raises ValueError unless the tensors fill the data without holes and overlaps."""
    end = 0
    for first, last in sorted(one["data_offsets"] for one in header.values()):
        if first != end or last < first:
            raise ValueError("its tensors have holes or overlap")
        end = last
    if end != size:
        raise ValueError(f"it has {size} bytes of tensors instead of {end}")


def tensor_of(one: Mapping[str, Any], data: bytearray) -> Tensor:
    """A tensor by its entry in the header."""
    kind, shape, (first, last) = TYPES[one["dtype"]], one["shape"], one["data_offsets"]
    if last - first != math.prod(shape) * torch.empty((), dtype=kind).element_size():
        raise ValueError("the size of a tensor is not that of its shape")
    if first == last:
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(data[first:last], dtype=kind).reshape(shape).clone()
