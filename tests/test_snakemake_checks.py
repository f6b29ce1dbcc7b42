"""What a plan keeps Snakemake from doing anew for each job: the same result without it."""

import inspect
from types import SimpleNamespace

import pytest
from snakemake.common import get_function_params
from snakemake.resources import Resource
from snakemake.sourcecache import LocalSourceFile

from laboratory import jobs_in
from pipeline_lib.configuration import structure
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.snakemake_checks import once_for_each_rule, read_signatures_once


class Rule(SimpleNamespace):
    __hash__ = object.__hash__


def test_snakemake_looks_at_scripts_that_are_not_there_once_for_each_rule(tmp_path):
    (tmp_path / "there.py").touch()
    seen = []
    look = once_for_each_rule(lambda job: seen.append(job.rule.script))
    for script in ("there.py", "absent.py", "{name}.py", None):
        rule = Rule(script=script, basedir=LocalSourceFile(str(tmp_path)))
        for _ in range(2):
            look(SimpleNamespace(rule=rule))
    assert seen == ["absent.py", "{name}.py", "{name}.py", None]


def test_signatures_are_those_that_snakemake_reads():
    def files(wildcards, input, attempt=1):
        return []

    rule = SimpleNamespace(
        input=[SimpleNamespace(_file=SimpleNamespace(callable=files)), "a.txt"],
        params=[lambda wildcards, output: 1, 3],
        resources={"mem_mb": Resource("mem_mb", lambda wildcards, threads: 5), "gpu": Resource("gpu", 1)},
    )
    functions = [files, rule.params[0], rule.resources["mem_mb"]._evaluator, rule.resources["mem_mb"].evaluate]
    expected = [inspect.signature(function).parameters for function in functions]
    read_signatures_once(SimpleNamespace(rules=[rule]))
    assert [dict(get_function_params(function)) for function in functions] == [dict(one) for one in expected]
    assert rule.resources["mem_mb"].evaluate({}, threads=2, attempt=1) == 5


def test_a_configuration_that_is_known_to_fit_is_checked_once_and_another_one_again(tmp_path, monkeypatch):
    schema, checked = {"properties": {"a": {"type": "integer"}}, "additionalProperties": False}, []
    monkeypatch.setattr(structure, "cache_file", lambda *_: tmp_path / "fits")
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    inner = structure._check_structure
    monkeypatch.setattr(structure, "_check_structure", lambda *given: checked.append(given[0]) or inner(*given))
    for config in ({"a": 1}, {"a": 1}, {"a": 2}, {"a": 1}):
        structure.check_structure(config, schema)
    assert checked == [{"a": 1}, {"a": 2}]
    for _ in range(2):
        with pytest.raises(PipelineError, match="unknown key 'b'"):
            structure.check_structure({"b": 1}, schema)
    with pytest.raises(PipelineError, match="True is not of type 'integer'"):
        structure.check_structure({"a": True}, schema)
    structure.check_structure({"a": 1}, schema | {"additionalProperties": True})
    assert checked[2:] == [{"b": 1}, {"b": 1}, {"a": True}, {"a": 1}]


def test_files_of_unknown_names_have_no_job_and_are_refused_with_the_known_names(tmp_path):
    jobs = jobs_in(tmp_path)
    (dataset, *_), (model, *_) = jobs.plan["datasets"], jobs.plan["models"]
    assert jobs.maker(jobs.paths.weights(dataset, model)).rule == "train"
    for path in (jobs.paths.weights(dataset, "typo-s0"), jobs.paths.adversarial(dataset, model, "typo")):
        assert jobs.maker(path) is None
    with pytest.raises(PipelineError, match=rf"there is no model 'typo-s0' in the configuration; known: .*{model}"):
        jobs.describe("train", {"dataset": dataset, "model": "typo-s0"})
    with pytest.raises(PipelineError, match=rf"did you mean {model}\?$"):
        jobs.describe("train", {"dataset": dataset, "model": model.removesuffix("-s0")})
