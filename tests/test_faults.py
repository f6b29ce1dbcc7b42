"""Results are moved, shared and merged: exactly the jobs that differ run, and make the same bytes."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from faulty import (
    STRONGER,
    THAT_DIFFER,
    different,
    finish,
    jobs_in,
    output,
    start,
)
from planning import copy_project

pytestmark = pytest.mark.faults


def copied(*options: str) -> Callable[[Path, Path], None]:
    def copy(source: Path, target: Path) -> None:
        subprocess.run(["cp", *options, str(source), str(target)], check=True)

    return copy


def without_snakemakes_folder(source: Path, target: Path) -> None:
    shutil.copytree(source, target)
    shutil.rmtree(target / ".snakemake")


def results_only(source: Path, target: Path) -> None:
    shutil.copytree(source / "results", target / "results")


def of_the_future(source: Path, target: Path) -> None:
    """As after the clock was set back: every second file is a year older than now, the others are of the future."""
    shutil.copytree(source, target)
    for number, path in enumerate(sorted((target / "results").rglob("*"))):
        when = time.time() + (365 * 86400 if number % 2 else -365 * 86400)
        os.utime(path, (when, when))


WAYS = {
    "cp -a": copied("-a"),
    "cp -r": copied("-r"),
    "without .snakemake": without_snakemakes_folder,
    "results only": results_only,
    "clock set back": of_the_future,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_moved_folder_of_results_is_what_it_was(undisturbed, tmp_path, way):
    WAYS[way](undisturbed[()], tmp_path / "moved")
    assert finish(tmp_path / "moved") == set()
    assert finish(tmp_path / "moved", given=STRONGER) == THAT_DIFFER
    assert different(tmp_path / "moved/results", undisturbed[STRONGER] / "results") == set()


def test_another_clone_uses_the_results_whatever_the_times_of_its_own_files(whole, stronger, tmp_path):
    clone, next_year = copy_project(tmp_path), time.time() + 365 * 86400
    for printed in clone.glob("resources/paper/*.csv"):  # input files that no job makes
        os.utime(printed, (next_year, next_year))
    shutil.copytree(whole / "results", clone / "results")
    assert finish(clone, clone=clone) == set()
    assert finish(clone, clone=clone, given=STRONGER) == THAT_DIFFER
    assert different(clone / "results", stronger / "results") == set()


def test_another_user_uses_a_copy_of_the_results(whole, stronger):
    folder = Path(tempfile.gettempdir()) / f"faults-{os.getpid()}"
    # May read everything, as Python and this clone may be in root's home folder, and write only what is its own.
    may_read = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    become = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *may_read, "env", f"HOME={folder}")
    python = [*become, sys.executable, "-c", "import pipeline_lib, snakemake"]
    if os.getuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("becoming another user needs root and setpriv")
    if subprocess.run(python, capture_output=True).returncode:
        pytest.skip("another user cannot run this Python")
    try:
        shutil.copytree(whole, folder)
        subprocess.run(["chown", "-R", "65534:65534", str(folder)], check=True)
        assert finish(folder, before=become) == set()
        assert finish(folder, before=become, given=STRONGER) == THAT_DIFFER
        assert different(folder / "results", stronger / "results") == set()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_two_clones_share_results_in_turn(undisturbed, tmp_path):
    """The fault of the first versions: "Nothing to be done", and the other clone's numbers."""
    shared = str(shutil.copytree(undisturbed[()] / "results", tmp_path / "shared/results"))
    clones = {(): tmp_path / "one", STRONGER: tmp_path / "other"}
    for given in (STRONGER, (), STRONGER):
        assert finish(clones[given], given=given, results=shared) == THAT_DIFFER
        assert different(Path(shared), undisturbed[given] / "results") == set()
        assert finish(clones[given], given=given, results=shared) == set()


def test_of_two_clones_at_once_the_second_waits(undisturbed, tmp_path):
    shared = str(shutil.copytree(undisturbed[()] / "results", tmp_path / "shared/results"))
    first = start(tmp_path / "one", given=STRONGER, results=shared)
    while not jobs_in(output(tmp_path / "one")) and first.poll() is None:
        time.sleep(0.05)
    impatient = start(tmp_path / "impatient", given=("lock_wait=0",), results=shared)
    second = start(tmp_path / "two", results=shared)
    assert impatient.wait(120) == 1
    *_, planning, refused = output(tmp_path / "impatient").splitlines()
    assert planning == "Building DAG of jobs..."
    assert re.fullmatch(rf"gave up .*: process {first.pid} on \S+ makes results in .* run again", refused)
    assert (first.wait(300), second.wait(300)) == (0, 0)
    assert jobs_in(output(tmp_path / "two")) == THAT_DIFFER
    assert different(Path(shared), undisturbed[()] / "results") == set()


@pytest.mark.parametrize("part", ["results", "results/tiny", "results/tiny/predictions", "results/tiny/identities"])
def test_results_that_are_copied_over_others_are_never_mixed(undisturbed, tmp_path, part):
    merged, other = tmp_path / "merged", undisturbed[STRONGER]
    shutil.copytree(undisturbed[()], merged)
    shutil.copytree(other / part, merged / part, dirs_exist_ok=True)
    assert finish(merged) <= THAT_DIFFER
    assert different(merged / "results", undisturbed[()] / "results") == set()
    assert finish(merged) == set()


def test_a_file_made_again_alone_has_its_former_bytes(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "again")
    names = ["clips/test.h5", "models/standard-s0.pt", "models/standard-s0.csv", "adversarial/standard-s0/pgd.h5"]
    names += ["adversarial/standard-s0/pgd.audit.csv", "predictions/standard-s0/clean.csv"]
    names += ["adversarial/standard-s0/universal.learned.pt"]
    files = tuple(f"tiny/{name}" for name in names)
    for name in files:
        (tmp_path / "again/results" / name).unlink()
    shutil.rmtree(tmp_path / "again/results/.runs")
    finish(tmp_path / "again", files=files)
    assert finish(tmp_path / "again") == set()
    assert different(tmp_path / "again/results", whole / "results") == set()
