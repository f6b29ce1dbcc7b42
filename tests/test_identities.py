"""What runs again follows from the records of the results: not from `.snakemake`, and not from modification times."""

import base64
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.recording import write_record
from pipeline_lib.provenance.comparison import flat
from pipeline_lib.provenance.descriptions import Description, Identities
from pipeline_lib.provenance.file_facts import listed_facts, result_facts
from pipeline_lib.provenance.records import read_record
from planning import copy_project, execute, plan, with_all_that_follows

SET = "results/synthetic/adversarial/standard-s0/pgd.h5"
RECORD = "results/synthetic/identities/attack/standard-s0/pgd.json"
ATTACK = ("attack", "synthetic", "standard-s0", "pgd")
OTHER_EPSILON = {"attacks": {"pgd": {"perturbation": {"epsilon": "9/255"}}}}


@pytest.fixture(scope="module")
def finished(finished_project) -> Path:
    return finished_project


@pytest.fixture(scope="module")
def changed_epsilon(finished) -> set:
    return plan(finished, OTHER_EPSILON)


@pytest.fixture
def keep(finished) -> Iterator:
    """Remembers a file of the finished project, and puts it back after the test with its time of modification."""
    kept: dict[Path, tuple[bytes, int]] = {}

    def keep(name: str) -> Path:
        path = finished / name
        kept[path] = path.read_bytes(), path.stat().st_mtime_ns
        return path

    yield keep
    for path, (content, when) in kept.items():
        path.write_bytes(content)
        os.utime(path, ns=(when, when))


def record(path: str, **made: object) -> Description:
    return Description(
        rule="r", code="c", outputs={"out": path}, record=path, **({"settings": {}, "inputs": {}} | made)
    )


def identity(last: Description, *others: Description) -> str:
    return Identities({job.outputs["out"]: job for job in others}.get).of(last)


def test_an_identity_depends_on_all_that_a_result_is_made_of_and_on_no_name():
    first, other = record("a", settings={"x": 1}), record("a", settings={"x": 2})
    second = record("b", inputs={"clips": "a"})
    assert identity(second, first) != identity(second, other)
    assert identity(second, first) == identity(record("c", inputs={"clips": ["d"]}), record("d", settings={"x": 1}))
    assert identity(second, first) != identity(record("b", inputs={"other": "a"}), first)
    assert identity(first) != identity(record("a", settings={"x": 1}, sources={"file": {"size": 1}}))
    # A file that no job makes counts by the facts in `sources`, not by its path.
    assert identity(record("b", inputs={"clips": "/x"})) == identity(record("b", inputs={"clips": "/y"}))


def test_the_order_of_input_files_counts():
    jobs = [record("a", settings={"x": 1}), record("b", settings={"x": 2})]
    one, other = (identity(record("c", inputs={"files": files}), *jobs) for files in (["a", "b"], ["b", "a"]))
    assert one != other


def test_a_job_that_depends_on_itself_is_refused():
    with pytest.raises(PipelineError, match="depend on themselves"):
        identity(record("a", inputs={"x": "b"}), record("a", inputs={"x": "b"}), record("b", inputs={"x": "a"}))


def test_facts_of_a_result_find_any_exchange_of_small_files_and_of_the_ends_of_large_ones(tmp_path):
    small, large = tmp_path / "small", tmp_path / "large.h5"
    small.write_bytes(b"abc")
    before = result_facts(small)
    small.write_bytes(b"abd")
    assert result_facts(small) != before
    content = bytearray(2_000_000)
    for position in (0, -1):
        large.write_bytes(content)
        before = result_facts(large)
        content[position] ^= 1
        large.write_bytes(content)
        assert result_facts(large) != before
    assert result_facts(tmp_path / "none") is None


def test_facts_of_a_large_file_without_a_checksum_of_its_own_find_any_exchange(tmp_path):
    content, path = bytearray(2_000_000), tmp_path / "predictions.csv"
    path.write_bytes(content)
    before = result_facts(path)
    content[1_000_000] ^= 1
    path.write_bytes(content)
    assert result_facts(path) != before


