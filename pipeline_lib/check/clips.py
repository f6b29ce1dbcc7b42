"""The clips of the command: a folder of class folders, a manifest `path,label`, or a clip store."""

import csv
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline_lib.clips.decode import Decoder, Decoding
from pipeline_lib.clips.folders import clips_below, is_image
from pipeline_lib.clips.images import ImageFiles
from pipeline_lib.clips.loader import as_clips
from pipeline_lib.clips.sampling import UniformStride
from pipeline_lib.clips.status import Status
from pipeline_lib.clips.store import Clips
from pipeline_lib.clips.videos import VideoFiles
from pipeline_lib.errors import PipelineError
from pipeline_lib.reporting.clusters import videos_of


@dataclass(frozen=True, kw_only=True)
class Labeled:
    """Clips (N, C, T, H, W), or images (N, C, H, W), float32 in [0, 1], their labels (N,), names, and class names."""

    clips: Tensor
    labels: Tensor
    names: list[str]
    classes: list[str]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How files become clips. most: number of clips, drawn by `seed` with equal shares of the classes; None for all."""

    frames: int = 16
    size: int = 112
    most: int | None = 100
    seed: int = 0
    workers: int = 1


def clips_of(path: Path, reading: Reading) -> Labeled:
    """The clips of a folder of class folders, a manifest, or a store (.h5): one of each video.

    Raises:
        PipelineError: in one sentence, for anything else, for labels that are no class, or files that are not decoded.
    """
    if path.suffix in (".h5", ".hdf5"):
        return _of_store(path, reading)
    if path.is_dir():
        files, labels, classes = listed_folder(path)
    elif path.is_file():
        files, labels, classes = listed_manifest(path)
    else:
        raise PipelineError(f"clips {path}: there is no such folder, manifest (path,label) or clip store (.h5)")
    rows = chosen(labels, reading)
    frames = decoded([files[row] for row in rows], reading)
    names = [str(files[row]) for row in rows]
    return _labeled(frames, np.array([labels[row] for row in rows]), names, classes)


def numbered_as(data: Labeled, classes: list[str] | None, model: str) -> Labeled:
    """The clips with labels in a model's order of classes; as they are where that is not known, or labels are numbers.

    Raises:
        PipelineError: a class of the clips that the model does not have.
    """
    if classes is None or data.classes == classes or all(name.isdigit() for name in data.classes):
        return data
    unknown = [name for name in data.classes if name not in classes]
    if unknown:
        raise PipelineError(
            f"class {unknown[0]!r} of the clips is none of the {len(classes)} of model {model!r}, first {classes[0]!r}"
        )
    places = torch.tensor([classes.index(name) for name in data.classes])
    return dataclasses.replace(data, labels=places[data.labels], classes=classes)


def listed_folder(folder: Path) -> tuple[list[Path], list[int], list[str]]:
    """The files of each class folder, their labels by the order of the folders' names, and these names."""
    files = [path for path in clips_below(folder) if len(path.relative_to(folder).parts) > 1]
    of_file = [path.relative_to(folder).parts[0] for path in files]
    classes = sorted(set(of_file))
    if not files:
        raise PipelineError(f"clips {folder}: no videos or images in folders of classes ({folder}/CLASS/FILE)")
    return files, [classes.index(name) for name in of_file], classes


def listed_manifest(manifest: Path) -> tuple[list[Path], list[int], list[str]]:
    """The files of lines `path,label`; paths are relative to the manifest's folder, labels numbers or class names."""
    with manifest.open(newline="") as file:
        rows = [row for row in csv.reader(file) if row and not row[0].startswith("#")]
    if rows and [cell.strip() for cell in rows[0][:2]] == ["path", "label"]:
        rows = rows[1:]
    for number, row in enumerate(rows, 1):
        if len(row) < 2:
            raise PipelineError(f"clips {manifest}: entry {number} is {','.join(row)!r}: give path,label")
    given = [row[1].strip() for row in rows]
    if not given:
        raise PipelineError(f"clips {manifest}: no lines path,label")
    if all(label.isdigit() for label in given):
        labels = [int(label) for label in given]
        classes = [str(label) for label in range(max(labels) + 1)]
    else:
        classes = sorted(set(given))
        labels = [classes.index(label) for label in given]
    files = [manifest.parent / row[0].strip() for row in rows]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise PipelineError(f"clips {manifest}: {len(missing)} files do not exist, first {missing[0]}")
    return files, labels, classes


def chosen(labels: Sequence[int], reading: Reading, videos: Sequence[str] = ()) -> list[int]:
    """Rows of at most `most` clips: the classes in turn, drawn by the seed.

    videos: of each clip; of several clips of one video only one is taken, as the tests of a check count independent
        clips.
    """
    order = np.random.default_rng(reading.seed).permutation(len(labels)).tolist()
    turns: dict[int, int] = {}
    ranked = []
    for row in one_of_each(videos, order) if videos else order:
        turns[labels[row]] = turns.get(labels[row], 0) + 1
        ranked.append((turns[labels[row]], row))
    return sorted(row for _, row in sorted(ranked, key=lambda one: one[0])[: reading.most])


def one_of_each(videos: Sequence[str], order: Sequence[int]) -> list[int]:
    """The rows in this order, of each video only the first."""
    first: dict[str, int] = {}
    for row in order:
        first.setdefault(videos[row], row)
    return list(first.values())


def decoded(files: Sequence[Path], reading: Reading) -> np.ndarray:
    """The frames (N, T, H, W, 3) uint8 of videos, or of images (T = 1). PipelineError names a file that fails."""
    videos = {not is_image(file) for file in files}
    if len(videos) > 1:
        raise PipelineError("the clips are videos and images: give files of one kind")
    sampling = UniformStride(frames=reading.frames)
    decoder: Decoder = (
        VideoFiles(size=reading.size, sampling=sampling)
        if videos.pop()
        else ImageFiles(size=reading.size, resize=True, convert=True)
    )
    found = []
    for file, clip in zip(files, decoder.decode(files, Decoding(), reading.workers), strict=True):
        if clip.status == Status.FAILED:
            raise PipelineError(f"{file}: it cannot be decoded ({clip.message})")
        found.append(clip.frames)
    return np.stack(found)


def _of_store(path: Path, reading: Reading) -> Labeled:
    store = Clips(path)
    videos = videos_of(pd.Index(store.videos)).tolist()
    rows = chosen(store.labels.tolist(), reading, videos)
    names = [store.videos[row] for row in rows]
    return _labeled(store.read(rows), store.labels[rows], names, store.classes)


def _labeled(frames: np.ndarray, labels: np.ndarray, names: list[str], classes: list[str]) -> Labeled:
    clips = as_clips(frames, "cpu").contiguous()
    clips = clips[:, :, 0].contiguous() if clips.shape[2] == 1 else clips
    return Labeled(clips=clips, labels=torch.from_numpy(np.asarray(labels, np.int64)), names=names, classes=classes)
