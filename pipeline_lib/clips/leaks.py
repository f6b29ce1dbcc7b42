"""Lists that leak test videos into training, or leave a class without videos, are refused."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipeline_lib.clips.splits import Lists, Video
from pipeline_lib.errors import PipelineError

NAMED = 5


def require_separate(lists: Lists, root: Path, allow_overlap: bool) -> None:
    """PipelineError for a video in both lists, one that is listed twice, or a class without training or test videos.

    With `allow_overlap` a video may be in both lists. Lists whose class declares `separate = True` are not read: their
    splits are different files, of records without names.
    """
    names = lists.class_names(root)
    if getattr(lists, "separate", False):
        return
    splits = {split: lists.read(root, split) for split in ("train", "test")}
    for split, videos in splits.items():
        _require_once(split, videos)
    _require_every_class(names, splits)
    both = sorted({video.path for video in splits["train"]} & {video.path for video in splits["test"]})
    if both and not allow_overlap:
        raise PipelineError(
            f"{_counted(both)} in the training list and in the test list: {_some(both)}. Correct the lists; or give "
            "the data set `allow_overlap: true`, which is then printed under its tables."
        )


def _require_once(split: str, videos: Sequence[Video]) -> None:
    counts = Counter(video.name for video in videos)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise PipelineError(
            f"{_counted(twice)} more than once in the {split} list: {_some(twice)}. Remove the repeated lines."
        )


def _require_every_class(names: Sequence[str], splits: dict[str, list[Video]]) -> None:
    if len(set(names)) < len(names):
        twice = [name for name, count in Counter(names).items() if count > 1]
        raise PipelineError(f"classes named more than once: {_some(twice)}. Correct the lists.")
    for split, videos in splits.items():
        found = {video.label for video in videos}
        empty = [name for label, name in enumerate(names) if label not in found]
        if empty:
            counted = "1 class has" if len(empty) == 1 else f"{len(empty)} classes have"
            raise PipelineError(
                f"{counted} no video in the {split} list: {_some(empty)}. Add some, or name the others as `classes`."
            )


def _counted(names: Sequence[str]) -> str:
    return "1 video is" if len(names) == 1 else f"{len(names)} videos are"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (" ..." if len(names) > NAMED else "")
