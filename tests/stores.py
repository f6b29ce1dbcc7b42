"""A small store of random clips for the tests."""

from pathlib import Path

import h5py
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


def flip(path: Path, offset: int, bit: int = 0) -> None:
    """Change one bit of a file, as a failing disk does."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ (1 << bit)]))


def offset_of(path: Path, name: str, row: int) -> int:
    """Where in a file the row of a data set begins, contiguous or with a chunk for each row."""
    with h5py.File(path) as file:
        data = file[name]
        if data.chunks:
            return int(data.id.get_chunk_info_by_coord((row, *[0] * (data.ndim - 1))).byte_offset)
        return int(data.id.get_offset()) + row * data.dtype.itemsize * int(np.prod(data.shape[1:]))
