"""Files of a list that cannot be read, and names that are unusual: each is one failure, or none."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline_lib.clips.decode import Decoding, decode_to_store
from pipeline_lib.clips.splits import Video
from pipeline_lib.clips.store import Clips
from pipeline_lib.errors import PipelineError
from videos import B_FRAMES, H264, SPEC, decode, encode


class Listed:
    """One video and two parts of it, all of class 0."""

    def __init__(self, items: list[Video]) -> None:
        self.items = items

    def read(self, root: Path, split: str) -> list[Video]:
        return self.items

    def class_names(self, root: Path) -> list[str]:
        return ["one"]

    def video_root(self, root: Path) -> Path:
        return root


def stored(root: Path, items: list[Video], **decoding: object) -> Clips:
    decode_to_store(root / "s.h5", root, "train", Listed(items), SPEC, Decoding(**decoding), 1)  # type: ignore[arg-type]
    return Clips(root / "s.h5")


def test_parts_of_a_video_have_names_of_their_own(tmp_path: Path) -> None:
    encode(tmp_path / "a.mkv", *H264, frames=50)
    clips = stored(tmp_path, [Video("a.mkv", 0), Video("a.mkv", 0, 0.4, 1.2), Video("a.mkv", 0, 1.0)])
    assert clips.videos == ["a.mkv", "a.mkv#t=0.4,1.2", "a.mkv#t=1"]


def broken_disk(path: Path) -> None:
    path.symlink_to("/proc/self/mem")  # reading its first byte is an input/output error


def vanished(path: Path) -> None:
    path.symlink_to("nothing")


UNREADABLE: list[tuple[Callable[[Path], None], str]] = [
    (broken_disk, "the file cannot be read (Input/output error)"),
    (vanished, "the file does not exist"),
    (Path.mkdir, "not a regular file"),
]


@pytest.mark.parametrize(("make", "message"), UNREADABLE, ids=["disk", "vanished", "folder"])
def test_a_file_that_cannot_be_read_is_one_failure(tmp_path: Path, make: Callable, message: str) -> None:
    good = encode(tmp_path / "good.avi", *B_FRAMES)
    make(tmp_path / "bad.avi")
    clips = decode(good, tmp_path / "bad.avi", good)
    assert [clip.status.name for clip in clips] == ["OK", "FAILED", "OK"]
    assert clips[1].message == message


def test_a_file_without_permission_is_one_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`os.open` refuses, as for a user without CAP_DAC_OVERRIDE."""
    encode(tmp_path / "good.avi", *B_FRAMES)
    bad = encode(tmp_path / "bad.avi", *B_FRAMES)
    bad.chmod(0)
    open_file = os.open

    def refusing(path: object, *rest: object, **more: object) -> int:
        if path == bad:
            raise PermissionError(13, "Permission denied", str(path))
        return open_file(path, *rest, **more)  # type: ignore[arg-type,call-overload,no-any-return]

    monkeypatch.setattr(os, "open", refusing)
    items = [Video("good.avi", 0), Video("bad.avi", 0)]
    with pytest.raises(
        PipelineError, match=r"bad\.avi: (the file cannot be read|you may not read it) \(Permission denied\)"
    ):
        stored(tmp_path, items)
    assert stored(tmp_path, items, tolerate=["bad.avi"]).videos == ["good.avi"]


def test_all_that_cannot_be_used_is_told_together(tmp_path: Path) -> None:
    (tmp_path / "empty.avi").touch()
    (tmp_path / "folder.avi").mkdir()
    items = [Video(f"{name}.avi", 0) for name in ("missing", "empty", "folder")]
    expected = (
        r"3 of the 3 files in the train list cannot be used .*\n  missing.avi\n  empty.avi: empty\n  folder.avi: not a"
    )
    with pytest.raises(PipelineError, match=expected):
        stored(tmp_path, items)


def test_a_file_that_vanishes_after_decoding_is_one_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = encode(tmp_path / "good.avi", *B_FRAMES), encode(tmp_path / "bad.avi", *B_FRAMES)
    from pipeline_lib.clips import videos

    def vanishing(path: Path, count: int) -> str:
        bad.unlink(missing_ok=True)
        return missing(path, count)

    missing = videos.missing
    monkeypatch.setattr(videos, "missing", vanishing)
    clips = decode(good, bad)
    assert [clip.status.name for clip in clips] == ["OK", "FAILED"]
    assert clips[1].message == "the file cannot be read (No such file or directory)"


@pytest.mark.parametrize("name", ["{a} 'b' \"c\" %d %%", b"caf\xe9 \xff".decode("utf-8", "surrogateescape")])
def test_the_root_may_have_any_name(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    root.mkdir()
    encode(root / "good.avi", *B_FRAMES)
    (root / "bad.avi").write_text("text")
    items = [Video("good.avi", 0), Video("bad.avi", 0)]
    with pytest.raises(PipelineError, match="bad.avi: "):
        stored(root, items)
    assert stored(root, items, tolerate=["bad.avi"]).videos == ["good.avi"]


def test_a_name_that_is_not_utf8_is_stored_as_text(tmp_path: Path) -> None:
    name = b"caf\xe9.avi".decode("utf-8", "surrogateescape")
    encode(tmp_path / name, *B_FRAMES)
    assert stored(tmp_path, [Video(name, 0)]).videos == ["caf\\udce9.avi"]
