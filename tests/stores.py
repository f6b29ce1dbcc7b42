"""A small store of random clips for the tests."""

from pathlib import Path

import numpy as np

from pipeline_lib.clips.splits import Video
from pipeline_lib.clips.status import DecodedClip
from pipeline_lib.clips.store_writer import write_store

SHAPE = (2, 4, 5, 3)
VIDEOS = [Video(f"Écriture/空手 {number}.avi", number % 3) for number in range(12)]
FRAMES = np.random.default_rng(0).integers(0, 256, (12, *SHAPE), dtype=np.uint8)
CLIPS = [DecodedClip(frames, np.arange(2) + row) for row, frames in enumerate(FRAMES)]


def write(out: Path, clips: list[DecodedClip] = CLIPS, videos: list[Video] = VIDEOS, **settings: object) -> Path:
    given = {"shape": SHAPE, "classes": ["ä", "b", "c"], "spec": {"size": 4}, **settings}
    write_store(out, videos, clips, **given)  # type: ignore[arg-type]
    return out
