"""Bits of results flipped at random: the plan and the jobs that read the file see each, and the next run repairs it.

`make faults N=200` flips 2,000.
"""

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from faulty import FLIPS, SEED, all_jobs, contents, different, finish
from pipeline_lib.errors import PipelineError
from pipeline_lib.provenance.comparison import Comparison
from pipeline_lib.provenance.descriptions import Identities
from pipeline_lib.provenance.records import require_recorded_bytes
from stores import flip

pytestmark = pytest.mark.faults


def flip_one(path: Path, chosen: random.Random) -> tuple[int, int]:
    where = chosen.randrange(path.stat().st_size), chosen.randrange(8)
    flip(path, *where)
    return where


def test_every_flipped_bit_is_seen_by_the_plan_and_by_the_jobs_that_read_the_file(whole, tmp_path, capfd):
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
    with capfd.disabled():
        print(f" seed {SEED}: {FLIPS} bits flipped in {len(files)} files, all seen", flush=True)


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
