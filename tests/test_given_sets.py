"""`source: {file: set.h5}`: models tested on a set that others made, if its attack and its clips are one's own."""

import shutil
from pathlib import Path

import pytest

import tiny
from configured import SCHEMA
from faulty import CONFIG, output, start
from laboratory import write_results
from pipeline_lib.configuration.given_sets import given_sets, is_given, name_of_set
from pipeline_lib.configuration.jobs import Jobs
from pipeline_lib.configuration.parameters import attack_entry
from pipeline_lib.configuration.reading import config_of, jobs_of
from pipeline_lib.errors import PipelineError
from pipeline_lib.provenance.descriptions import Identities
from pipeline_lib.provenance.origins import origins_of
from pipeline_lib.reporting.facts import facts_of
from planning import ROOT
from sets import attacked, predicted


def configured(folder: Path, file: Path, attack: str = "pgd", **study: object) -> Jobs:
    columns = {"theirs": {"attack": attack, "source": {"file": str(file)}}}
    given = {"results": str(folder / "results"), "studies": {"faults": {"columns": columns, **study}}}
    return jobs_of(config_of([CONFIG], given), SCHEMA, ROOT)


@pytest.fixture(scope="module")
def entry(tmp_path_factory) -> dict:
    """PGD as the configuration has it."""
    jobs = jobs_of(config_of([CONFIG], {"results": str(tmp_path_factory.mktemp("none"))}), SCHEMA, ROOT)
    return attack_entry(jobs.plan, "pgd")


@pytest.fixture(scope="module")
def theirs(made, entry, tmp_path_factory) -> Path:
    """A set that others made by it."""
    folder = tmp_path_factory.mktemp("theirs")
    return attacked(made, folder, entry).joinpath("set.h5").rename(folder / "PGD of them.h5")


def test_a_file_is_a_source_with_a_name_of_its_own():
    assert name_of_set("theirs/PGD of them.h5") == "given_pgd_of_them"
    assert is_given("given_pgd_of_them")
    assert not is_given("given_pgd-s0")
    assert not is_given("multibn-s0-clean")
    assert not is_given(None)
    studies = {"a": {"source": {"file": "x/s.h5"}, "rows": {"r": {"target": "t", "source": {"file": "x/s.h5"}}}}}
    assert given_sets(studies) == {"given_s": "x/s.h5"}
    with pytest.raises(PipelineError, match=r"studies.b.source.file: y/s.h5 and x/s.h5 would both be named 'given_s'"):
        given_sets(studies | {"b": {"source": {"file": "y/s.h5"}}})


def test_predictions_depend_on_its_bytes_and_on_no_model_that_made_it(theirs, made, tmp_path):
    file = Path(shutil.copy(theirs, tmp_path / "theirs.h5"))
    jobs = configured(tmp_path, file)
    wildcards = {"dataset": "tiny", "target": "at_pgd-s0", "source": "given_theirs", "attack": "pgd"}
    job = jobs.describe("predict_transfer", wildcards)
    assert job.inputs["adversarial"] == str(file)
    assert job.outputs["predictions"].endswith("/tiny/predictions/at_pgd-s0/given_theirs/pgd.csv")
    assert jobs.maker(job.outputs["predictions"]) == job
    assert all("given_" not in path for path in [*jobs.layouts.audits(), *jobs.layouts.study_audits("faults")])
    assert {one["source"] for one in jobs.layouts.audited_sets} == {"standard-s0", "at_pgd-s0"}
    assert jobs.layouts.entries["models"].keys() == {"standard-s0", "at_pgd-s0"}
    before = Identities(jobs.maker).of(job)
    shutil.copy(attacked(made, tmp_path / "again", tiny.PGD) / "set.h5", tmp_path / "other.h5")
    assert Identities(configured(tmp_path, file).maker).of(job) == before
    with pytest.raises(PipelineError, match="made by another attack"):
        configured(tmp_path, tmp_path / "other.h5")


