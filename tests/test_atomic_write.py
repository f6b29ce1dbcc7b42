"""A result takes the place of the old one when its bytes are on disk, not before. The folders of runs."""

import errno
import os
from pathlib import Path

import pytest

from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs import runs
from pipeline_lib.jobs.file_systems import NO_LINKS
from pipeline_lib.jobs.forcing import marked_by
from pipeline_lib.jobs.runs import atomic_write, publish, run_folder, run_folder_if_free


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


def test_folders_of_a_result_are_made(tmp_path):
    for text in ("first", "second"):
        with atomic_write(tmp_path / "a/b/out") as temporary:
            temporary.write_text(text)
        assert (tmp_path / "a/b/out").read_text() == text


@pytest.mark.parametrize(
    ("written", "free", "facts"),
    [
        ("part", 12345, r" \(the file needs 4 bytes or more; its disk has 12,345 free\)"),
        ("", 12345, r" \(its disk has 12,345 free\)"),
        ("part", None, r" \(the file needs 4 bytes or more\)"),
        ("", None, ""),
        (None, None, ""),
    ],
)
def test_a_full_disk_is_described_by_what_is_known(tmp_path, monkeypatch, written, free, facts):
    monkeypatch.setattr(runs, "free_bytes", lambda folder: free)
    expected = pytest.raises(PipelineError, match=rf"run again, finished work is kept{facts}$")
    with expected, atomic_write(tmp_path / "out") as temporary:
        if written is not None:
            temporary.write_text(written)
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_folder_of_a_run_is_only_had_if_it_is_free(tmp_path):
    with run_folder_if_free(tmp_path / "runs", "a/key") as folder:
        assert folder == tmp_path / "runs/a/key"
        assert folder.is_dir()
        with run_folder_if_free(tmp_path / "runs", "a/key") as other:
            assert other is None
    with run_folder(tmp_path / "runs", "a/key") as folder, run_folder_if_free(tmp_path / "runs", "a/key") as other:
        assert folder == tmp_path / "runs/a/key"
        assert other is None


@pytest.mark.parametrize("run", [run_folder, run_folder_if_free])
def test_the_folder_of_a_forced_run_is_emptied_but_for_its_lock(tmp_path, run):
    folder = tmp_path / "key"
    (folder / "deep").mkdir(parents=True)
    for name in ("lock", "state.pt", "deep/file"):
        (folder / name).write_text("earlier")
    (tmp_path / "mark").touch()
    number = (folder / "lock").stat().st_ino
    with marked_by(tmp_path / "mark"), run(tmp_path, "key"):
        assert [path.name for path in folder.iterdir()] == ["lock"]
        assert (folder / "lock").stat().st_ino == number
    assert not (tmp_path / "mark").exists()


def test_a_leftover_that_another_job_has_just_removed_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: iter([folder / ".out.1.tmp"]))
    with atomic_write(tmp_path / "out") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "out").read_text() == "new"
