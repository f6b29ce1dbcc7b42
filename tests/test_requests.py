"""What the jobs of a configuration ask of a cluster."""

import copy
from contextlib import nullcontext

import pytest

from configured import CONFIG, resolved
from pipeline_lib.attacks.framing import Adam
from pipeline_lib.configuration.requests import (
    CUDA_PROCESS_MB,
    GPU_TFLOPS,
    MARGIN,
    TERA,
    Requests,
    cores,
    reached,
)
from pipeline_lib.entries.facts import value_of
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.costs import minutes
from pipeline_lib.jobs.counts import SHIPPED, Counts, read_counts
from pipeline_lib.jobs.devices import check_limit

FRAMING = {"method": "universal_framing", "width": 1}
ATTACKS = {
    "framing": FRAMING | {"learning": {"method": "adam"}},
    "long_framing": FRAMING | {"learning": {"method": "adam", "epochs": 600, "batch_size": 320}},
}
PLAN = resolved(CONFIG | {"attacks": CONFIG["attacks"] | ATTACKS})


SYNTHETIC = {"dataset": "synthetic"}
STANDARD, AT_PGD, AVG = (SYNTHETIC | {"model": f"{name}-s0"} for name in ("standard", "at_pgd", "avg"))
TARGET, SOURCE = (SYNTHETIC | {role: "standard-s0"} for role in ("target", "source"))
JOBS = {
    "train": AVG,
    "predict_clean": SYNTHETIC | {"target": "multibn-s0-lp"},
    "attack": SOURCE | {"attack": "pgd_20"},
    "learn": SOURCE | {"attack": "framing"},
}


def requests(**changes: object) -> Requests:
    return Requests(**({"plan": PLAN, "batch_size": 36, "training_processes": 1, "tflops": 0.01} | changes))


def all_requests(attempt: int) -> dict[str, int]:
    own = requests()
    return {
        "decoding memory": own.decoding_memory(attempt),
        "decoding minutes": own.decoding_minutes(attempt),
        **{f"{rule} memory": own.memory(rule, wildcards, attempt) for rule, wildcards in JOBS.items()},
        **{f"{rule} minutes": own.minutes(rule, wildcards, attempt) for rule, wildcards in JOBS.items()},
    }


@pytest.mark.parametrize("kind", all_requests(1))
def test_a_repeated_job_asks_for_as_many_times_more(kind):
    first = all_requests(1)[kind]
    assert [all_requests(attempt)[kind] for attempt in (2, 3)] == pytest.approx([2 * first, 3 * first], abs=3)


def test_images_are_clips_of_one_frame():
    estimates = requests().estimates
    assert (estimates.shape("synthetic"), estimates.shape("shapes")) == ((8, 32, 32), (1, 32, 32))


def test_a_training_asks_for_its_batch_and_its_processes():
    memory = {count: requests(training_processes=count, on_gpu=True).memory("train", STANDARD, 1) for count in (1, 3)}
    assert memory[3] - memory[1] == pytest.approx(2 * MARGIN * CUDA_PROCESS_MB, abs=2)
    # The clean clips and two examples of each pass at once.
    assert requests().memory("train", AVG, 1) > requests().memory("train", AT_PGD, 1)


def test_a_prediction_asks_for_the_batch_of_the_evaluation():
    small, large, all_clips = (requests(batch_size=size).memory("predict_clean", TARGET, 1) for size in (18, 36, 3600))
    assert small < large < all_clips
    clips = requests().estimates.numbers["synthetic"].test  # fewer than 3,600
    assert all_clips == requests(batch_size=clips).memory("predict_clean", TARGET, 1)
    assert requests(counts=read_counts([SHIPPED])).memory("predict_clean", TARGET, 1) != small


@pytest.mark.parametrize("rule", JOBS)
def test_minutes_are_those_of_the_operations_at_the_rate_of_the_device(rule):
    """A job of a second's operations asks for little more than the time to start; at a rate near 0, for a day."""
    work = requests().estimates.work(rule, JOBS[rule])
    seconds = [work.operations / (rate * TERA) for rate in (0.01, 0.02)]
    slow, fast = (requests(tflops=rate).minutes(rule, JOBS[rule], 1) for rate in (0.01, 0.02))
    assert (slow, fast) == tuple(minutes(one, 1) for one in seconds)
    assert requests(tflops=1e-12).minutes(rule, JOBS[rule], 1) == 24 * 60