def test_a_given_set_is_described_by_its_attack_and_checksum(theirs, made, tmp_path):
    attacked(made, tmp_path)
    jobs = configured(tmp_path, theirs)
    write_results(tmp_path / "results", made, tmp_path, jobs=jobs)
    layout, table = jobs.layouts.studies["faults"], jobs.describe("table", {"study": "faults"})
    results = jobs.paths.results
    facts = facts_of(layout, origins_of(Identities(jobs.maker).plain(table, results), results))
    (fact,) = facts["AT", "theirs"]
    assert fact.attack.startswith("PGD ascent: perturbation additive linf (epsilon 8/255")
    assert "; a set from a file with SHA-256 " in fact.attack


WRONG = {
    "no file": ({"file": "nowhere.h5"}, "pgd", r"a source.file of attack 'pgd': there is no file .*nowhere.h5"),
    "no set": ({"file": "clips.h5"}, "pgd", r"source.file of attack 'pgd': .*clips.h5 is not an adversarial set"),
    "a pickle": ({"file": "set.pkl"}, "pgd", r"source.file of attack 'pgd': set.pkl is not an HDF5 file"),
    "another attack": (
        None,
        "roa",
        r"source.file of attack 'roa': .*another attack: perturbation.epsilon is 0.03",
    ),
    "another key": ({"path": "x"}, "pgd", r"studies.faults.columns.theirs"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_unsuitable_files_are_refused_before_any_job(theirs, made, tmp_path, monkeypatch, wrong):
    monkeypatch.chdir(tmp_path)
    shutil.copy(made / "clips.h5", tmp_path / "clips.h5")
    (tmp_path / "set.pkl").write_bytes(b"\x80\x04K\x01.")
    source, attack, message = WRONG[wrong]
    columns = {"theirs": {"attack": attack, "source": source or {"file": str(theirs)}}}
    with pytest.raises(PipelineError, match=message):
        jobs_of(config_of([CONFIG], {"studies": {"faults": {"columns": columns}}}), SCHEMA, ROOT)


def test_a_set_of_other_clips_is_refused_by_the_job_that_reads_it(theirs, made, tmp_path):
    shutil.copy(made / "plain.pt", tmp_path / "plain.pt")
    tiny.write_clips(tmp_path / "clips.h5", seed=1)
    with pytest.raises(PipelineError, match=r"PGD of them.h5: made from other clean clips than .*clips.h5"):
        predicted(tmp_path, tmp_path, theirs)


def test_a_cascade_of_a_given_set_is_refused(theirs, tmp_path):
    with pytest.raises(PipelineError, match=r"a cascade attacks one model itself, and this row has at_pgd-s0, given_"):
        configured(tmp_path, theirs, union="cascade", rows={"Standard": None})


@pytest.mark.slow
def test_the_workflow_tests_models_on_a_given_set(tmp_path):
    """A set of the first run is given to the second: the same numbers as by the model that made it."""
    file = "theirs/pgd.h5"
    run = start(tmp_path, files=("tiny/adversarial/standard-s0/pgd.h5",))
    assert run.wait(600) == 0, output(tmp_path)[-3000:]
    (tmp_path / "theirs").mkdir()
    shutil.copy(tmp_path / "results/tiny/adversarial/standard-s0/pgd.h5", tmp_path / file)
    rows = "rows: {Standard: standard, AT: null}"
    columns = f"columns: {{roa: null, theirs: {{attack: pgd, source: {{file: {file}}}}}}}"
    run = start(tmp_path, given=(f"studies={{faults: {{{rows}, {columns}}}}}",), files=("tables/faults.csv",))
    assert run.wait(600) == 0, output(tmp_path)[-3000:]
    predictions = tmp_path / "results/tiny/predictions/standard-s0"
    assert (predictions / "given_pgd/pgd.csv").read_text() == (predictions / "standard-s0/pgd.csv").read_text()
    assert "a set from a file with SHA-256" in (tmp_path / "results/tables/faults.csv").read_text()
