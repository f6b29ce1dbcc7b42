"""The check of a model by the workflow: made where it is asked for, and again when threat, model or clips change."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from configured import changed, resolved
from pipeline_lib.errors import PipelineError
from planning import ROOT, execute

PAGE = "results/synthetic/checks/at_pgd-s0.html"
CHECK = ("check", "synthetic", "at_pgd-s0")


def planned(project: Path, config: dict | None = None, page: str = PAGE) -> dict:
    return execute(project, config, targets={page})


def test_a_check_takes_a_trained_model_its_test_clips_and_a_threat(finished_project):
    jobs = planned(finished_project)
    assert set(jobs) == {CHECK}  # what it needs is made, and `all` does not contain it: no plan of `all` has this rule
    job = jobs[CHECK]
    assert [path for path, _ in job.outputs] == [PAGE.replace("html", ending) for ending in ("html", "md", "json")]
    inputs = {name: [file["path"] for file in files] for name, files in job.identity["inputs"].items()}
    assert inputs == {"clips": ["synthetic/clips/test.h5"], "weights": ["synthetic/models/at_pgd-s0.pt"]}
    given = {"threat": "linf:8/255", "budget": 10, "clips": 100, "seed": 0}
    assert job.identity["settings"] == {"branch": None, "check": given}
    other = planned(finished_project, {"check": {"threat": "l2:1.5"}})[CHECK]
    assert other.identity["settings"]["check"] == given | {"threat": "l2:1.5"}
    assert other.identity["identity"] != job.identity["identity"]


def test_a_check_of_one_branch(finished_project):
    page = "results/synthetic/checks/multibn-s0-lp.md"
    jobs = planned(finished_project, page=page)
    assert jobs["check", "synthetic", "multibn-s0-lp"].params["branch"] == "lp"


@pytest.mark.parametrize("threat", ["8/255", "linf", "linf:a", "rectangle:3", "linf:8/255 ", "border:2x2"])
def test_a_threat_of_another_form_is_refused_with_its_key(threat):
    with pytest.raises(PipelineError, match=r"config: check\.threat"):
        resolved(changed("check", {"threat": threat}))


@pytest.mark.slow
def test_a_check_from_videos_to_its_page(tmp_path):
    """Three steps of a budget: page, text and record of one verdict, and nothing to do afterwards."""
    folder = "results/tiny/checks"
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", str(tmp_path)]
    command += ["--configfile", str(ROOT / "tests/faults.yaml"), "--config", "check={budget: 0.5, clips: 4}"]
    command += ["--", f"{folder}/standard-s0.html"]
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert first.returncode == 0, first.stderr[-3000:]
    record = json.loads((tmp_path / folder / "standard-s0.json").read_text())
    assert record["about"]["threat"] == "linf:8/255"
    assert len(record["parts"][0]["rows"]) == 4
    for ending in ("html", "md"):
        assert record["verdict"] in (tmp_path / folder / f"standard-s0.{ending}").read_text()
    assert "Nothing to be done" in subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stderr
