"""What transforms in front of a network cost: counted while they run, without content."""

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from configured import changed, resolved, stacked
from pipeline_lib.configuration.estimates import Estimates
from pipeline_lib.configuration.pass_costs import CALL_SECONDS, Work
from pipeline_lib.entries.methods import METHODS
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.counts import (
    SHIPPED,
    Counts,
    key_of,
    key_of_transform,
    read_counts,
    transforms_of,
    written_counts,
)
from pipeline_lib.plan import rates
from pipeline_lib.plan.counting_transforms import counted_transform
from pipeline_lib.plan.jobs import Job
from pipeline_lib.plan.measuring import measured_here
from pipeline_lib.plan.planned import Planned, count_missing
from pipeline_lib.plan.rates import Rate
from test_generator_models import PIXELCNN, WGAN

SHAPE = (1, 8, 8)


def transform(name: str, **fields) -> dict:
    return {"method": METHODS[name], **fields}


DEFENSE_GAN = transform("defense_gan", generator=WGAN, restarts=3, steps=4)


def test_defense_gan_costs_what_its_generator_does_in_each_step_from_each_latent():
    """A step is a forward pass of the generator and a backward one to its latents; the images are made once more.

    The generator: 4 latents to 4 x 4 x 4 by a matrix, and 4 to 3 channels by a transposed convolution of 4 x 4.
    """
    generate = 2 * 4 * 64 + 2 * 16 * (4 * 3 * 4 * 4)
    for restarts, steps in ((3, 4), (3, 5), (1, 4)):
        found = counted_transform(DEFENSE_GAN | {"restarts": restarts, "steps": steps}, SHAPE)
        assert found.operations["forward"] == restarts * (2 * steps + 1) * generate
        assert found.operations["to_input"] == found.operations["training"] == found.operations["forward"]  # BPDA
    large, small = (counted_transform(DEFENSE_GAN | {"restarts": number}, SHAPE).memory for number in (8, 1))
    assert large["forward"] > 5 * small["forward"]


def test_pixel_by_pixel_costs_calls_and_not_operations():
    entry = transform("pixel_defend", generator=PIXELCNN)
    small, large = (counted_transform(entry, (1, size, size)).calls["forward"] for size in (2, 4))
    assert large == pytest.approx(4 * small, rel=0.15)
    assert small > 4 * 20  # of four pixels


def test_only_differentiable_transforms_have_a_backward_pass():
    blur, steps = (counted_transform(transform(name), SHAPE) for name in ("gaussian_blur", "bit_depth"))
    assert blur.elements["to_input"] > 1.5 * blur.elements["forward"] > 0
    assert steps.elements["to_input"] == steps.elements["forward"] >= 3 * 64
    assert steps.operations == {"forward": 0, "to_input": 0, "training": 0}


@dataclass(frozen=True, kw_only=True)
class Outside:
    """A transform outside torch, which states its time."""

    differentiable: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False
    seconds: ClassVar[str] = "0.25 * frames * rounds"

    rounds: int = 2

    def __call__(self, clips):
        return torch.from_numpy(np.round(clips.numpy()))


@dataclass(frozen=True, kw_only=True)
class Misspelled(Outside):
    seconds: ClassVar[str] = "frame * 2"


def in_front(written: dict) -> dict[str, dict]:
    """A plan with a model behind a transform."""
    defense = {
        "method": "transformed",
        "transform": written,
        "defense": {"method": "adversarial_training", "attack": "pgd"},
    }
    return resolved(changed("models.standard.defense", defense))


