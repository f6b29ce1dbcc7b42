"""What jobs asked for and used: measured by the job itself, and a table of all of them."""

import csv
import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline_lib.jobs.used import COLUMNS, measured, peak_mb, write_table


def job(log: Path, **resources: int) -> SimpleNamespace:
    log.parent.mkdir(parents=True, exist_ok=True)
    return SimpleNamespace(rule="train", threads=2, resources=resources, log=[str(log)])


def table(results: Path) -> list[dict[str, str]]:
    with (results / "logs/used.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_jobs_memory_and_time_are_beside_its_log_and_in_the_table(tmp_path):
    with measured(job(tmp_path / "tiny/logs/train/a-s0.log", mem_mb=4000, runtime=30)):
        pass
    with measured(job(tmp_path / "logs/audit.log")):
        pass
    write_table(tmp_path)
    audit, train = table(tmp_path)
    assert tuple(train) == COLUMNS
    assert (train["job"], train["rule"], train["threads"]) == ("tiny/train/a-s0", "train", "2")
    assert (train["asked_mb"], train["asked_minutes"]) == ("4000", "30")
    assert float(train["asked_by_used"]) == pytest.approx(4000 / float(train["peak_mb"]), abs=0.01)
    assert 10 < float(train["peak_mb"]) <= peak_mb() + 1
    assert 0 <= float(train["seconds"]) < 60
    assert 0 <= float(train["cpu_seconds"]) < 60
    assert (audit["job"], audit["asked_mb"], audit["asked_by_used"]) == ("audit", "", "")


def test_the_peak_contains_what_was_in_use_for_a_moment():
    code = "from pipeline_lib.jobs.used import peak_mb; before = peak_mb(); used = b'x' * 80_000_000; del used; "
    code += "print(peak_mb() - before)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 75 < float(found) < 85


def test_a_failed_job_leaves_nothing_and_damaged_files_are_left_out(tmp_path):
    with pytest.raises(ValueError, match="wrong"), measured(job(tmp_path / "logs/a.log")):
        raise ValueError("wrong")
    write_table(tmp_path)
    assert list((tmp_path / "logs").iterdir()) == []
    (tmp_path / "logs/b.used.json").write_text("{")
    (tmp_path / "logs/c.used.json").write_text(json.dumps({"rule": "c", "peak_mb": 0, "asked_mb": 3}))
    with measured(job(tmp_path / "logs/d.log")):
        pass
    write_table(tmp_path)
    assert [row["job"] for row in table(tmp_path)] == ["d"]


def test_a_result_is_not_lost_where_nothing_can_be_written(tmp_path):
    with measured(SimpleNamespace(rule="train", log=[str(tmp_path / "nowhere/a.log")])):
        pass
    assert list(tmp_path.iterdir()) == []


def test_cpu_time_is_that_of_the_job_and_of_its_processes(tmp_path):
    code = "import time\nwhile time.process_time() < 0.4: pass"
    with measured(job(tmp_path / "logs/a.log")):
        subprocess.run([sys.executable, "-c", code], check=True)
        time.sleep(0.5)
    facts = json.loads((tmp_path / "logs/a.used.json").read_text())
    assert 0.3 < facts["cpu_seconds"] < facts["seconds"]
