import hashlib
import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline_lib.clips.seal import block_size, seal
from pipeline_lib.clips.status import DecodedClip, Status
from pipeline_lib.clips.store import Clips, checksum
from pipeline_lib.errors import PipelineError
from stores import CLIPS, FRAMES, SHAPE, VIDEOS, flip, offset_of, write


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write(tmp_path / "clips.h5")


def test_what_is_written_is_read(store: Path) -> None:
    clips = Clips(store)
    assert len(clips) == 12
    assert clips.shape == SHAPE
    assert clips.classes == ["ä", "b", "c"]
    assert clips.videos == [video.path for video in VIDEOS]
    assert clips.labels.tolist() == [video.label for video in VIDEOS]
    assert clips.labels.dtype == np.int64
    assert clips.index.tolist() == [[row, row + 1] for row in range(12)]
    assert (clips.read(range(12)) == FRAMES).all()


@pytest.mark.parametrize("rows", [[3], [0, 1, 2], [11, 0, 5, 6, 7, 2], [4, 4, 4], [], [7, 6, 5], list(range(12))])
def test_rows_come_in_the_order_asked_for(store: Path, rows: list[int]) -> None:
    for asked in (rows, np.array(rows, dtype=np.int64)):
        frames = Clips(store).read(asked)
        assert (frames == FRAMES[rows]).all()
        assert frames.shape == (len(rows), *SHAPE)
    Clips(store).prefetch(rows)


STRETCHES = [([3], [(3, 1)]), ([0, 1, 2, 5, 4, 5], [(0, 3), (5, 1), (4, 2)]), ([7, 7, 8], [(7, 1), (7, 2)]), ([], [])]


@pytest.mark.parametrize(("rows", "stretches"), STRETCHES)
def test_clips_that_follow_one_another_are_asked_for_at_once(store: Path, monkeypatch, rows, stretches) -> None:
    """Stretches: the first row and how many. Reading and prefetching take the same bytes."""
    clips, size = Clips(store), int(np.prod(SHAPE))
    with h5py.File(store) as file:
        begin = file["frames"].id.get_offset()
    expected = [(begin + row * size, count * size) for row, count in stretches]
    asked, read = [], []
    monkeypatch.setattr(os, "posix_fadvise", lambda _, offset, length, advice: asked.append((offset, length, advice)))
    preadv = os.preadv

    def noted(descriptor: int, buffers: list, offset: int) -> int:
        read.append((offset, len(buffers[0])))
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", noted)
    clips.prefetch(rows)
    assert asked == [(*stretch, os.POSIX_FADV_WILLNEED) for stretch in expected]
    into = np.full((len(rows), *SHAPE), 7, np.uint8)
    assert clips.read(rows, into) is into
    assert (into == FRAMES[rows]).all()
    assert read == expected


def test_a_system_that_reads_less_at_once_is_asked_again(store: Path, monkeypatch) -> None:
    """One call reads 2 GiB at most."""
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda descriptor, parts, offset: preadv(descriptor, [parts[0][:7]], offset))
    assert (Clips(store).read([4, 5, 1]) == FRAMES[[4, 5, 1]]).all()


def test_videos_that_failed_are_left_out(tmp_path: Path) -> None:
    failed = [*CLIPS[:4], replace(CLIPS[4], status=Status.FAILED), *CLIPS[5:]]
    clips = Clips(write(tmp_path / "clips.h5", failed, tolerate=[VIDEOS[4].path]))
    rest = [row for row in range(12) if row != 4]
    assert clips.videos == [VIDEOS[row].path for row in rest]
    assert clips.labels.tolist() == [VIDEOS[row].label for row in rest]
    assert clips.status.tolist() == [0] * 11
    assert clips.index[:, 0].tolist() == rest
    assert (clips.read(range(11)) == FRAMES[rest]).all()


def test_rows_beyond_the_end_are_an_error(store: Path) -> None:
    with pytest.raises(IndexError):
        Clips(store).read([12])


def test_the_layout_can_be_read_with_hdf5_alone(tmp_path: Path) -> None:
    store = write(tmp_path / "clips.h5", decoder="ffmpeg 7")
    with h5py.File(store) as file:
        assert file["frames"].chunks is None
        assert (file["frames"][:] == FRAMES).all()
        assert file["video"].asstr()[3] == VIDEOS[3].path
        assert file["message"].asstr()[:].tolist() == [""] * 12
        assert {h5py.check_string_dtype(file[name].dtype).encoding for name in ("video", "message")} == {"utf-8"}
        assert file["status"][:].tolist() == [0] * 12
        assert json.loads(file.attrs["classes"]) == ["ä", "b", "c"]
        assert json.loads(file.attrs["spec"]) == {"size": 4}
        assert file.attrs["complete"]
        assert (file.attrs["kind"], file.attrs["decoder"]) == ("a store of clips", "ffmpeg 7")
        assert set(file.attrs) == {"kind", "format", "spec", "classes", "decoder", "complete"}