def test_an_own_transform_outside_torch_has_the_time_that_it_states():
    estimates = Estimates(plan=in_front({"method": f"{__name__}:Outside"}), batch_size=10, counts={}, given={})
    uncounted: list[str] = []
    counts = count_missing(estimates, [("synthetic", "standard-s0")], uncounted)
    assert (uncounted, len(counts)) == ([], 2)  # on a CPU: it has no content on the meta device
    estimates = Estimates(plan=estimates.plan, batch_size=10, counts=counts, given={})
    clips, (frames, *_) = estimates.numbers["synthetic"].test, estimates.shape("synthetic")
    work = estimates.work("predict_clean", {"dataset": "synthetic", "target": "standard-s0"})
    calls = estimates.counted("synthetic", "standard-s0").calls["forward"]
    assert work.seconds == pytest.approx(clips * 0.25 * frames * 2 + -(-clips // 10) * calls * CALL_SECONDS)
    attacked = estimates.work("attack", {"dataset": "synthetic", "source": "standard-s0", "attack": "pgd"})
    steps = estimates.plan["attacks"]["pgd"]["steps"]
    assert attacked.seconds == pytest.approx(work.seconds * (steps + 3), rel=1e-3)
    trained = estimates.work("train", {"dataset": "synthetic", "model": "standard-s0"})
    entry, number = estimates.plan["models"]["standard-s0"]["training"], estimates.numbers["synthetic"].train
    assert trained.seconds > entry["epochs"] * number * 0.5 * frames * (steps + 2) * 0.85  # a part is held out


def test_a_wrong_expression_is_named_before_any_job():
    with pytest.raises(PipelineError, match="class Misspelled: seconds is 'frame \\* 2': expected an expression"):
        in_front({"method": f"{__name__}:Misspelled"})


def test_a_network_behind_a_transform_costs_both_in_every_pass(tmp_path):
    plan = in_front({"method": "gaussian_blur"})
    estimates = Estimates(plan=plan, batch_size=10, counts={}, given={})
    entry, shape = plan["models"]["standard-s0"], estimates.shape("synthetic")
    own = Counts(
        parameters=5,
        operations={"forward": 1.0, "to_input": 2.0, "training": 3.0},
        memory={"forward": 10.0, "to_input": 20.0, "training": 30.0},
    )
    blur = Counts(
        parameters=0,
        operations={"forward": 7.0, "to_input": 14.0, "training": 7.0},
        memory={"forward": 25.0, "to_input": 25.0, "training": 25.0},
        calls={"forward": 4, "to_input": 8, "training": 4},
    )
    (transformed,) = transforms_of(entry["defense"])
    counts = {key_of(entry["network"], entry["defense"], shape): own, key_of_transform(transformed, shape): blur}
    found = Estimates(plan=plan, batch_size=10, counts=counts, given={}).counted("synthetic", "standard-s0")
    assert found.operations == {"forward": 8.0, "to_input": 16.0, "training": 10.0}
    assert found.memory == {"forward": 35.0, "to_input": 45.0, "training": 55.0}  # both are kept for the gradient
    assert (found.parameters, found.calls) == (5, blur.calls)
    work = Estimates(plan=plan, batch_size=10, counts=counts, given={}).work(
        "predict_clean", {"dataset": "synthetic", "target": "standard-s0"}
    )
    assert (work.transform_operations, work.transform_elements) == (work.operations * 7 / 8, 0)
    (tmp_path / "counted.json").write_text(text := written_counts(counts))
    assert read_counts([tmp_path / "counted.json"]) == counts
    assert "calls" not in json.loads(text)[key_of(entry["network"], entry["defense"], shape)]


def test_a_transform_that_is_passed_by_bpda_keeps_nothing():
    plan = in_front({"method": "bit_depth"})
    estimates = Estimates(plan=plan, batch_size=10, counts={}, given={})
    counts = count_missing(estimates, [("synthetic", "standard-s0")], [])
    whole = Estimates(plan=plan, batch_size=10, counts=counts, given={})
    alone, both = whole.counted_alone("synthetic", "standard-s0"), whole.counted("synthetic", "standard-s0")
    assert both.memory["to_input"] == alone.memory["to_input"]  # larger than what the transform needs before it
    assert both.elements["to_input"] > alone.elements["to_input"]


@pytest.mark.parametrize("name", ["generative", "halftone", "transforms"])
def test_the_counts_of_the_repository_have_the_transforms_of_its_configurations(name):
    given = {"datasets": {"cifar10": {"root": "/data"}}} if name == "halftone" else {}
    plan, shipped = resolved(stacked(name, given=given)), read_counts([SHIPPED])
    estimates = Estimates(plan=plan, batch_size=1, counts={}, given={})
    datasets = {dataset for study in plan["studies"].values() for dataset in study["datasets"]}
    keys = {key for dataset in datasets for model in plan["models"] for key in estimates.transform_keys(dataset, model)}
    assert keys
    assert keys <= shipped.keys()


def test_networks_and_transforms_have_a_rate_each():
    work = Work(operations=90.0, transform_operations=10.0, seconds=3.0)
    rate = Rate({"fp32": 2.0, "bf16": 8.0}, 2, "two jobs", on_gpu=False, transforms=4.0)
    assert rate.seconds(work, "bf16") == (80 / 8 + 10 / 4 + 3) / 2
    assert rate._replace(transforms=None).seconds(work, "bf16") == (80 / 8 + 10 / 2 + 3) / 2  # they compute in fp32


@pytest.mark.parametrize(("part", "precision"), [(0.05, "fp32"), (0.9, "bf16")])
def test_a_rate_is_measured_in_what_a_plan_computes(monkeypatch, part, precision):
    monkeypatch.setattr(rates, "SECONDS", 1e-9)
    plan = in_front({"method": "gaussian_blur"})
    estimates = Estimates(plan=plan, batch_size=4, counts={}, given={})
    counts = count_missing(estimates, [("synthetic", "standard-s0")], [])
    work = Work(operations=1e9, transform_operations=part * 1e9, model="standard-s0")
    job = Job("attack", {"dataset": "synthetic", "source": "standard-s0", "attack": "pgd"}, True, work, None)
    config = {"evaluation": {"precision": precision, "batch_size": 4}, "device": "cpu", "threads": 1}
    estimates = Estimates(plan=plan, batch_size=4, counts=counts, given={})
    found = measured_here(Planned(jobs=[job], estimates=estimates, config=config, missing=[], uncounted=[]))
    assert set(found.by_precision) == {"fp32", precision}
    assert (found.transforms is not None) == ("transforms at" in found.words) == (part > 0.1)
    assert min(found.by_precision.values()) > 1e6
