"""A data set that is a folder of class folders."""

from pathlib import Path
from typing import Literal

from pipeline_lib.clips.listed_paths import entries, junk_below, paths_below
from pipeline_lib.clips.shares import chosen_for_testing, group_of
from pipeline_lib.clips.splits import Video, chosen, known_split
from pipeline_lib.entries.ranges import Natural, OpenFraction, method
from pipeline_lib.errors import PipelineError


@method
class ClassFolders:
    """Videos or images in folders named as their classes: `train/<class>/...` and `test/<class>/...`.

    With `test_share` there is one level, `<class>/...`, and the videos of each class are split by a draw. Classes are
    in alphabetical order. Hidden files, `Thumbs.db` and the like are passed over.

    folder: where the folders are, below the data set's root.
    train: name of the folder of training videos.
    test: name of the folder of test videos (often `val`).
    test_share: share of each class that is for testing, in place of the two folders.
    seed: of that draw.
    group: regular expression on the path below `folder`; videos in which it matches the same (its parentheses, if it
        has any) have one source, and are never separated. `_(g[0-9]+)_` is UCF101's.
    classes: the classes to keep.
    items: `files`, or `folders`: each folder in a class folder is one item, of frames (`decoder: frame_folders`).
    """

    folder: str = "."
    train: str = "train"
    test: str = "test"
    test_share: OpenFraction | None = None
    seed: Natural = 0
    group: str | None = None
    classes: list[str] | None = None
    items: Literal["files", "folders"] = "files"

    def list_files(self, root: Path, split: str) -> list[Path]:
        """None: the names of the files decide what `read` returns."""
        known_split(split)
        return []

    def class_names(self, root: Path) -> list[str]:
        """The class folders of both splits in alphabetical order."""
        names = sorted({entry.name for folder in self._folders(root) for entry in entries(folder) if entry.is_dir()})
        if not names:
            raise PipelineError(f"{self._folders(root)[0]} has no folders: give each class one.")
        return chosen(names, self.classes, root / self.folder)

    def read(self, root: Path, split: str) -> list[Video]:
        """The videos class by class, in the order of their paths."""
        labels = {name: label for label, name in enumerate(self.class_names(root))}
        if self.test_share is None:
            below = getattr(self, known_split(split))
            return [Video(path, labels[name]) for path, name in self._items(root, f"{below}/", list(labels))]
        found = list(self._items(root, "", list(labels)))
        for_test = chosen_for_testing(found, self.test_share, self.seed, group_of(self.group) if self.group else None)
        return [
            Video(path, labels[name]) for path, name in found if (path in for_test) == (known_split(split) == "test")
        ]

    def video_root(self, root: Path) -> Path:
        """The folder that the videos' paths are relative to."""
        return root / self.folder

    def passed_over(self, root: Path, split: str) -> list[str]:
        """The paths of hidden files and the like below the folder of videos."""
        return list(junk_below(root / self.folder))

    def _folders(self, root: Path) -> list[Path]:
        top = root / self.folder
        if not top.is_dir():
            raise PipelineError(f"The data set's folder {top} does not exist. Correct `root` or `folder`.")
        if self.test_share is not None:
            return [top]
        missing = [name for name in (self.train, self.test) if not (top / name).is_dir()]
        if missing:
            raise PipelineError(
                f"{top} has no folder {missing[0]!r}. Name the folders of the splits as `train` and `test` of `lists`, "
                "or give a `test_share` if its folders are the classes."
            )
        return [top / self.train, top / self.test]

    def _items(self, root: Path, below: str, names: list[str]) -> list[tuple[str, str]]:
        """Path and class of every item in the folders of these classes."""
        found = []
        for name in names:
            folder = root / self.folder / below / name
            if not folder.is_dir():
                continue
            if self.items == "files":
                paths = list(paths_below(folder))
            else:
                paths = [entry.name for entry in entries(folder) if entry.is_dir()]
            found += [(f"{below}{name}/{path}", name) for path in paths]
        return found
