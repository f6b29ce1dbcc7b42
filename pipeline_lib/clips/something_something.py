"""Something-Something's official lists: version 2 of videos, version 1 of folders of frames."""

import json
from pathlib import Path
from typing import Any

from pipeline_lib.clips.splits import Video, chosen, existing, known_split, numbered_lines, of_classes
from pipeline_lib.entries.ranges import method
from pipeline_lib.errors import PipelineError

# The labels of the test list are not public: the validation list is tested on.
LISTS = {"train": "train", "test": "validation"}


@method
class SomethingSomethingV2:
    """Something-Something V2: `labels.json`, `train.json`, and `validation.json`, which is tested on.

    A video is `<id>.webm`.

    videos: folder of the videos.
    annotations: folder of the lists.
    prefix: what the lists' names begin with; empty for the files of the newer archive.
    classes: the classes (templates without brackets) to keep.
    """

    videos: str = "20bn-something-something-v2"
    annotations: str = "labels"
    prefix: str = ""
    classes: list[str] | None = None

    def list_files(self, root: Path, split: str) -> list[Path]:
        """The files that decide what `read` returns."""
        names = ("labels", LISTS[known_split(split)])
        return [root / self.annotations / f"{self.prefix}{name}.json" for name in names]

    def class_names(self, root: Path) -> list[str]:
        """The classes in the order of their official numbers."""
        index = self.list_files(root, "train")[0]
        numbers = _loaded(root, index, dict)
        if sorted(map(str, numbers.values())) != sorted(map(str, range(len(numbers)))):
            raise PipelineError(f"{index}: the numbers of {len(numbers)} classes have to be 0 to {len(numbers) - 1}.")
        return chosen(sorted(numbers, key=lambda name: int(numbers[name])), self.classes, index)

    def read(self, root: Path, split: str) -> list[Video]:
        """The videos in the order of the list. PipelineError names the list and its wrong entry."""
        index, listing = self.list_files(root, split)
        known, labels = _loaded(root, index, dict), {name: i for i, name in enumerate(self.class_names(root))}
        videos = []
        for number, row in enumerate(_loaded(root, listing, list), start=1):
            try:
                path, name = f"{row['id']}.webm", row["template"].replace("[", "").replace("]", "")
            except (TypeError, KeyError, AttributeError):
                raise PipelineError(f"{listing}, entry {number}: expected `id` and `template`.") from None
            if name not in known:
                raise PipelineError(f"{listing}, entry {number}: {name!r} is not a class of {index.name}.")
            if name in labels:
                videos.append(Video(path, labels[name]))
        return videos

    def video_root(self, root: Path) -> Path:
        """The folder that the videos' paths are relative to."""
        return root / self.videos


@method
class SomethingSomethingV1:
    """Something-Something V1: a folder of frames for each video (`decoder: frame_folders`).

    Its lists are `labels.csv`, a class per line, and `train.csv` and `validation.csv` (tested on), lines `id;class`.

    videos: folder of the folders of frames.
    annotations: folder of the lists.
    prefix: what the lists' names begin with.
    classes: the classes to keep.
    """

    videos: str = "20bn-something-something-v1"
    annotations: str = "."
    prefix: str = "something-something-v1-"
    classes: list[str] | None = None

    def list_files(self, root: Path, split: str) -> list[Path]:
        """The files that decide what `read` returns."""
        names = ("labels", LISTS[known_split(split)])
        return [root / self.annotations / f"{self.prefix}{name}.csv" for name in names]

    def class_names(self, root: Path) -> list[str]:
        """The classes in the order of labels.csv."""
        index = existing(root, self.list_files(root, "train")[0])
        return chosen([name for _, name in numbered_lines(index)], self.classes, index)

    def read(self, root: Path, split: str) -> list[Video]:
        """The folders of frames in the order of the list. PipelineError names the list and its wrong line."""
        index, listing = [existing(root, path) for path in self.list_files(root, split)]
        labels = {name: label for label, name in enumerate(self.class_names(root))}
        return [video for _, video in of_classes(listing, index, labels, _id_and_class)]

    def video_root(self, root: Path) -> Path:
        """The folder that the folders of frames are in."""
        return root / self.videos


def _id_and_class(line: str, _: int) -> tuple[str, str]:
    path, name = line.partition(";")[::2]
    return path, name


def _loaded(root: Path, path: Path, kind: type) -> Any:
    """The content of a JSON file that holds an object (`dict`) or a list. PipelineError if it does not."""
    try:
        content = json.loads(existing(root, path).read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise PipelineError(f"{path} is no JSON file ({error}).") from None
    if not isinstance(content, kind):
        raise PipelineError(f"{path}: expected a JSON {'object' if kind is dict else 'list'}.")
    return content
