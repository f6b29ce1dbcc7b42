"""Checkpoints: weights and plain data, written atomically, the same bytes for the same content."""

import json
import os
import pickle
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.runs import atomic_write
from pipeline_lib.jobs.system_errors import reason_of
from pipeline_lib.models import safetensors

COMMENT_MARK = b"CRC-32: "
COMMENT_SIZE = len(COMMENT_MARK) + 4
READ_SIZE = 1 << 20
FOLDER = 0x10  # the MS-DOS attribute of a folder
REMAKE = "Move it away and run again"
NO_WEIGHTS = "no weights of torch, cut off, or holding more than tensors and plain values"


def save(path: Path, network: nn.Module, *, entry: Mapping[str, object], **extra: object) -> None:
    """Writes `{"state": weights, "entry": entry, **extra}` atomically: a reader gets the old file or the new one.

    extra: tensors, numbers, strings, None, and lists, tuples and dicts of them. Raises PipelineError on a full disk.
    """
    write(path, canonical({"state": network.state_dict(), "entry": entry, **extra}, {}))


def write(path: Path, content: Any) -> None:
    """torch.save, atomically. Raises PipelineError on a full disk."""
    # An open file: for a path, torch.save writes the name into the archive and hides why a write failed.
    with atomic_write(path) as temporary:
        with temporary.open("wb") as file:
            torch.save(content, file)
        add_checksum(temporary)


def add_checksum(path: Path) -> None:
    """Adds the CRC-32 of an archive to it, as its comment: torch reads some damaged archives without an error."""
    with path.open("r+b") as file:
        file.seek(-2, os.SEEK_END)  # the length of the comment
        file.write(COMMENT_SIZE.to_bytes(2, "little"))
        file.write(COMMENT_MARK + crc32_of(file, file.tell()).to_bytes(4, "little"))


def crc32_of(file: BinaryIO, size: int) -> int:
    """CRC-32 of the first `size` bytes of a file. Afterwards the file's position is behind them."""
    value, left = 0, size
    file.seek(0)
    while left:
        content = file.read(min(left, READ_SIZE))
        value, left = zlib.crc32(content, value), left - len(content)
    return value


def canonical(value: Any, texts: dict[str, str]) -> Any:
    """A copy whose pickle depends only on its content: not on dict order, shared objects, views or devices."""
    if isinstance(value, Tensor):
        return value.detach().cpu().clone(memory_format=torch.contiguous_format)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return texts.setdefault(str(value), str(value))
    for plain in int, float:  # also numpy's subclasses, which weights_only refuses
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
    """The content written by `save`, tensors on the CPU. Runs no code of the file. PipelineError for other files."""
    content = read(path, f"not a checkpoint of this pipeline, or cut off. {REMAKE}")
    if not is_own(content):
        raise PipelineError(f"{path}: not a checkpoint of this pipeline: it has no 'state' and 'entry'. {REMAKE}")
    return content


def load_foreign(path: Path) -> dict[str, Tensor]:
    """The weights in a file of this pipeline or of other programs, on the CPU. Runs no code of the file.

    Accepts {"state_dict": weights, ...} (Hara et al. and most training code), plain state dicts (torchvision) and files
    of `save`, as zip archives or as pickles of torch before 1.6, and safetensors. DataParallel's prefix `module.` is
    removed.

    Raises:
        PipelineError: a missing or damaged file, one with more than tensors and plain values, or one without weights.
    """
    state = safetensors.read(path)[0] if path.suffix == safetensors.ENDING else weights_in(read(path, NO_WEIGHTS))
    if not isinstance(state, dict) or not state:
        raise PipelineError(f"{path}: no weights: expected names and tensors, alone or under 'state_dict'")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise PipelineError(f"{path}: no weights: {name!r} is not the name of a tensor")
    check_finite(state, path)
    wrapped = all(name.startswith("module.") for name in state)
    return {name.removeprefix("module.") if wrapped else name: value for name, value in state.items()}


def classes_in(path: Path) -> list[str] | None:
    """The names of the classes that weights were trained for, if their file states them: one of `save`, or published.

    Raises:
        PipelineError: as `load_foreign`.
    """
    if path.suffix == safetensors.ENDING:
        text = safetensors.read(path)[1].get("classes")
        return None if text is None else [str(name) for name in json.loads(text)]
    content = read(path, NO_WEIGHTS)
    return list(content["classes"]) if is_own(content) and "classes" in content else None


def check_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raises PipelineError for the first of a file's tensors that contains NaN or infinity."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise PipelineError(
                f"{path}: {name} contains values that are not finite (NaN or infinite): train again with a lower "
                "learning rate, or get other weights"
            )


def is_own(content: Any) -> bool:
    return isinstance(content, dict) and {"state", "entry"} <= set(content)


def weights_in(content: Any) -> Any:
    """The part of a file's content that contains the weights."""
    if is_own(content):
        return content["state"]
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        return content["state_dict"]
    return content


def read(path: Path, refusal: str) -> Any:
    """The content of a file of torch, tensors on the CPU. Raises PipelineError with `refusal` for any other file."""
    if not path.is_file():
        raise PipelineError(f"{path}: there is no such checkpoint")
    try:
        damaged = damaged_part(path)
        content = None if damaged else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile file may raise anything
        raise PipelineError(f"{path}: {reason_of(error) or f'{refusal} ({reason(error)})'}") from error
    if damaged is not None:
        raise PipelineError(f"{path}: {damaged} is damaged. Delete it, and run again or get it again")
    return content


def damaged_part(path: Path) -> str | None:
    """The damage of an archive, in words, or None: torch.load verifies no checksum. Old pickles have none."""
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            return None
        size = path.stat().st_size - COMMENT_SIZE
        file.seek(max(0, size))
        _, mark, value = file.read().partition(COMMENT_MARK)
        if mark:
            return None if crc32_of(file, size).to_bytes(4, "little") == value else "it"
    with zipfile.ZipFile(path) as archive:
        # torch reads a folder entry as a tensor of uninitialized memory.
        folders = [part.filename for part in archive.infolist() if part.external_attr & FOLDER]
        return folders[0] if folders else archive.testzip()


def reason(error: Exception) -> str:
    """Why torch refused a file, without its advice to load it unsafely."""
    forbidden = re.search(r"GLOBAL (\S+)", str(error))
    if forbidden:
        return f"it needs {forbidden[1]}, which is never loaded"
    return "not a file of torch" if isinstance(error, pickle.UnpicklingError) else str(error) or type(error).__name__