def test_another_program_that_only_looks_leaves_the_store_as_it_was(store: Path) -> None:
    """Viewers of HDF5 files may open them for writing."""
    before = store.read_bytes()
    with h5py.File(store, "r+") as file:
        assert file["label"][1] == 1
    assert store.read_bytes() == before


def test_images_are_clips_of_one_frame(tmp_path: Path) -> None:
    images = FRAMES[:, :1]
    clips = [DecodedClip(image, np.zeros(1, np.int64)) for image in images]
    store = write(tmp_path / "images.h5", clips, shape=images.shape[1:])
    assert (Clips(store).read([2, 1]) == images[[2, 1]]).all()


def test_it_can_be_pickled(store: Path) -> None:
    clips = Clips(store)
    copy = pickle.loads(pickle.dumps(clips))
    assert copy.checksum == clips.checksum
    assert (copy.read([5]) == FRAMES[[5]]).all()


FORKED = """
import multiprocessing, sys
from pathlib import Path
import numpy as np
from pipeline_lib.clips.store import Clips, checksum
clips = Clips(Path(sys.argv[1]))
with multiprocessing.get_context("fork").Pool(2) as pool:
    np.save(sys.argv[2], np.concatenate(pool.map(clips.read, [[row] for row in range(12)])))
"""


def test_it_can_be_used_after_fork(store: Path, tmp_path: Path) -> None:
    """In a new process: a fork of this one would take along its threads' locks."""
    read = str(tmp_path / "read.npy")
    subprocess.run([sys.executable, "-c", FORKED, str(store), read], check=True, timeout=120)
    assert (np.load(read) == FRAMES).all()


def test_the_checksum_is_sha256_of_numbers_and_names_so_that_old_sets_fit() -> None:
    content = bytes([1, 0, 0, 0, 2, 0, 0, 0]) + bytes([5, *[0] * 7, 255, *[0] * 7]) + "a\0ä".encode()
    found = checksum(np.array([1, 2], np.uint32), np.array([5, 255]), ["a", "ä"])
    assert found == hashlib.sha256(content).hexdigest()


def test_the_checksum_is_that_of_the_content(tmp_path: Path) -> None:
    first = Clips(write(tmp_path / "first.h5")).checksum
    assert re.fullmatch(r"[0-9a-f]{64}", first)
    assert Clips(write(tmp_path / "second.h5", decoder="other", spec={"size": 5})).checksum == first
    pixel = FRAMES[3].copy()
    pixel[0, 0, 0, 0] ^= 1
    changes = [
        {"clips": [*CLIPS[:3], replace(CLIPS[3], frames=pixel), *CLIPS[4:]]},
        {"videos": [*VIDEOS[:3], replace(VIDEOS[3], label=2), *VIDEOS[4:]]},
        {"videos": [*VIDEOS[:3], replace(VIDEOS[3], path="other"), *VIDEOS[4:]]},
    ]
    others = {Clips(write(tmp_path / f"{number}.h5", **change)).checksum for number, change in enumerate(changes)}
    assert len(others | {first}) == 4


def test_a_changed_byte_is_found_and_its_video_named(store: Path) -> None:
    flip(store, offset_of(store, "frames", 7) + 83)
    clips = Clips(store)
    assert (clips.read([6, 8]) == FRAMES[[6, 8]]).all()
    with pytest.raises(PipelineError, match=rf"{store}: the clip of {VIDEOS[7].path} is damaged"):
        clips.read([6, 7, 8])


def interrupted(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["complete"] = False
    seal(path, [], block_size(1))


def of_another_version(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = 3
    seal(path, [], block_size(1))


def of_the_first_version(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["format"], file["frames"] = 1, [0]


def changed_by_others(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["label"][0] = 1


def with_another_label(path: Path) -> None:
    flip(path, offset_of(path, "label", 5))


def with_another_name(path: Path) -> None:
    flip(path, offset_of(path, "video", 2) + 1, bit=7)


def foreign(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = 1


def text(path: Path) -> None:
    path.write_text("no HDF5")


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (interrupted, "is incomplete"),
        (of_another_version, "has format 3, but this version of the code reads format 2. Move it away"),
        (of_the_first_version, "has format 1, but this version of the code reads format 2. Move it away"),
        (changed_by_others, "is damaged: its bytes changed. Delete it and run again"),
        (with_another_label, "is damaged: its bytes changed. Delete it and run again"),
        (with_another_name, "is damaged"),
        (foreign, "is not a store of clips"),
        (text, "is not an HDF5 file"),
        (cut_off, r"is truncated: [\d,]+ of [\d,]+ bytes. Delete it"),
        (Path.unlink, "does not exist"),
    ],
)
def test_an_unusable_file_is_named(store: Path, change: Callable[[Path], None], message: str) -> None:
    change(store)
    with pytest.raises(PipelineError, match=f"^{store} {message}"):
        Clips(store)


def test_a_file_cut_off_after_opening_is_named(store: Path) -> None:
    clips = Clips(store)
    os.truncate(store, 3000)
    with pytest.raises(PipelineError, match=f"{store} is truncated"):
        clips.read(range(12))