def test_elements_and_calls_take_time_beside_operations():
    """An element as long as 100 operations, a call 8 microseconds for each batch."""
    passes = ("forward", "to_input", "training")
    key, zero = requests().estimates.key("synthetic", "standard-s0"), dict.fromkeys(passes, 0.0)
    given = {"operations": 1e9, "elements": 1e7, "calls": 1e4}
    found = {}
    for kind, number in given.items():
        parts = dict.fromkeys(given, zero) | {kind: dict.fromkeys(passes, number)}
        counts = {key: Counts(parameters=1, memory=zero, **parts)}
        found[kind] = requests(tflops=0.1, counts=counts).estimate("predict_clean", TARGET)["seconds"]
    clips = requests().estimates.numbers["synthetic"].test
    assert found["operations"] == pytest.approx(clips * 1e9 / 0.1e12, abs=0.01)
    assert found["elements"] == pytest.approx(clips * 100 * 1e7 / 0.1e12, abs=0.01)
    assert found["calls"] == pytest.approx(-(-clips // 36) * 1e4 * 8e-6, abs=0.01)


def test_a_training_in_bf16_asks_for_half_the_time():
    half = {**PLAN["models"], "avg-s0": copy.deepcopy(PLAN["models"]["avg-s0"])}
    half["avg-s0"]["training"]["precision"] = "bf16"
    found = [requests(plan=plan).estimate("train", AVG)["seconds"] for plan in (PLAN, PLAN | {"models": half})]
    assert found[1] == pytest.approx(found[0] / 2, abs=0.01)


def test_a_training_on_several_gpus_takes_less_time():
    slow = {"tflops": 1e-4}
    assert requests(**slow, training_processes=2).minutes("train", AVG, 1) < requests(**slow).minutes("train", AVG, 1)


def test_longer_trainings_and_attacks_ask_for_more_time():
    slow = requests(tflops=1e-4)
    assert slow.minutes("attack", SOURCE | {"attack": "pgd_20"}, 1) > slow.minutes(
        "attack", SOURCE | {"attack": "pgd"}, 1
    )
    assert slow.minutes("learn", SOURCE | {"attack": "long_framing"}, 1) > slow.minutes("learn", JOBS["learn"], 1)


@pytest.mark.parametrize(
    ("tflops", "gpus", "threads", "expected"), [(3.0, 1, 4, 3.0), (None, 1, 4, GPU_TFLOPS), (None, 0, 4, 0.6)]
)
def test_the_rate_is_as_configured_or_that_of_the_kind_of_device(tflops, gpus, threads, expected):
    assert reached(tflops, gpus, threads) == expected


def test_learning_asks_by_its_own_batch_size_or_that_of_the_class():
    short, long = (requests().memory("learn", SOURCE | {"attack": name}, 1) for name in ATTACKS)
    assert (short < long) == (Adam().batch_size < 320)


def test_a_field_without_a_default_has_no_value():
    entry = PLAN["attacks"]["framing"]
    assert value_of(entry, "placement") == "over"
    with pytest.raises(PipelineError, match="no default for 'width'"):
        value_of({"method": entry["method"]}, "width")


@pytest.mark.parametrize(("gpus", "threads", "expected"), [(0, 3, 3), (1, 3, 4), (2, 3, 8)])
def test_on_gpus_each_process_has_its_threads_and_one_that_reads_ahead(gpus, threads, expected):
    assert cores(gpus, threads) == expected


@pytest.mark.parametrize(("allowed", "refused"), [(None, False), (1, True), (2, False), (3, False)])
def test_more_gpus_than_are_allowed_are_refused(allowed, refused):
    with pytest.raises(PipelineError, match="gpus is 2, but only .*gpu=1") if refused else nullcontext():
        check_limit(allowed, 2)
