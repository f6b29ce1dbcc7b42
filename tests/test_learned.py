"""What later runs request follows from what earlier ones used."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.iocontainers import Wildcards

from configured import CONFIG, SCHEMA
from pipeline_lib.configuration.requests import MARGIN, SNAKEMAKE_MB, TERA
from pipeline_lib.configuration.structure import with_defaults
from pipeline_lib.jobs.costs import START_MINUTES, minutes
from pipeline_lib.jobs.learned import Use, learned
from pipeline_lib.jobs.setup import WorkflowRun
from pipeline_lib.jobs.used import COLUMNS, TABLE, measured, write_table
from test_requests import JOBS, PLAN, SOURCE, requests
from test_used import job

RATE = {frozenset({"d", "a"}): 0.2}


def written(results: Path, *rows: dict[str, object]) -> Path:
    """A folder of results with a table of jobs."""
    lines = [",".join(str(row.get(column, "")) for column in COLUMNS) for row in rows]
    (results / "logs").mkdir(parents=True)
    (results / TABLE).write_text("\n".join([",".join(COLUMNS), *lines, ""]))
    return results


def row(rule: str, peak: float, seconds: float = 10, **others: object) -> dict[str, object]:
    job = f"d/{rule}/a-s0"
    numbers = {"threads": 1, "peak_mb": peak, "seconds": seconds, "estimated_mb": 1000, "tflop": 2}
    return {"rule": rule, "job": job} | numbers | others


def test_the_largest_memory_of_a_rule_and_the_median_rate_over_seeds_count(tmp_path):
    """A job that waited for others, and one of a second, change no rate."""
    a, b, attack = (frozenset({"d", *names}) for names in ("a", "b", ("b-lp", "pgd")))
    seeds = [row("train", 800, seconds, job=f"d/train/a-s{seed}") for seed, seconds in enumerate((10, 8, 900))]
    others = [row("attack", 500, 1), row("attack", 400, 20, job="d/attack/b-s0-lp/pgd")]
    predicted = row("predict_clean", 400, 20, job="d/predict/b-s0/clean")
    written(tmp_path, *seeds, row("train", 1100, 40, job="d/train/b-s0"), *others, predicted)
    assert learned(tmp_path, on_gpu=False) == {
        "train": Use(1.1, {a: 0.2, b: 0.05}),
        "attack": Use(0.5, {attack: 0.1}),
        "predict_clean": Use(0.4, {b: 0.1}),
    }
    assert learned(tmp_path, on_gpu=False)["train"].slowest == 0.05
    assert learned(tmp_path / "elsewhere", on_gpu=False) == {}


def test_jobs_on_gpus_say_nothing_about_those_without(tmp_path):
    written(tmp_path, row("train", 800), row("train", 3000, gpu_peak_mb=5))
    assert learned(tmp_path, on_gpu=True) == {"train": Use(3.0, RATE)}
    assert learned(tmp_path, on_gpu=False) == {"train": Use(0.8, RATE)}


@pytest.mark.parametrize("damage", [{"peak_mb": "many"}, {"estimated_mb": ""}, {"seconds": ""}, {"estimated_mb": -1}])
def test_rows_that_state_no_estimate_or_are_damaged_are_left_out(tmp_path, damage):
    written(tmp_path, row("train", 800), row("train", 5000) | damage)
    assert learned(tmp_path, on_gpu=False) == {"train": Use(0.8, RATE)}


def test_a_table_of_an_earlier_version_or_of_other_bytes_teaches_nothing(tmp_path):
    written(tmp_path)
    for content in (b"job,rule\na,train\n", b"\xff\xfe\x00,", b""):
        (tmp_path / TABLE).write_bytes(content)
        assert learned(tmp_path, on_gpu=False) == {}


def test_what_a_job_writes_is_what_the_next_plan_reads(tmp_path):
    snakemake = job(tmp_path / "tiny/logs/train/a-s0.log", mem_mb=4000, runtime=30)
    snakemake.params = type("Params", (), {"estimate": {"mb": 100, "tflop": 0.5}})
    with measured(snakemake):
        pass
    write_table(tmp_path)
    use = learned(tmp_path, on_gpu=False)["train"]
    assert use.memory > 0.1
    assert use.slowest is None  # a job of no time


@pytest.mark.parametrize("rule", JOBS)
def test_a_request_is_a_margin_over_what_was_used(rule):
    estimate = requests().estimate(rule, JOBS[rule])["mb"]
    for memory in (0.5, 1, 3):
        own = requests(learned={rule: Use(memory, {})})
        assert own.memory(rule, JOBS[rule], 1) == pytest.approx(MARGIN * memory * estimate + SNAKEMAKE_MB, abs=1)
    assert requests(learned={"other": Use(3, {})}).memory(rule, JOBS[rule], 1) == requests().memory(rule, JOBS[rule], 1)


def test_minutes_are_those_at_the_rate_of_other_seeds_else_at_the_slowest():
    attack = SOURCE | {"attack": "pgd"}
    seconds = requests().estimates.work("attack", attack).operations / TERA
    for names, rate in ((("standard", "other"), 1e-3), (("others", "other"), 1e-4)):
        keys = [frozenset({"synthetic", name, "pgd"}) for name in names]
        rates = dict(zip(keys, (1e-3, 1e-4), strict=True))
        asked = requests(learned={"attack": Use(1, rates)}).minutes("attack", attack, 1)
        assert asked == minutes(seconds / rate, 1) > START_MINUTES


def test_a_later_run_gets_its_requests_by_the_wildcards_of_snakemake(tmp_path):
    """These are no mapping: they have items(), and no values()."""
    written(tmp_path, row("attack", 800, 100, job="synthetic/adversarial/standard-s0/pgd"))
    run = WorkflowRun(None, with_defaults(CONFIG, SCHEMA) | {"results": str(tmp_path)}, SimpleNamespace(plan=PLAN))
    attack = SOURCE | {"attack": "pgd"}
    asked, wildcards = run.resources("attack"), Wildcards(fromdict=attack)
    assert asked["mem_mb"](wildcards, 1) == run.requests.memory("attack", attack, 1)
    assert asked["runtime"](wildcards, 2) == run.requests.minutes("attack", attack, 2)
    assert run.estimate("attack")(wildcards) == run.requests.estimate("attack", attack)
    assert run.requests.learned["attack"].rates == {frozenset({"synthetic", "standard", "pgd"}): 0.02}


def test_activations_are_memory_of_the_gpu_where_there_is_one():
    """Of the host they count on a CPU only: with four times the clips at once, a job on a GPU asks for the clips."""
    host, gpu = (
        [requests(batch_size=size, on_gpu=on_gpu).memory("attack", JOBS["attack"], 1) for size in (9, 36)]
        for on_gpu in (False, True)
    )
    assert 0 < gpu[1] - gpu[0] < (host[1] - host[0]) / 3
