"""Which images a data set has, and their labels: text lists, and CIFAR-10's binary files."""

import re
from pathlib import Path
from typing import ClassVar

from pipeline_lib.clips.splits import Video, chosen, existing, known_split, numbered_lines, of_classes, two_words
from pipeline_lib.entries.ranges import method
from pipeline_lib.errors import PipelineError

CIFAR10_FILES = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}
# Per file. A record is one byte for the label, then the planes R, G and B of 32 x 32 pixels.
CIFAR10_RECORDS, CIFAR10_RECORD_BYTES = 10_000, 1 + 3 * 32 * 32


@method
class ImageLists:
    """Image files in `images`, listed in `annotations`: `classes.txt`, `train.txt` and `test.txt`.

    A line of classes.txt is a class, in the order of the labels; a line of the others is `path class`,
    the path relative to `images`. `classes` keeps only these classes, relabeled in the same order. The decoder
    checks that the files exist, and reports all that are missing.

    images: folder of the files.
    annotations: folder of the lists.
    classes: the classes to keep.
    """

    images: str = "images"
    annotations: str = "lists"
    classes: list[str] | None = None

    def list_files(self, root: Path, split: str) -> list[Path]:
        """The files that decide what `read` returns."""
        folder = root / self.annotations
        return [folder / "classes.txt", folder / f"{known_split(split)}.txt"]

    def class_names(self, root: Path) -> list[str]:
        """The classes in the order of their labels."""
        index = existing(root, self.list_files(root, "train")[0])
        return chosen([name for _, name in numbered_lines(index)], self.classes, index)

    def read(self, root: Path, split: str) -> list[Video]:
        """The images in the order of the list. PipelineError names the list and its wrong line."""
        index, listing = [existing(root, path) for path in self.list_files(root, split)]
        known = {name for _, name in numbered_lines(index)}
        labels = {name: label for label, name in enumerate(self.class_names(root))}

        def parts(line: str, number: int) -> tuple[str, str]:
            return path_and_class(line, known) or two_words(line, listing, number, "path class")

        images: dict[str, Video] = {}
        for number, image in of_classes(listing, index, labels, parts):
            if image.path in images:
                raise PipelineError(f"{listing}, line {number}: {image.path} is listed twice. Remove one of the lines.")
            images[image.path] = image
        return list(images.values())

    def video_root(self, root: Path) -> Path:
        """The folder that the images' paths are relative to."""
        return root / self.images


def path_and_class(line: str, known: set[str]) -> tuple[str, str] | None:
    """A line `path class`, split before the longest of the known classes that it ends with; None if there is none."""
    spaces = re.finditer(r"\s+", line)
    return next(((line[: s.start()], line[s.end() :]) for s in spaces if line[s.end() :] in known), None)


NO_PICKLE = "Pickles are refused: reading one can run code. Unpack cifar-10-binary.tar.gz (the binary version) instead."


@method
class Cifar10:
    """CIFAR-10's official binary version: `data_batch_{1..5}.bin`, `test_batch.bin` and `batches.meta.txt` in `images`.

    The item `data_batch_2.bin/00042` is record 42, from 0, of that file. `classes` keeps only these classes, relabeled
    in the official order; `train_images` and `test_images` keep only the first so many of them, for trials.

    images: folder of the files.
    classes: the classes to keep.
    train_images, test_images: number of images to keep.
    """

    separate: ClassVar[bool] = True  # see `leaks.require_separate`
    in_lists: ClassVar[bool] = True  # the items are records of the list files

    images: str = "cifar-10-batches-bin"
    classes: list[str] | None = None
    train_images: int | None = None
    test_images: int | None = None

    def list_files(self, root: Path, split: str) -> list[Path]:
        """The files that decide what `read` returns."""
        folder = self.video_root(root)
        return [folder / "batches.meta.txt", *(folder / name for name in CIFAR10_FILES[known_split(split)])]

    def class_names(self, root: Path) -> list[str]:
        """The classes in the order of their labels."""
        index = self._index(root)
        return chosen([name for _, name in numbered_lines(index)], self.classes, index)

    def read(self, root: Path, split: str) -> list[Video]:
        """The images in the official order. PipelineError names the file that is missing, truncated or wrong."""
        known = [name for _, name in numbered_lines(self._index(root))]
        labels = {name: label for label, name in enumerate(self.class_names(root))}
        images = [
            Video(f"{path.name}/{record:05}", labels[known[number]])
            for path in self.list_files(root, split)[1:]
            for record, number in enumerate(record_labels(self._existing(root, path), len(known)))
            if known[number] in labels
        ]
        return images[: self.train_images if split == "train" else self.test_images]

    def video_root(self, root: Path) -> Path:
        """The folder that the items' paths are relative to."""
        return root / self.images

    def _index(self, root: Path) -> Path:
        return self._existing(root, self.video_root(root) / "batches.meta.txt")

    def _existing(self, root: Path, path: Path) -> Path:
        if not path.is_file():
            if (path.parent / "batches.meta").is_file() or (root / "cifar-10-batches-py").is_dir():
                raise PipelineError(f"{root} holds CIFAR-10's Python version. {NO_PICKLE}")
            raise PipelineError(
                f"{path} does not exist. Unpack cifar-10-binary.tar.gz (the binary version) in {root}, or correct "
                "`root` or `images`."
            )
        return path


def record_labels(path: Path, classes: int) -> bytes:
    """The label of each record of a CIFAR-10 file. PipelineError when it is truncated, or a label is not a class."""
    content = path.read_bytes()
    if content[:1] == b"\x80" and content[-1:] == b".":
        raise PipelineError(f"{path} is a pickle. {NO_PICKLE}")
    if len(content) != CIFAR10_RECORDS * CIFAR10_RECORD_BYTES:
        raise PipelineError(
            f"{path} has {len(content):,} bytes and not {CIFAR10_RECORDS * CIFAR10_RECORD_BYTES:,}: it is truncated "
            "or not a file of CIFAR-10's binary version. Unpack it again."
        )
    labels = content[::CIFAR10_RECORD_BYTES]
    if max(labels) >= classes:
        record = next(number for number, label in enumerate(labels) if label >= classes)
        raise PipelineError(
            f"{path}, record {record}: the label is {labels[record]}, but there are {classes} classes. Unpack it again."
        )
    return labels
