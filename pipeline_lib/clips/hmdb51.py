"""HMDB51's official lists."""

from pathlib import Path

from pipeline_lib.clips.listed_paths import below, entries
from pipeline_lib.clips.splits import Video, chosen, existing, known_split, numbered_lines, two_words
from pipeline_lib.entries.ranges import method
from pipeline_lib.errors import PipelineError

MARKS = {"1": "train", "2": "test", "0": "unused"}


@method
class Hmdb51:
    """HMDB51's layout: `videos/class/name.avi` and `annotations/<class>_test_split<split>.txt`.

    A line of a list is `name.avi 1` (train), `2` (test) or `0` (unused). Classes are in alphabetical order; `classes`
    keeps only these.

    videos: folder of the videos.
    annotations: folder of the lists.
    split: number of the official split, 1 to 3 (the papers: 1).
    classes: the classes to keep.
    """

    videos: str = "hmdb51_org"
    annotations: str = "testTrainMulti_7030_splits"
    split: int = 1
    classes: list[str] | None = None

    def list_files(self, root: Path, split: str) -> list[Path]:
        """The files that decide what `read` returns; the same for both splits."""
        known_split(split)
        return [root / self.annotations / f"{name}{self._ending()}" for name in self.class_names(root)]

    def class_names(self, root: Path) -> list[str]:
        """The classes in the order of their labels."""
        folder = existing(root, root / self.annotations)
        listed = (entry.name for entry in entries(folder) if entry.name.endswith(self._ending()))
        names = sorted(name.removesuffix(self._ending()) for name in listed)
        if not names:
            raise PipelineError(f"{folder} has no list *{self._ending()}. Unpack HMDB51's test_train_splits.rar there.")
        return chosen(names, self.classes, folder)

    def read(self, root: Path, split: str) -> list[Video]:
        """The videos class by class in the order of the lists. PipelineError names the list and its wrong line."""
        videos = []
        for label, (name, listing) in enumerate(zip(self.class_names(root), self.list_files(root, split), strict=True)):
            for number, line in numbered_lines(listing):
                file, mark = two_words(line, listing, number, "name.avi 0|1|2")
                if mark not in MARKS:
                    raise PipelineError(f"{listing}, line {number}: the mark is {mark!r}, not 0, 1 or 2. Correct it.")
                if MARKS[mark] == split:
                    path = below(self.video_root(root), f"{name}/{file}", f"{listing}, line {number}")
                    videos.append(Video(path, label))
        return videos

    def video_root(self, root: Path) -> Path:
        """The folder that the videos' paths are relative to."""
        return root / self.videos

    def _ending(self) -> str:
        return f"_test_split{self.split}.txt"
