"""File systems that refuse a system call give the same results; locks work on all of them and name who has them."""

import errno
import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import pytest

from pipeline_lib.clips.store import Clips
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs import file_systems, locks
from pipeline_lib.jobs.adapter import job
from pipeline_lib.jobs.file_systems import link_or_copy, reserve
from pipeline_lib.jobs.runs import run_folder
from refusing import build_library, environment
from stores import write

TESTS = Path(__file__).parent
WHOLE = """
import hashlib, logging, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from pipeline_lib.clips.store import Clips
from pipeline_lib.jobs.runs import publish, run_folder
from stores import FRAMES, write
logging.basicConfig(format="%(message)s", stream=sys.stdout)
folder = Path(sys.argv[1])
clips = Clips(write(folder / "clips.h5"))
clips.prefetch([0, 1, 5])
assert (clips.read(range(12)) == FRAMES).all()
for key in "first", "second":
    with run_folder(folder / "runs", key) as run:
        (run / "final").write_bytes(b"x" * 100_000)
        publish(run / "final", folder / key)
        assert (folder / key).read_bytes() == b"x" * 100_000
        assert key == "second" or os.stat(folder / key).st_nlink == int(sys.argv[3])
print(hashlib.sha256((folder / "clips.h5").read_bytes()).hexdigest())
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    return build_library(tmp_path_factory.mktemp("library"))


def store_and_run(folder: Path, variables: dict[str, str], links: int = 2) -> list[str]:
    command = [sys.executable, "-c", WHOLE, str(folder), str(TESTS), str(links)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


EVERYTHING = {"fallocate": errno.EOPNOTSUPP, "fadvise": errno.ENOSYS, "fsync": errno.EINVAL, "sendfile": errno.EINVAL}


@pytest.mark.parametrize(
    "refused",
    [EVERYTHING | {"link": errno.EPERM, "flock": errno.ENOLCK}, {"flock": errno.EOPNOTSUPP, "fcntl": errno.ENOLCK}],
    ids=["everything", "locks"],
)
def test_a_refused_call_changes_no_byte(tmp_path, library, refused):
    """A store, a run folder and a published result; locks of another kind are warned of once for each folder."""
    *warnings, digest = store_and_run(tmp_path, environment(library, **refused), 1 if "link" in refused else 2)
    assert digest == hashlib.sha256(write(tmp_path / "here.h5").read_bytes()).hexdigest()
    calls = [name for name in ("flock", "fcntl") if name in refused]
    assert len(warnings) == 2 * len(calls)
    assert all("this file system refuses" in line for line in warnings)


@pytest.mark.parametrize("number", [errno.EPERM, errno.EXDEV, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSPC])
def test_a_file_is_copied_where_it_cannot_have_two_names(tmp_path, monkeypatch, number):
    def refuse(*given: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "source").write_text("content")
    if number == errno.ENOSPC:  # no refusal
        with pytest.raises(OSError, match="No space"):
            link_or_copy(tmp_path / "source", tmp_path / "target")
    else:
        link_or_copy(tmp_path / "source", tmp_path / "target")
        assert (tmp_path / "target").read_text() == "content"


READ = """
import sys
from pathlib import Path
from pipeline_lib.clips.store import Clips
from pipeline_lib.errors import PipelineError
try:
    print(len(Clips(Path(sys.argv[1]))))
except PipelineError as error:
    print(error)
"""


def read_by_another(path: Path, variables: dict[str, str], **more: Any) -> str:
    command = [sys.executable, "-c", READ, str(path)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, **more)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_a_healthy_store_that_cannot_be_read_is_not_called_damaged(tmp_path, library):
    """Locked by another program, on a failing disk, without permission; without locks it is read."""
    store = write(tmp_path / "clips.h5")
    with h5py.File(store, "r+"):
        assert "is locked: another program has it open for writing" in read_by_another(store, dict(os.environ))
    assert read_by_another(store, environment(library, flock=errno.ENOLCK)) == "12"
    locking = {"HDF5_USE_FILE_LOCKING": "TRUE"}
    said = [read_by_another(store, environment(library, flock=errno.ENOLCK) | locking)]
    said += [read_by_another(store, environment(library, pread=number)) for number in (errno.EIO, errno.ESTALE)]
    expected = "without locks: set HDF5_USE", "could not be read from its disk", "is gone from its network"
    for message, words in zip(said, expected, strict=True):
        assert words in message
        assert message.startswith(str(store))
        assert "elete" not in message


@pytest.fixture
def ordinary_user() -> Iterator[None]:
    """Root may read everything: for the test it becomes nobody."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield
    if root:
        os.seteuid(0)


def test_a_store_without_permission_is_not_called_damaged(tmp_path, request):
    store = write(tmp_path / "clips.h5")
    store.chmod(0)
    request.getfixturevalue("ordinary_user")
    with pytest.raises(PipelineError, match=r"clips\.h5 may not be read by you: .*Permission denied"):
        Clips(store)


