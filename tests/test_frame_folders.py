"""Folders of frames become clips as videos do."""

from pathlib import Path

import numpy as np
from PIL import Image

from pipeline_lib.clips.class_folders import ClassFolders
from pipeline_lib.clips.decode import Decoding, decode_to_store
from pipeline_lib.clips.frame_folders import FrameFolders
from pipeline_lib.clips.sampling import UniformStride, Windows
from pipeline_lib.clips.status import DecodedClip, Status
from pipeline_lib.clips.store import Clips

SPEC = FrameFolders(size=8, sampling=UniformStride(frames=4))


def frames(folder: Path, *names: str, mode: str = "RGB") -> Path:
    """Images of 8 x 8 whose value is ten times their place."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(names):
        Image.new("RGB", (8, 8), (10 * place,) * 3).convert(mode).save(folder / name)
    return folder


def decoded(*folders: Path, **options: int) -> list[DecodedClip]:
    return list(SPEC.decode(folders, Decoding(**options), 1))


def test_frames_are_in_the_order_of_their_numbers(tmp_path):
    """Not in that of their names; other files are passed over."""
    folder = frames(tmp_path, *(f"img_{number}.png" for number in range(1, 13)))
    for name in (".DS_Store", "notes 3.txt", "cover.png", "._img_1.png"):
        (folder / name).touch()
    (clip,) = decoded(folder)
    assert clip.status is Status.OK
    assert clip.index.tolist() == [0, 3, 6, 9]
    assert clip.frames[:, 0, 0, 0].tolist() == [0, 30, 60, 90]
    assert clip.frames.shape == SPEC.shape == (4, 8, 8, 3)


def test_short_and_gapped_folders_have_a_status(tmp_path):
    short, gap, even = (tmp_path / name for name in ("short", "gap", "even"))
    frames(short, "1.png", "2.png", "3.png")
    frames(gap, "1.png", "2.png", "5.png", "6.png")
    frames(even, "10.png", "20.png", "30.png", "40.png")
    clips = decoded(short, gap, even)
    assert [(clip.status, clip.message) for clip in clips] == [
        (Status.SHORT, "3 frames"),
        (Status.TRUNCATED, "frame 2 is followed by 5"),
        (Status.OK, ""),
    ]
    assert clips[0].index.tolist() == [0, 1, 2, 0]


def test_what_cannot_be_decoded_fails_by_itself(tmp_path):
    frames(tmp_path / "damaged", "1.png", "2.png")
    (tmp_path / "damaged/2.png").write_bytes(b"no image")
    frames(tmp_path / "twice", "a1.png", "b1.png")
    frames(tmp_path / "gray", "1.png", mode="L")
    frames(tmp_path / "fine", "1.png")
    names = ("damaged", "empty", "twice", "gray", "fine")
    (tmp_path / "empty").mkdir()
    messages = [clip.message for clip in decoded(*(tmp_path / name for name in names))]
    assert messages[0].startswith("2.png: cannot identify image file")
    assert messages[1] == "empty has no image files with a number in their names"
    assert messages[2] == "twice: a1.png and b1.png have the same number"
    assert messages[3] == "1.png: pixels of mode L, not RGB: convert: true converts them"
    assert messages[4] == "1 frames"
    gray = FrameFolders(size=8, sampling=UniformStride(frames=1), convert=True)
    assert next(iter(gray.decode([tmp_path / "gray"], Decoding(), 1))).status is Status.OK
    assert (
        decoded(frames(tmp_path / "long", "1.png", "2.png"), max_frames=1)[0].message
        == "more than max_frames = 1 frames"
    )


def test_a_store_of_folders_of_frames(tmp_path):
    for place, name in enumerate(("train/a/x", "train/b/y", "test/a/z", "test/b/u")):
        frames(tmp_path / "data" / name, *(f"{number:05}.jpg" for number in range(place + 4)))
    lists = ClassFolders(items="folders")
    decode_to_store(tmp_path / "train.h5", tmp_path / "data", "train", lists, SPEC, Decoding(), 1)
    clips = Clips(tmp_path / "train.h5")
    assert clips.videos == ["train/a/x", "train/b/y"]
    assert clips.classes == ["a", "b"]
    assert np.abs(clips.read([1])[0, :, 0, 0, 0].astype(int) - [0, 10, 20, 30]).max() <= 2  # of JPEG
    (tmp_path / "data/train/a/x").rename(tmp_path / "data/train/a/w")
    assert SPEC.problem(tmp_path / "data/train/a/x") == ""
    (tmp_path / "file").touch()
    assert SPEC.problem(tmp_path / "file") == ": not a folder of frames"


def test_several_clips_of_each_video_have_names_of_their_own(tmp_path):
    for split, count in (("train", 9), ("test", 7)):
        for name in ("a", "b"):
            frames(tmp_path / split / "walk" / name, *(f"{number}.png" for number in range(count)))
    lists = ClassFolders(items="folders")
    decoder = FrameFolders(size=8, sampling=Windows(frames=2, clips=3))
    assert decoder.clips_per_video == 3
    for workers in (1, 4):
        store = tmp_path / f"{workers}.h5"
        decode_to_store(store, tmp_path, "test", lists, decoder, Decoding(), workers)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "4.h5").read_bytes()
    clips = Clips(tmp_path / "1.h5")
    assert clips.videos == [f"test/walk/{name}#clip={clip}" for name in ("a", "b") for clip in (1, 2, 3)]
    assert clips.labels.tolist() == [0] * 6
    shown = clips.read(range(6))[:, :, 0, 0, 0]
    assert shown.tolist() == [[0, 10], [20, 30], [40, 50]] * 2