def test_facts_of_a_folder_are_names_and_sizes_at_any_depth(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/c").write_text("12")
    before = result_facts(tmp_path)
    (tmp_path / "a/b/c").rename(tmp_path / "a/b/d")
    assert result_facts(tmp_path) != before
    assert before["files"] == 1


def test_facts_of_listed_files_change_with_name_and_content_and_with_no_other_file(tmp_path):
    (tmp_path / "A").mkdir()
    for name in ("A/1", "A/2", "A/unlisted"):
        (tmp_path / name).write_text(name)
    facts = listed_facts(tmp_path, ["A/2", "A/1", "B/missing"])
    assert (facts["files"], facts["size"]) == (2, 6)
    (tmp_path / "A/unlisted").write_text("other")
    assert listed_facts(tmp_path, ["A/1", "A/2", "B/missing"]) == facts
    os.utime(tmp_path / "A/1", ns=(1, 1))
    assert listed_facts(tmp_path, ["A/1", "A/2", "B/missing"]) == facts
    assert listed_facts(tmp_path, ["A/1", "A/2", "A/missing"]) != facts
    (tmp_path / "A/1").write_text("new")  # of the same size
    assert listed_facts(tmp_path, ["A/1", "A/2", "B/missing"]) != facts


def test_records_of_one_file_count_as_that_file(tmp_path):
    (tmp_path / "batch.bin").write_text("12345")
    assert listed_facts(tmp_path, ["batch.bin/00001", "batch.bin/00002"])["files"] == 1


def test_flat_keys():
    assert flat({"a": {"b": [1, {"c": 2}]}, "d": None}) == {"a.b.0": 1, "a.b.1.c": 2, "d": None}


def test_identities_contain_all_parameters_that_change_results(finished):
    """The folder of the data, limits of decoding, estimates, kept scores and the paths of files change no result."""
    neutral = {
        "identity",
        "code",
        "root",
        "decoding",
        "snakefile",
        "stylesheet",
        "page_script",
        "tables",
        "audit",
        "estimate",
        "scoring",
    }
    for name, job in execute(finished, {"results": "elsewhere"}).items():
        if job.identity is None:
            continue
        assert job.identity["code"] == job.params.get("code", job.identity["code"]), name
        # A figure's style is a setting where there is one.
        without = {"style"} if not job.params.get("style") else set()
        for key in job.params.keys() - neutral - without:
            given, counted = job.params[key], job.identity["settings"][key]
            if name[0] == "decode":
                given = {part: value for part, value in given.items() if part != "root"}
            assert json.dumps(given, sort_keys=True).replace("elsewhere/", "") == json.dumps(counted, sort_keys=True)


def test_without_snakemakes_folder_the_plans_are_the_same(finished, changed_epsilon):
    shutil.rmtree(finished / ".snakemake", ignore_errors=True)
    assert plan(finished) == set()
    assert plan(finished, OTHER_EPSILON) == changed_epsilon
    assert len(changed_epsilon) > 100


@pytest.mark.parametrize("when", [1, 4_000_000_000])
def test_times_of_modification_do_not_count(finished, when):
    """As after a copy, a touch or with the clock set back; here every second file has another time."""
    for path in sorted(finished.glob("results/**/*"))[::2]:
        os.utime(path, (when, when))
    assert plan(finished) == set()


def test_a_folder_of_results_may_be_moved(finished, tmp_path):
    shutil.copytree(finished / "results", tmp_path / "moved")
    assert plan(finished, {"results": str(tmp_path / "moved")}) == set()
    jobs = plan(finished, {"results": str(tmp_path / "moved")} | OTHER_EPSILON)
    assert jobs == plan(finished, OTHER_EPSILON)


@pytest.mark.parametrize("change", ["exchanged", "no record", "broken record", "other format"])
def test_a_result_that_is_not_what_its_record_says_is_made_again(finished, keep, change):
    path = keep(SET if change == "exchanged" else RECORD)
    if change == "exchanged":
        path.write_text(SET.replace("pgd", "roa"))
    elif change == "no record":
        path.unlink()
    elif change == "broken record":
        path.write_text("{")
    else:
        write_record(path, read_record(path) | {"format": 0})
    assert plan(finished) == with_all_that_follows(finished, {ATTACK})


def test_results_made_of_other_bytes_with_the_same_identity_are_made_again(finished, keep):
    """As when folders of two machines are merged: the same set, computed with other rounding."""
    keep(SET).write_text("other")
    path = keep(RECORD)
    made = read_record(path)
    made["outputs"]["adversarial"]["bytes"] = result_facts(finished / SET)
    write_record(path, made)
    readers = {name for name, job in execute(finished, {"results": "elsewhere"}).items() if ATTACK in job.sources}
    readers = {name for name in readers if name[0] in ("predict_transfer", "figure_csv_html")}
    assert readers
    assert plan(finished) == with_all_that_follows(finished, readers)


def test_forced_rules_run_with_all_that_follows(finished):
    trainings = {name for name in execute(finished, {"results": "elsewhere"}) if name[0] == "train"}
    assert plan(finished, forcerun={"train"}) == with_all_that_follows(finished, trainings)


def test_a_missing_report_is_made_also_when_another_result_is_made_again(finished, keep):
    keep("results/report.html").unlink()
    assert plan(finished) == {("report",)}
    keep(SET).write_text("damaged")
    assert plan(finished) == with_all_that_follows(finished, {ATTACK})


def test_a_missing_target_is_made_beside_a_damaged_one(finished, keep):
    keep("results/tables/multav.md").unlink()
    keep(SET).write_text("damaged")
    jobs = plan(finished, targets={"results/tables/multav.md", SET})
    assert jobs == {ATTACK, ("table", "multav")}


def test_a_job_killed_beside_its_record_hides_nothing_that_is_missing(finished_project, tmp_path):
    """Snakemake still marks it as unfinished: it would make this job again, and of the missing files none."""
    project = copy_project(tmp_path)
    for name in ("rendered", "clips", "identities/render.json", "identities/decode"):
        path = Path("results/synthetic", name)
        copy = shutil.copytree if (finished_project / path).is_dir() else shutil.copy
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        copy(finished_project / path, project / path)
    missing = plan(project)
    assert ("report",) in missing
    mark_as_unfinished(project, "results/synthetic/clips/test.h5")
    assert plan(project) == missing
    (project / "results/synthetic/identities/decode/test.json").unlink()
    assert plan(project) == missing | {("decode", "synthetic", "test")}


def mark_as_unfinished(project: Path, result: str) -> None:
    """As Snakemake does when it starts a job."""
    mark = project / ".snakemake/incomplete" / base64.b64encode(result.encode()).decode()
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


def test_the_summary_names_the_keys_that_changed(finished, keep, caplog):
    plan(finished, OTHER_EPSILON)
    assert "perturbation.epsilon: 0.0313725" in caplog.text
    assert " -> 0.0352941" in caplog.text
    caplog.clear()
    keep(RECORD).unlink()
    plan(finished)
    assert "1 results have no identity" in caplog.text
    caplog.clear()
