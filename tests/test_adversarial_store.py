"""The file of an adversarial set, without an attack: what is written is read, and nothing else is taken for it."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline_lib.clips import store
from pipeline_lib.clips.adversarial_store import (
    AdversarialClips,
    compressed_delta,
    eight_bit,
    enlarged,
    in_dtype,
    require_attack,
    write_adversarial,
)
from pipeline_lib.clips.seal import block_size, seal
from pipeline_lib.clips.status import Status
from pipeline_lib.clips.store import Clips
from pipeline_lib.errors import PipelineError
from readme import ROOT, example
from stores import FRAMES, SHAPE, write

LARGER = np.random.default_rng(1).integers(0, 256, (12, 2, 6, 7, 3), dtype=np.uint8)
ENTRY = {"source": "plain", "attack": {"b": 2, "a": 1}}

FLOAT_LARGER = {"margin": 1, "storage": "float32"}


@pytest.fixture
def clean(tmp_path: Path) -> Clips:
    return Clips(write(tmp_path / "clips.h5"))


def written(clean: Clips, output: Path, frames: np.ndarray, **more) -> Path:
    before = enlarged(FRAMES, more.get("margin", 0))
    chunks = [compressed_delta(new, old) for new, old in zip(frames, before, strict=True)]
    crc32 = np.array([zlib.crc32(frame.tobytes()) for frame in frames])
    write_adversarial(output, clean, chunks, crc32, ENTRY, **more)
    return output


def test_frames_of_the_same_size_and_larger_ones_come_back(clean, tmp_path):
    for margin, frames in ((0, FRAMES[::-1].copy()), (1, LARGER)):
        found = AdversarialClips(written(clean, tmp_path / f"{margin}.h5", frames, margin=margin), clean)
        assert (found.storage, found.dtype, found.margin, len(found)) == ("lattice", np.uint8, margin, 12)
        assert (found.labels is clean.labels, found.videos) == (True, clean.videos)
        assert (found.read([5, 0, 5]) == frames[[5, 0, 5]]).all()
        into = np.empty((12, *frames.shape[1:]), np.uint8)
        assert found.read(range(12), into) is into
        assert (into == frames).all()
        before = found.read_clean([3])
        assert (before == enlarged(FRAMES[[3]], margin)).all()
        place = into[:1]
        assert found.read_clean([3], place) is place
        assert (place == before).all()


def test_the_documented_reader_reads_the_same(clean, tmp_path):
    """With h5py and numpy only, from the clips of a store."""
    names: dict = {}
    block = example("python", "def read_set")
    assert len([line for line in block.splitlines() if line.strip()]) <= 15
    exec(block, names)
    with h5py.File(clean.path) as store:
        frames = store["frames"][:][store["status"][:] != Status.FAILED]
    assert f"`/status`, {Status.FAILED} for videos" in (ROOT / "docs/reference/sets.md").read_text()
    real = np.random.default_rng(2).random((12, 2, 6, 7, 3), np.float32)
    for number, (made, more) in enumerate([(FRAMES[::-1].copy(), {}), (LARGER, {"margin": 1}), (real, FLOAT_LARGER)]):
        path = written(clean, tmp_path / f"{number}.h5", made, **more)
        found = names["read_set"](path, frames)
        assert found.dtype == made.dtype
        assert (found == made).all()
        assert (AdversarialClips(path, clean).read(range(12)) == found).all()
        with pytest.raises(ValueError, match="other clips"):
            names["read_set"](path, frames[::-1])


def test_larger_frames_in_float32_too(clean, tmp_path):
    frames = np.random.default_rng(2).random((12, 2, 6, 7, 3), np.float32)
    found = AdversarialClips(written(clean, tmp_path / "set.h5", frames, margin=1, storage="float32"), clean)
    assert (found.storage, found.dtype) == ("float32", np.float32)
    into = np.empty_like(frames)
    assert found.read(range(12), into) is into
    assert into.tobytes() == frames.tobytes() == found.read(range(12)).tobytes()


def test_the_layout_can_be_read_with_hdf5_alone(clean, tmp_path):
    """The filters undo what was compressed; the difference is modulo 256."""
    with h5py.File(written(clean, tmp_path / "set.h5", FRAMES[::-1].copy())) as file:
        assert (FRAMES + file["delta"][:] == FRAMES[::-1]).all()
        assert file["delta"].chunks == (1, *SHAPE)
        assert file["crc32"].dtype == np.uint32
        assert file["crc32"][4] == zlib.crc32(FRAMES[7].tobytes())
        assert (file.attrs["clean"], file.attrs["margin"], file.attrs["format"]) == (clean.checksum, 0, 2)
        assert file.attrs["entry"] == json.dumps(ENTRY, sort_keys=True)
    levels = FRAMES.astype(np.float32) / np.float32(255)
    with h5py.File(written(clean, tmp_path / "exact.h5", levels[::-1].copy(), storage="float32")) as file:
        assert (levels.view(np.uint32) + file["delta"][:] == levels[::-1].copy().view(np.uint32)).all()


def changed(path: Path, change: Callable[[h5py.File], None]) -> None:
    """Other content under a seal that is right for it: not damage, but a file of another make."""
    stretches: list[tuple[int, int]] = []
    with h5py.File(path, "r+") as file:
        change(file)
        file["delta"].id.chunk_iter(lambda chunk: stretches.append((chunk.byte_offset, chunk.size)))
    seal(path, stretches, block_size(12))


def test_a_set_that_says_neither_storage_nor_margin_is_a_plain_one(clean, tmp_path):
    path = written(clean, tmp_path / "set.h5", FRAMES)
    changed(path, without("margin"))
    with h5py.File(path) as file:
        assert not {"storage", "margin"} & set(file.attrs)
    found = AdversarialClips(path, clean)
    assert (found.storage, found.margin) == ("lattice", 0)
    assert (found.read([1]) == FRAMES[[1]]).all()


def without(name: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file.attrs[name]

    return change


CHANGES = {
    "another storage": (lambda file: file.attrs.create("storage", "float16"), "its storage is float16"),
    "other clips": (lambda file: file.attrs.modify("clean", "0"), "made from other clean clips"),
    "no clips": (without("clean"), "made from other clean clips"),
    "not whole": (lambda file: file.attrs.modify("complete", False), "is incomplete"),
    "another format": (lambda file: file.attrs.modify("format", 99), "has format 99"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_no_whole_set_of_these_clips_is_named(clean, tmp_path, name):
    path = written(clean, tmp_path / "set.h5", FRAMES)
    change, message = CHANGES[name]
    changed(path, change)
    with pytest.raises(PipelineError, match=rf"set\.h5.* {message}"):
        AdversarialClips(path, clean)


def test_a_set_that_fails_is_not_there(clean, tmp_path):
    with pytest.raises(KeyError):
        write_adversarial(tmp_path / "set.h5", clean, [], np.zeros(12), ENTRY, storage="float16")
    assert not (tmp_path / "set.h5").exists()


def test_levels_as_floats_and_back():
    levels = np.arange(256, dtype=np.uint8)
    assert in_dtype(levels, np.dtype(np.uint8)) is levels
    into = np.empty(256, np.float32)
    assert in_dtype(levels, np.dtype(np.float32), into) is into
    assert into.dtype == in_dtype(levels, np.dtype(np.float32)).dtype == np.float32
    assert (into == levels / np.float32(255)).all()
    assert (eight_bit(into) == levels).all()
    assert eight_bit(levels) is levels
    assert eight_bit(np.array([-0.1, 0.4 / 255, 0.6 / 255, 1.2], np.float32)).tolist() == [0, 0, 1, 255]


def test_a_margin_is_black_on_each_side():
    frames = enlarged(np.full((2, 1, 3, 4, 3), 9, np.uint8), 2)
    assert frames.shape == (2, 1, 7, 8, 3)
    assert (frames[:, :, 2:5, 2:6] == 9).all()
    assert frames.sum() == 9 * 2 * 3 * 4 * 3
    assert enlarged(FRAMES, 0) is FRAMES


def test_a_set_of_another_attack_is_named_with_both_values(clean, tmp_path):
    path = written(clean, tmp_path / "set.h5", FRAMES)
    require_attack(path, {"a": 1, "b": 2})
    with pytest.raises(PipelineError, match=r"made by another attack: b is 2 in the file, 3 here$"):
        require_attack(path, {"a": 1, "b": 3})


def test_a_set_is_not_taken_for_clips(clean, tmp_path):
    path = written(clean, tmp_path / "set.h5", FRAMES)
    with pytest.raises(PipelineError, match=rf"is not {store.KIND}\. Move it away"):
        Clips(path)
