"""What the jobs of a configuration ask of a cluster."""

from contextlib import nullcontext

import pytest

from configured import CONFIG, resolved
from pipeline_lib.attacks.framing import Adam
from pipeline_lib.configuration.requests import CUDA_PROCESS_MB, MARGIN, Requests, cores
from pipeline_lib.entries.facts import value_of
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.costs import minutes
from pipeline_lib.jobs.counts import SHIPPED, read_counts
from pipeline_lib.jobs.devices import check_limit

FRAMING = {"method": "universal_framing", "width": 1}
ATTACKS = {
    "framing": FRAMING | {"learning": {"method": "adam"}},
    "long_framing": FRAMING | {"learning": {"method": "adam", "epochs": 600, "batch_size": 320}},
}
PLAN = resolved(CONFIG | {"attacks": CONFIG["attacks"] | ATTACKS})
SHAPE = (8, 32, 32)


def requests(**changes: int) -> Requests:
    return Requests(plan=PLAN, **({"batch_size": 36, "training_processes": 1} | changes))


def all_requests(attempt: int) -> dict[str, int]:
    own = requests()
    return {
        "decoding_memory": own.decoding_memory(attempt),
        "decoding_minutes": own.decoding_minutes(attempt),
        "training_memory": own.training_memory("synthetic", "avg-s0", attempt),
        "training_minutes": own.training_minutes("synthetic", "avg-s0", attempt),
        "prediction_memory": own.prediction_memory("synthetic", "multibn-s0-lp", attempt),
        "prediction_minutes": own.prediction_minutes("synthetic", attempt),
        "attack_minutes": own.attack_minutes("synthetic", "pgd_20", attempt),
        "learning_memory": own.learning_memory("synthetic", "standard-s0", "framing", attempt),
        "learning_minutes": own.learning_minutes("synthetic", "framing", attempt),
    }


@pytest.mark.parametrize("kind", all_requests(1))
def test_a_repeated_job_asks_for_as_many_times_more(kind):
    first = all_requests(1)[kind]
    assert [all_requests(attempt)[kind] for attempt in (2, 3)] == pytest.approx([2 * first, 3 * first], abs=3)


def test_images_are_clips_of_one_frame():
    assert (requests().shape("synthetic"), requests().shape("shapes")) == (SHAPE, (1, 32, 32))


def test_a_training_asks_for_its_batch_its_processes_and_its_epochs():
    memory = {
        count: requests(training_processes=count, on_gpu=True).training_memory("synthetic", "standard-s0", 1)
        for count in (1, 3)
    }
    assert memory[3] - memory[1] == pytest.approx(2 * MARGIN * CUDA_PROCESS_MB, abs=2)
    alone, thrice = (requests().training_memory("synthetic", f"{model}-s0", 1) for model in ("at_pgd", "avg"))
    assert thrice > alone  # the clean clips and two examples of each pass at once
    scratch, finetune = (CONFIG["training"][name]["epochs"] for name in ("scratch", "finetune"))
    assert requests().training_minutes("synthetic", "standard-s0", 1) == minutes(scratch, SHAPE, 1)
    assert requests().training_minutes("synthetic", "at_pgd-s0", 1) == minutes(finetune * (1 + 3 + 1), SHAPE, 1)


def test_a_prediction_asks_for_the_batch_of_the_evaluation_and_an_attack_for_its_steps():
    small, large, all_clips = (
        requests(batch_size=size).prediction_memory("synthetic", "standard-s0", 1) for size in (18, 36, 3600)
    )
    assert small < large
    assert all_clips > large
    clips = requests().estimates.numbers["synthetic"].test  # fewer than 3,600
    assert all_clips == requests(batch_size=clips).prediction_memory("synthetic", "standard-s0", 1)
    assert requests(counts=read_counts([SHIPPED])).prediction_memory("synthetic", "standard-s0", 1) != small
    assert requests().prediction_minutes("synthetic", 1) == minutes(1, SHAPE, 1)
    assert requests().attack_minutes("synthetic", "pgd_20", 1) == minutes(1 + 20 + 1, SHAPE, 1)


def test_learning_asks_by_its_own_epochs_and_batch_size_or_those_of_the_class():
    default = Adam()
    assert requests().learning_minutes("synthetic", "framing", 1) == minutes(default.epochs, SHAPE, 1)
    assert requests().learning_minutes("synthetic", "long_framing", 1) == minutes(600, SHAPE, 1)
    short, long = (requests().learning_memory("synthetic", "standard-s0", name, 1) for name in ATTACKS)
    assert (short < long) == (default.batch_size < 320)


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
