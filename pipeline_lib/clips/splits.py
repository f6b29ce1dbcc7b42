"""The lists of data sets: which videos, which labels; and UCF101's official ones."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline_lib.clips.listed_paths import below
from pipeline_lib.entries.ranges import method
from pipeline_lib.errors import PipelineError

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Video:
    """A video of a list: its path relative to the folder of videos (with `/`), and its label (0 is the first class).

    start, end: seconds; the clip is taken from the frames at `start` <= time < `end`. None is that end of the video.
    clip: which one of several clips of the video; 1 is the first.
    """

    path: str
    label: int
    start: float | None = None
    end: float | None = None
    clip: int | None = None

    @property
    def name(self) -> str:
        """The path, and the interval as in a URI of the W3C's Media Fragments (`a.mp4#t=3,5.5`); and the clip."""
        start, end = ("" if time is None else f"{time:g}" for time in (self.start, self.end))
        fragments = [f"t={start}" + (f",{end}" if end else "")] if start or end else []
        fragments += [] if self.clip is None else [f"clip={self.clip}"]
        return f"{self.path}#{'&'.join(fragments)}" if fragments else self.path


class Lists(Protocol):
    """The lists of one data set below its root folder; `split` is "train" or "test"."""

    def list_files(self, root: Path, split: str) -> list[Path]: ...

    def class_names(self, root: Path) -> list[str]: ...

    def read(self, root: Path, split: str) -> list[Video]: ...

    def video_root(self, root: Path) -> Path: ...


@method
class Ucf101:
    """UCF101's layout: `videos/Class/name.avi`, `annotations/classInd.txt` and `{train,test}list0{split}.txt`.

    `classes` keeps only these classes, relabeled in the order of classInd.txt.

    videos: folder of the videos.
    annotations: folder of the lists.
    split: number of the official split, 1 to 3 (the papers: 1).
    classes: the classes to keep.
    """

    videos: str = "UCF-101"
    annotations: str = "ucfTrainTestlist"
    split: int = 1
    classes: list[str] | None = None

    def list_files(self, root: Path, split: str) -> list[Path]:
        """The files that decide what `read` returns."""
        folder = root / self.annotations
        return [folder / "classInd.txt", folder / f"{known_split(split)}list0{self.split}.txt"]

    def class_names(self, root: Path) -> list[str]:
        """The classes in the order of their labels."""
        index = existing(root, self.list_files(root, "train")[0])
        return chosen(list(numbered_classes(index)), self.classes, index)

    def read(self, root: Path, split: str) -> list[Video]:
        """The videos in the order of the list, whether the files exist or not. PipelineError names the list and its
        wrong line."""
        index, listing = [existing(root, path) for path in self.list_files(root, split)]
        numbers = numbered_classes(index)
        labels = {name: label for label, name in enumerate(self.class_names(root))}
        videos = []
        for number, line in numbered_lines(listing):
            where = f"{listing}, line {number}"
            path, written = self._path_and_number(line, listing, number, split)
            path = below(self.video_root(root), path, where)
            name = path.split("/", 1)[0]
            if name not in numbers:
                raise PipelineError(f"{where}: {name!r} is not a class of {index.name}. Correct the list.")
            if written not in (None, numbers[name]):
                raise PipelineError(
                    f"{where}: the number is {written}, but {index.name} gives {name!r} {numbers[name]}."
                )
            if name in labels:
                videos.append(Video(path, labels[name]))
        return videos

    def _path_and_number(self, line: str, listing: Path, number: int, split: str) -> tuple[str, int | None]:
        """The path of a line, and the class's number: train lists have it, test lists may."""
        labeled = re.fullmatch(r"(.+\.\w+)\s+(\d+)", line)
        if labeled:
            return labeled[1], int(labeled[2])
        if split == "train":
            raise PipelineError(
                f"{listing}, line {number}: expected `Class/name number`, found {line!r}. Correct the list."
            )
        return line, None

    def video_root(self, root: Path) -> Path:
        """The folder that the videos' paths are relative to."""
        return root / self.videos


def known_split(split: str) -> str:
    """`split` if it is one of SPLITS, else a PipelineError."""
    if split not in SPLITS:
        raise PipelineError(f"No split {split!r} of a data set: it is one of {', '.join(SPLITS)}.")
    return split


def existing(root: Path, path: Path) -> Path:
    """`path` if it exists, else a PipelineError: the root or the file is missing."""
    if not root.is_dir():
        raise PipelineError(f"The data set's folder {root} does not exist. Download it, or correct `root`.")
    if not path.exists():
        raise PipelineError(
            f"{path} does not exist. Unpack the data set's lists there, or correct `annotations` or `split`."
        )
    return path


def numbered_classes(index: Path) -> dict[str, int]:
    """The classes of UCF101's classInd.txt with their numbers, in the order of these; lines are `number name`.

    PipelineError: a line of another form, a class or number that is given twice, or numbers that are not 1, 2, 3, ...
    """
    numbers: dict[str, int] = {}
    for line_number, line in numbered_lines(index):
        where = f"{index}, line {line_number}"
        number, _, name = line.partition(" ") if " " in line else line.partition("\t")
        if not number.isdecimal() or not name.strip():
            raise PipelineError(f"{where}: expected `number class`, found {line!r}. Correct the list.")
        if name.strip() in numbers or int(number) in numbers.values():
            raise PipelineError(f"{where}: this class or its number is given twice. Correct the list.")
        numbers[name.strip()] = int(number)
    if sorted(numbers.values()) != list(range(1, len(numbers) + 1)):
        raise PipelineError(
            f"{index}: the numbers of {len(numbers)} classes have to be 1 to {len(numbers)}. Correct the list."
        )
    return dict(sorted(numbers.items(), key=lambda item: item[1]))


def two_words(line: str, path: Path, number: int, form: str) -> tuple[str, str]:
    """A line split at its last space. PipelineError when there is none."""
    parts = line.rsplit(maxsplit=1)
    if len(parts) != 2:
        raise PipelineError(f"{path}, line {number}: expected `{form}`, found {line!r}. Correct the list.")
    return parts[0], parts[1]


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The non-empty lines of a list with their numbers from 1; the last needs no newline, and CRLF is accepted."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PipelineError(f"{path} is not UTF-8 text ({error}). Convert it, for example with iconv.") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.strip()


def of_classes(
    listing: Path, index: Path, labels: Mapping[str, int], parts: Callable[[str, int], tuple[str, str]]
) -> Iterator[tuple[int, Video]]:
    """The lines of a list whose class has a label, with their numbers.

    parts: path and class of a line, by its text and number. Raises PipelineError for a class that is not in `index`.
    """
    known = {name for _, name in numbered_lines(index)}
    for number, line in numbered_lines(listing):
        path, name = parts(line, number)
        if name not in known:
            raise PipelineError(f"{listing}, line {number}: {name!r} is not a class of {index.name}. Correct the list.")
        if name in labels:
            yield number, Video(path, labels[name])


def chosen(names: list[str], classes: Sequence[str] | None, source: Path) -> list[str]:
    """The `classes` in the order of `names`; all names when None."""
    unknown = sorted(set(classes or ()) - set(names))
    if unknown:
        raise PipelineError(f"classes: {', '.join(unknown)} not in {source}. Known: {', '.join(names)}.")
    return names if classes is None else [name for name in names if name in classes]
