"""Numbers of clips and classes of data sets, read from their lists or entries, else assumed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline_lib.entries.building import build
from pipeline_lib.entries.facts import field_named_by, known_value, target_of

# Official lists: training and test clips, classes.
OFFICIAL = {
    "pipeline_lib.clips.splits:Ucf101": (9537, 3783, 101),
    "pipeline_lib.clips.hmdb51:Hmdb51": (3570, 1530, 51),
    "pipeline_lib.clips.image_lists:Cifar10": (50_000, 10_000, 10),
}
# The size of the larger data sets of videos.
ASSUMED = (10_000, 4_000, 100)
EMBEDDED_CLASSES = 6


class Numbers(NamedTuple):
    """train, test: clips of each split. source: where the numbers are from, one word."""

    train: int
    test: int
    classes: int
    source: str

    def of(self, split: str) -> int:
        return self.train if split == "train" else self.test


def numbers_of(entry: Mapping[str, Any]) -> Numbers:
    """The numbers of a data set's resolved entry."""
    return clips_of(entry, _videos_of(entry))


def clips_of(entry: Mapping[str, Any], videos: Numbers) -> Numbers:
    """The numbers of clips, from those of videos."""
    clips = clips_by_video(entry)
    return videos._replace(train=videos.train * clips, test=videos.test * clips)


def clips_by_video(entry: Mapping[str, Any]) -> int:
    """How many clips a data set takes of each video or image: 1, except for some samplings."""
    return field_named_by(entry["sampling"], "clips_by") or 1 if "sampling" in entry else 1


def frames_by_clip(entry: Mapping[str, Any]) -> int:
    """Frames of a data set's clips; images have one."""
    return entry["sampling"]["frames"] if "sampling" in entry else 1


def class_names(entry: Mapping[str, Any]) -> list[str] | None:
    """The names of a data set's classes in their order; None if they are not known before it is made."""
    if "root" in entry:
        try:
            return [*build(entry["lists"]).class_names(Path(entry["root"]))]
        except Exception:  # lists of the user may raise anything; the workflow reports it
            return None
    return [*(known_value(entry["render"], "classes") or ())] if "render" in entry else None


def _videos_of(entry: Mapping[str, Any]) -> Numbers:
    """The numbers of videos or images."""
    if "root" in entry:
        try:
            lists, root = build(entry["lists"]), Path(entry["root"])
            train, test = (len(lists.read(root, split)) for split in ("train", "test"))
            return Numbers(train, test, len(lists.class_names(root)), "lists")
        except Exception:  # lists of the user may raise anything; the workflow reports it
            return official_numbers(entry["lists"])
    if "render" in entry:
        return _rendered(entry["render"])
    return official_numbers(entry["lists"])


def official_numbers(lists: Mapping[str, Any]) -> Numbers:
    """The numbers of a data set whose lists cannot be read."""
    official = OFFICIAL.get(target_of(lists))
    train, test, classes = official or ASSUMED
    chosen = known_value(lists, "classes") if official else None
    share = len(chosen) / classes if chosen else 1
    limits = [known_value(lists, f"{split}_images") if official else None for split in ("train", "test")]
    train, test = (
        min(round(count * share), limit or count) for count, limit in zip((train, test), limits, strict=True)
    )
    return Numbers(train, test, round(classes * share), "official" if official else "assumed")


def _rendered(entry: Mapping[str, Any]) -> Numbers:
    classes = len(known_value(entry, "classes") or ()) or EMBEDDED_CLASSES
    train, test = (known_value(entry, f"{split}_per_class") for split in ("train", "test"))
    if train is None or test is None:
        return Numbers(*ASSUMED, "assumed")
    return Numbers(int(train) * classes, int(test) * classes, classes, "entry")
