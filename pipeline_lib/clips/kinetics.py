"""Kinetics' official lists, of 400, 600 and 700 classes: an interval of a YouTube video for each line."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pipeline_lib.clips.listed_paths import below
from pipeline_lib.clips.splits import Video, chosen, existing, known_split, numbered_lines
from pipeline_lib.entries.ranges import method
from pipeline_lib.errors import PipelineError

COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")


@method
class Kinetics:
    """Kinetics' lists `label,youtube_id,time_start,time_end,split`; each file is one interval, cut out by a downloader.

    Test labels are not public for all versions: the validation list is tested on. Classes are in alphabetical order.

    videos: folder of the videos.
    annotations: folder of the lists.
    train: file of the training list.
    test: file of the list that is tested on.
    names: how the files below `videos` are named, from the columns, `time_start` and `time_end` in whole seconds, and
        `folder`, the label with `_` for spaces.
    missing: many videos are no longer on YouTube; `left_out` omits those without a file, and their number is logged.
    classes: the classes to keep.
    """

    videos: str = "videos"
    annotations: str = "annotations"
    train: str = "train.csv"
    test: str = "val.csv"
    names: str = "{split}/{label}/{youtube_id}_{time_start:06d}_{time_end:06d}.mp4"
    missing: Literal["refused", "left_out"] = "refused"
    classes: list[str] | None = None

    def list_files(self, root: Path, split: str) -> list[Path]:
        """The files that decide what `read` returns."""
        folder = root / self.annotations
        return [folder / self.train, folder / getattr(self, known_split(split))]

    def class_names(self, root: Path) -> list[str]:
        """The classes of the training list in alphabetical order."""
        listing = existing(root, self.list_files(root, "train")[0])
        return chosen(sorted({label for label, _ in self._rows(root, listing)}), self.classes, listing)

    def read(self, root: Path, split: str) -> list[Video]:
        """The videos in the order of the list. PipelineError names the list and its wrong line."""
        return [video for video in self._listed(root, split) if self._kept(root, video)]

    def video_root(self, root: Path) -> Path:
        """The folder that the videos' paths are relative to."""
        return root / self.videos

    def passed_over(self, root: Path, split: str) -> list[str]:
        """The listed videos that are left out because there is no file."""
        return [video.path for video in self._listed(root, split) if not self._kept(root, video)]

    def _kept(self, root: Path, video: Video) -> bool:
        return self.missing == "refused" or (self.video_root(root) / video.path).exists()

    def _listed(self, root: Path, split: str) -> list[Video]:
        listing = existing(root, self.list_files(root, split)[1])
        labels = {name: label for label, name in enumerate(self.class_names(root))}
        return [Video(path, labels[label]) for label, path in self._rows(root, listing) if label in labels]

    def _rows(self, root: Path, listing: Path) -> Iterator[tuple[str, str]]:
        """Label and path of each line."""
        lines = list(numbered_lines(listing))
        rows = csv.DictReader(line for _, line in lines)
        if missing := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
            raise PipelineError(f"{listing}, line 1: no column {missing[0]!r}; expected {', '.join(COLUMNS)}.")
        for row in rows:
            where = f"{listing}, line {lines[rows.line_num - 1][0]}"
            try:
                times = {name: round(float(row[name])) for name in ("time_start", "time_end")}
                path = self.names.format(**row | times, folder=row["label"].replace(" ", "_"))
            except (TypeError, ValueError, KeyError) as error:
                raise PipelineError(f"{where}: no name of a file by `names`: {error!r}.") from None
            yield row["label"], below(self.video_root(root), path, where)
