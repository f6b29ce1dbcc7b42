"""Clips with the same frames under two names."""

import numpy as np
import pytest

from pipeline_lib.clips.copies import copies_between, copies_within, warn_of_copies
from pipeline_lib.clips.splits import Video
from pipeline_lib.clips.status import DecodedClip, Status
from pipeline_lib.clips.store import Clips
from pipeline_lib.clips.store_writer import write_store

SHAPE = (2, 4, 4, 3)


@pytest.fixture
def stored(tmp_path):
    """Writes a store of clips of one gray each; -1 is a clip that failed."""

    def store(name: str, **grays: int) -> Clips:
        clips = [
            DecodedClip(np.full(SHAPE, max(gray, 0), np.uint8), np.arange(2), Status.OK if gray >= 0 else Status.FAILED)
            for gray in grays.values()
        ]
        path = tmp_path / f"{name}.h5"
        videos = [Video(video, 0) for video in grays]
        write_store(path, videos, clips, shape=SHAPE, classes=["a"], spec={}, tolerate=list(grays))
        return Clips(path)

    return store


def test_copies_are_found_in_a_store_and_between_two(stored):
    train = stored("train", a=1, b=2, c=1, d=1, e=-1, f=-1)
    test = stored("test", x=3, y=2, z=-1)
    assert copies_within(train) == [("c", "a"), ("d", "a")]
    assert copies_between(test, train) == [("y", "b")]
    assert copies_within(test) == []


def test_equal_checksums_of_different_clips_are_no_copies(stored):
    one = stored("one", a=1)
    other = stored("other", b=2)
    one.crc32, read = other.crc32.copy(), one.read
    one.read = lambda rows: np.full((1, *SHAPE), 1, np.uint8)  # type: ignore[method-assign]
    assert copies_between(other, one) == []
    one.read = read  # type: ignore[method-assign]


def test_a_warning_names_them(stored, caplog, capsys):
    train = stored("train", a=1, b=2, c=1)
    warn_of_copies(train.path, train.path.with_name("test.h5"))
    test = stored("test", x=2, y=3)
    warn_of_copies(test.path, train.path)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "1 train clips have the same frames as other train clips: c = a",
        "1 test clips have the same frames as other train clips: x = b",
    ]
    assert f"Warning: {test.path}: 1 test clips have" in capsys.readouterr().err
