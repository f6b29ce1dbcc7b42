"""Checkpoints: weights and plain data, written atomically, the same bytes for the same content."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline_lib.errors import PipelineError


def save(path: Path, network: nn.Module, *, entry: Mapping[str, object], **extra: object) -> None:
    """Writes `{"state": weights, "entry": entry, **extra}`; a reader sees the old file or the new one, never a part.

    extra: tensors, numbers, strings, None, and lists, tuples and dicts of them.
    """
    content = canonical({"state": network.state_dict(), "entry": entry, **extra}, {})
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            # An open file, not a path: torch.save would write the path's name into the archive.
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def canonical(value: Any, texts: dict[str, str]) -> Any:
    """A copy whose pickle depends on its content alone: not on dict order, shared objects, views or devices."""
    if isinstance(value, Tensor):
        return value.detach().cpu().clone(memory_format=torch.contiguous_format)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return texts.setdefault(str(value), str(value))
    for plain in int, float:  # also numpy's subclasses, which weights_only would not read back
        if isinstance(value, plain):
            return plain(value)
    if isinstance(value, Mapping):
        keys = sorted(value, key=lambda key: (type(key).__name__, key))
        return {canonical(key, texts): canonical(value[key], texts) for key in keys}
    for sequence in list, tuple:
        if isinstance(value, sequence):
            return sequence(canonical(item, texts) for item in value)
    raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}")


def load(path: Path) -> dict[str, Any]:
    """What `save` wrote, tensors on the CPU. Executes nothing. Raises PipelineError for a broken or foreign file."""
    if not path.is_file():
        raise PipelineError(f"{path}: there is no such checkpoint")
    try:
        # torch.load does not check the archive's checksums.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile file may raise anything
        message = f"{path}: not a checkpoint of this pipeline, or cut off; make it again ({error})"
        raise PipelineError(message) from error
    if damaged is not None:
        raise PipelineError(f"{path}: {damaged} is damaged; delete the file and make it again")
    if not isinstance(content, dict) or not {"state", "entry"} <= set(content):
        raise PipelineError(f"{path}: not a checkpoint of this pipeline: it has no 'state' and 'entry'")
    return content
