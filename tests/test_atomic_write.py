"""A result takes the place of the old one when its bytes are on disk, not before."""

import errno
import os
from pathlib import Path

import pytest

from pipeline_lib.jobs.file_systems import NO_LINKS
from pipeline_lib.jobs.runs import atomic_write, publish


@pytest.fixture
def calls(monkeypatch) -> list[tuple[str, int]]:
    """What is asked of the system, in order: `fsync` and `replace`, each with the number of the file (inode)."""
    found: list[tuple[str, int]] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        found.append(("fsync", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def noted_replace(source: Path, target: Path) -> Path:
        found.append(("replace", source.stat().st_ino))
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    return found


def test_the_bytes_are_on_disk_before_the_file_has_its_name(tmp_path, calls):
    (tmp_path / "out").write_text("old")
    with atomic_write(tmp_path / "out") as temporary:
        temporary.write_text("new")
        assert (tmp_path / "out").read_text() == "old"
    assert (tmp_path / "out").read_text() == "new"
    number = (tmp_path / "out").stat().st_ino
    assert calls == [("fsync", number), ("replace", number)]


def test_so_are_those_of_a_published_result(tmp_path, calls):
    (tmp_path / "final").write_text("result")
    publish(tmp_path / "final", tmp_path / "out")
    number = (tmp_path / "out").stat().st_ino
    assert calls == [("fsync", number), ("replace", number)]


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EIO])
def test_a_result_is_copied_where_it_cannot_be_linked(tmp_path, monkeypatch, number):
    """Between file systems, and on one without links; another error stays one."""

    def refuse(source: Path, target: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "final").write_text("result")
    if number not in NO_LINKS:
        with pytest.raises(OSError, match=os.strerror(number)):
            publish(tmp_path / "final", tmp_path / "out")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["final"]
        return
    publish(tmp_path / "final", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "result"
    assert (tmp_path / "out").stat().st_ino != (tmp_path / "final").stat().st_ino
