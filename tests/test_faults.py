"""Results are killed, moved, shared, merged and damaged: exactly the jobs that differ run, and make the same bytes.

`make faults N=200` kills and flips more often than the default.
"""

import os
import random
import re
import shutil
import signal
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
    all_jobs,
    contents,
    different,
    finish,
    jobs_in,
    output,
    start,
)
from pipeline_lib.errors import PipelineError
from pipeline_lib.provenance.comparison import Comparison
from pipeline_lib.provenance.descriptions import Identities
from pipeline_lib.provenance.records import require_recorded_bytes
from planning import copy_project
from stores import flip

pytestmark = pytest.mark.faults

MORE = int(os.environ.get("FAULTS", "0"))
KILLS, FLIPS = MORE or 5, 10 * MORE or 300
SEED = int(os.environ.get("FAULTS_SEED", "0"))


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> dict[tuple[str, ...], Path]:
    """By what is given to the configuration: a folder in which all ran, and nothing happened."""
    found = {}
    for given in ((), STRONGER):
        found[given] = tmp_path_factory.mktemp("undisturbed")
        began = time.monotonic()
        finish(found[given], given=given)
        (found[given] / "seconds").write_text(str(time.monotonic() - began))
    return found


@pytest.fixture
def whole(undisturbed) -> Path:
    return undisturbed[()]


@pytest.fixture
def stronger(undisturbed) -> Path:
    return undisturbed[STRONGER]


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


def test_kills_at_random_moments(whole, tmp_path):
    chosen, seconds, kills = random.Random(SEED), float((whole / "seconds").read_text()), 0
    while kills < KILLS:
        folder = tmp_path / f"after {kills} kills"
        while kills < KILLS:
            process = start(folder)
            try:
                process.wait(chosen.uniform(0.05, 1) * seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                finish(folder, "--unlock")
                kills += 1
                continue
            assert process.returncode == 0, output(folder)[-3000:]
            break
        else:
            finish(folder)
        assert different(folder / "results", whole / "results") == set()
        shutil.rmtree(folder)


@pytest.mark.parametrize("record", ["decode/test", "train/standard-s0", "attack/standard-s0/pgd"])
def test_killed_behind_a_record_before_snakemake_knows_of_it(whole, tmp_path, record):
    """Snakemake still marks the results as unfinished."""
    process = start(tmp_path)
    while not (tmp_path / f"results/tiny/identities/{record}.json").exists() and process.poll() is None:
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finish(tmp_path, "--unlock")
    assert f"tiny/{record}" not in finish(tmp_path)
    assert different(tmp_path / "results", whole / "results") == set()


def flip_one(path: Path, chosen: random.Random) -> tuple[int, int]:
    where = chosen.randrange(path.stat().st_size), chosen.randrange(8)
    flip(path, *where)
    return where


def test_every_flipped_bit_is_seen_by_the_plan_and_by_the_jobs_that_read_the_file(whole, tmp_path):
    results = Path(shutil.copytree(whole / "results", tmp_path / "results"))
    jobs, every = all_jobs(results)
    identities, chosen = Identities(jobs.maker), random.Random(SEED)
    files = sorted({path for job in every for path in [job.record, *job.outputs.values()] if Path(path).is_file()})
    readers = {path: [job for job in every for paths in job.input_files().values() if path in paths] for path in files}
    plain = {job.record: identities.plain(job, str(results)) for job in every}
    for _ in range(FLIPS):
        path = chosen.choice(files)
        where = flip_one(Path(path), chosen)
        found = {job.record for job in every if Comparison(str(results), identities).difference(job)}
        assert any(path in (record, *job.outputs.values()) for job in every if (record := job.record) in found), path
        for job in readers[path]:
            with pytest.raises(PipelineError, match=f"{path} is not the file that .* describes.* Run again"):
                require_recorded_bytes(plain[job.record], results)
        flip(Path(path), *where)
    assert not [job for job in every if Comparison(str(results), identities).difference(job)]


@pytest.mark.parametrize("ending", [".h5", ".pt", ".csv", ".json", ".md"])
def test_damaged_files_are_made_again_by_the_next_run(whole, tmp_path, ending):
    """One bit in every file of a kind, in place: also in what hard links share."""
    folder, chosen = tmp_path / "damaged", random.Random(SEED)
    subprocess.run(["cp", "-a", str(whole), str(folder)], check=True)
    hit = [folder / "results" / name for name in contents(folder / "results") if name.endswith(ending)]
    hit += [path for path in folder.glob("results/**/identities/**/*.json") if ending == ".json"]
    for path in hit:
        flip_one(path, chosen)
    assert hit
    assert finish(folder)
    assert different(folder / "results", whole / "results") == set()
    assert finish(folder) == set()