@pytest.mark.slow
def test_a_store_on_ext2_is_that_of_any_other_file_system(tmp_path):
    """glibc emulates posix_fallocate there, which needs a descriptor that is not for appending."""
    image, mounted = tmp_path / "image", tmp_path / "mounted"
    mounted.mkdir()
    image.write_bytes(b"")
    os.truncate(image, 16 << 20)
    made = [["mkfs.ext2", "-q", str(image)], ["mount", "-o", "loop", str(image), str(mounted)]]
    if os.geteuid() != 0 or any(subprocess.run(command, capture_output=True).returncode for command in made):
        pytest.skip("mounting a file system needs root")
    try:
        assert write(mounted / "clips.h5").read_bytes() == write(tmp_path / "clips.h5").read_bytes()
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def test_space_is_reserved_without_the_system_call(tmp_path, monkeypatch):
    """Holes and what is behind the end are filled, what is there stays; other errors are raised."""
    monkeypatch.setattr(file_systems, "BLOCK", 4096)

    def refuse(*given: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "refused")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.seek(70_000)
        file.write(b"content")
    before = path.read_bytes()
    reserve(path, 100_000)
    assert path.read_bytes() == before + b"\0" * (100_000 - len(before))
    assert path.stat().st_blocks * 512 >= 100_000
    reserve(path, 10)
    assert path.stat().st_size == 100_000

    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="full"):
        reserve(path, 10)


HOLDER = """
import sys
from pathlib import Path
from pipeline_lib.jobs.runs import run_folder
with run_folder(Path(sys.argv[1]), "key"):
    print("held", flush=True)
    sys.stdin.read()
"""
WAITER = """
import logging, sys
from pathlib import Path
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.locks import waiting_at_most
from pipeline_lib.jobs.runs import run_folder
logging.disable()
try:
    with waiting_at_most(float(sys.argv[2])), run_folder(Path(sys.argv[1]), "key"):
        print("taken")
except PipelineError as error:
    print(error)
"""


@pytest.mark.parametrize(
    "refused",
    [{}, {"flock": errno.ENOLCK}, {"flock": errno.ENOSYS, "fcntl": errno.ENOSYS}],
    ids=["flock", "lockf", "file"],
)
def test_whoever_waits_names_the_holder_and_gives_up_or_follows_the_killed_one(tmp_path, library, refused):
    """With each kind of lock: two jobs are never in one folder, and a killed holder leaves nothing that blocks."""
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    variables = environment(library, **refused)

    def start(code: str, *more: str) -> subprocess.Popen:
        return subprocess.Popen([sys.executable, "-c", code, str(tmp_path), *more], env=variables, **piped)

    with start(HOLDER) as holder:
        assert holder.stdout.readline() == "held\n"
        told, console = start(WAITER, "0.3").communicate()
        expected = f"process {holder.pid} on {os.uname().nodename}"
        assert f"is waiting: {expected}" in console
        assert "gave up after" in told
        assert expected in told
        assert str(tmp_path / "key/lock") in told
        follower = start(WAITER, "60")
        assert expected in follower.stderr.readline()
        holder.kill()
    assert follower.communicate()[0] == "taken\n"
    assert start(WAITER, "0").communicate() == ("taken\n", "")


def test_a_lock_that_is_a_file_outlives_only_processes_of_other_hosts(tmp_path):
    """A number that another process got since is not its holder."""
    path = tmp_path / "lock.held"
    start = locks._start_of(os.getpid())
    for content, free in [
        (f"{os.getpid()} {start} {os.uname().nodename}", False),
        (f"{os.getpid()} {int(start) - 1} {os.uname().nodename}", True),
        (f"{os.getpid()} {int(start) - 1} elsewhere", False),
        ("", False),
    ]:
        path.write_text(content)
        assert locks._try_file(path) is None
        assert path.exists() is not free
    path.unlink()
    release = locks._try_file(path)
    assert locks._try_file(path) is None
    release()
    assert list(tmp_path.iterdir()) == []


def test_errors_of_another_kind_are_raised(tmp_path, monkeypatch):
    def fail(*given: object) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(locks.fcntl, "flock", fail)
    with pytest.raises(OSError, match="broken"):
        locks.try_lock(tmp_path / "lock")


def test_a_job_waits_as_long_as_is_configured(tmp_path, capsys):
    """Told on the console, where the job's other errors are."""
    (tmp_path / "key").mkdir()
    release = locks.try_lock(tmp_path / "key/lock")
    snakemake = SimpleNamespace(
        log=[str(tmp_path / "log")], rule="train", resources={}, config={"gpu_share": 1, "lock_wait": 0.3}
    )
    with pytest.raises(SystemExit), job(snakemake), run_folder(tmp_path, "key"):
        pytest.fail("two jobs in one folder")
    release()
    waiting, error = capsys.readouterr().err.split("\n\n")
    assert f"is waiting: process {os.getpid()} on {os.uname().nodename} has the lock {tmp_path}/key/lock" in waiting
    assert re.match(r"Error in rule train: gave up after 0 s \(`lock_wait`\) of waiting: process", error)
    with job(snakemake), run_folder(tmp_path, "key"):
        pass


def test_waiting_is_announced_again_after_a_while(monkeypatch, capsys):
    monkeypatch.setattr(locks, "POLL_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(locks, "REPEAT_EVERY_SECONDS", 0.05)
    began = time.monotonic()
    with pytest.raises(PipelineError, match="gave up after 0 s .*: another has it"):
        locks.wait_for(lambda: None, lambda: "another has it", 0.2)
    assert time.monotonic() - began < 2
    assert capsys.readouterr().err.count("is waiting: another has it") > 1
