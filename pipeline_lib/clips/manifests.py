"""A data set that is one table: a CSV file or JSON lines, a row for each video or interval of one."""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from pipeline_lib.clips.listed_paths import below
from pipeline_lib.clips.shares import chosen_for_testing, group_of
from pipeline_lib.clips.splits import Video, chosen, existing, known_split, numbered_lines
from pipeline_lib.entries.ranges import Natural, OpenFraction, method
from pipeline_lib.errors import PipelineError, known

COLUMNS = ("path", "label", "split", "start", "end")
DELIMITERS = (",", "\t", ";")


@method
class Manifest:
    """A table with `path`, `label` and `split` (`train` or `test`), and, if wanted, `start` and `end` in seconds.

    With `start` or `end` the clip is taken from the frames at `start` <= time < `end`. Labels are names of classes or
    numbers; classes are in alphabetical order, or in that of the numbers if all are numbers. The first line names the
    columns, which commas, tabs or semicolons separate. JSON lines are objects with these keys.

    file: the table, below the data set's root; `.jsonl` and `.json` are JSON lines.
    videos: folder that the paths are relative to, below the root.
    columns: the table's own names of columns, e.g. `{path: filename, label: action}`.
    train: values of `split` that are for training.
    test: values of `split` that are for testing (often `val`); rows of other splits are passed over.
    test_share: share of each class that is for testing, where there is no `split`.
    seed: of that draw.
    group: as of `class_folders`: a regular expression on the path; videos of one source are never separated.
    classes: the classes to keep.
    """

    file: str = "manifest.csv"
    videos: str = "."
    columns: dict[str, str] = field(default_factory=dict)
    train: list[str] = field(default_factory=lambda: ["train"])
    test: list[str] = field(default_factory=lambda: ["test"])
    test_share: OpenFraction | None = None
    seed: Natural = 0
    group: str | None = None
    classes: list[str] | None = None

    def list_files(self, root: Path, split: str) -> list[Path]:
        """The file that decides what `read` returns."""
        known_split(split)
        return [root / self.file]

    def class_names(self, root: Path) -> list[str]:
        """The classes of all rows of both splits, in the order of their labels."""
        return self._names(root, list(self._rows(root)))

    def _names(self, root: Path, rows: list[dict[str, Any]]) -> list[str]:
        names = {row["label"] for row in rows if self._split_of(row) is not None}
        numbers = all(name.isdecimal() for name in names)
        ordered = sorted(names, key=(lambda name: (int(name), name)) if numbers else None)
        return chosen(ordered, self.classes, root / self.file)

    def read(self, root: Path, split: str) -> list[Video]:
        """The videos in the order of the table. PipelineError names its wrong line."""
        rows = list(self._rows(root))
        labels = {name: label for label, name in enumerate(self._names(root, rows))}
        rows = [row for row in rows if row["label"] in labels]
        if self.test_share is None:
            kept = [row for row in rows if self._split_of(row) == known_split(split)]
        else:
            items = [(row["path"], row["label"]) for row in rows]
            for_test = chosen_for_testing(
                items, self.test_share, self.seed, group_of(self.group) if self.group else None
            )
            kept = [row for row in rows if (row["path"] in for_test) == (known_split(split) == "test")]
        return [Video(row["path"], labels[row["label"]], row.get("start"), row.get("end")) for row in kept]

    def video_root(self, root: Path) -> Path:
        """The folder that the videos' paths are relative to."""
        return root / self.videos

    def passed_over(self, root: Path, split: str) -> list[str]:
        """The paths of the rows whose split is neither for training nor for testing."""
        return [row["path"] for row in self._rows(root) if self._split_of(row) is None]

    def _split_of(self, row: Mapping[str, Any]) -> str | None:
        if self.test_share is not None:
            return "train"
        return next((split for split in ("train", "test") if row["split"] in getattr(self, split)), None)

    def _rows(self, root: Path) -> Iterator[dict[str, Any]]:
        """The rows with their columns by their common names, checked."""
        path = existing(root, root / self.file)
        unknown = sorted(set(self.columns) - set(COLUMNS))
        if unknown:
            raise PipelineError(f"columns: unknown {', '.join(unknown)}; {known(COLUMNS, unknown[0])}")
        needed = ("path", "label") if self.test_share is not None else ("path", "label", "split")
        own = {name: self.columns.get(name, name) for name in COLUMNS}
        for number, row in _written(path):
            given = {name: row[key] for name, key in own.items() if row.get(key) not in (None, "")}
            if missing := [own[name] for name in needed if name not in given]:
                raise PipelineError(f"{path}, line {number}: no {missing[0]!r}; it has {', '.join(map(str, row))}.")
            yield self._checked(root, path, number, given)

    def _checked(self, root: Path, path: Path, number: int, given: dict[str, Any]) -> dict[str, Any]:
        texts: dict[str, Any] = {name: str(given[name]).strip() for name in ("path", "label", "split") if name in given}
        texts["path"] = below(self.video_root(root), texts["path"], f"{path}, line {number}")
        times = {
            name: _seconds(given[name], f"{path}, line {number}: {name}") for name in ("start", "end") if name in given
        }
        if times.get("start", 0) >= times.get("end", float("inf")):
            raise PipelineError(
                f"{path}, line {number}: the interval begins at {times['start']} and ends at {times['end']}."
            )
        return texts | times


def _seconds(value: Any, where: str) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        raise PipelineError(f"{where}: {value!r} is no number of seconds.") from None
    if not 0 <= seconds < float("inf"):
        raise PipelineError(f"{where}: {value!r} is no time in a video, in seconds.")
    return seconds


def _written(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and content of each row of a table."""
    if path.suffix in (".jsonl", ".json", ".ndjson"):
        yield from _json_lines(path)
        return
    lines = list(numbered_lines(path))
    if not lines:
        raise PipelineError(f"{path} is empty.")
    delimiter = max(DELIMITERS, key=lines[0][1].count)
    rows = csv.reader((line for _, line in lines), delimiter=delimiter)
    names = [name.strip() for name in next(rows)]
    for values in rows:
        number = lines[rows.line_num - 1][0]
        if len(values) != len(names):
            raise PipelineError(f"{path}, line {number}: {len(values)} values, but the first line names {len(names)}.")
        yield number, dict(zip(names, values, strict=True))


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in numbered_lines(path):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise PipelineError(f"{path}, line {number}: no JSON object on one line ({error}).") from None
        if not isinstance(row, dict):
            raise PipelineError(f"{path}, line {number}: expected an object, found {type(row).__name__}.")
        yield number, row
