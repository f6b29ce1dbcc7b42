"""On a GPU: what the CPU computes, in the precision that is asked for, the same twice, and in the memory there is."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import tiny
from configured import CONFIG, resolved
from pipeline_lib.attacks.regions import RandomPixels, RandomRectangle
from pipeline_lib.attacks.starts import GaussianNoise, UniformBox, UniformNoise
from pipeline_lib.jobs.adapter import torch_device
from pipeline_lib.models.adaptive_batch_size import AdaptiveBatchSize, memory_of
from pipeline_lib.models.trained import new_network
from pipeline_lib.networks.bn_selector import Mixture
from pipeline_lib.networks.multi_batchnorm import MultiBatchNorm, routed
from pipeline_lib.precision import autocast, computing_in, gap_allowed
from pipeline_lib.randomness.generators import clip_generators
from pipeline_lib.training.job import Inputs, Outputs, train_model
from test_updates import AWP, FREE, HEAD_APART, averaged
from training_runs import always_asked

pytestmark = pytest.mark.gpu

GPU = torch.device("cuda")
CLIPS = torch.rand(4, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 0, 1])
SELECTED = {
    "method": "pipeline_lib.defenses.multibn:MultiBN",
    "branches": {"clean": [], "lp": [tiny.PGD]},
    "selector": tiny.NETWORK,
}
DEFENSES = tiny.DEFENSES | {"multibn_selected": SELECTED}
DEMO = resolved(CONFIG)["models"]


@pytest.fixture(autouse=True)
def as_in_a_job() -> Iterator[None]:
    """Operations that are not deterministic are errors."""
    torch_device({"device": "cuda", "threads": 1})
    yield
    torch.set_deterministic_debug_mode("default")


def draw(name: str) -> list[torch.Generator]:
    return clip_generators(0, [f"{name} {i}" for i in range(len(CLIPS))])


def step(entry: dict, clips: torch.Tensor, precision: str = "fp32") -> dict[str, torch.Tensor]:
    """Loss and gradients of one training step where the clips are, on the CPU."""
    network, defense = new_network(entry, 2)
    network.to(clips).train()
    with computing_in(precision), autocast(precision, clips.device):
        loss = defense.objective(network, clips, LABELS.to(clips.device), draw).loss
        loss.backward()
    gradients = {name: value.grad.cpu() for name, value in network.named_parameters() if value.grad is not None}
    return {"loss": loss.detach().cpu()} | gradients


@pytest.mark.parametrize("start", [UniformNoise(radius=0.1), GaussianNoise(deviation=0.1), UniformBox(radius=2.0)])
def test_a_start_is_the_same_on_both(start):
    torch.testing.assert_close(start.first(CLIPS.cuda(), draw("")).cpu(), start.first(CLIPS, draw("")))


@pytest.mark.parametrize(
    "region", [RandomRectangle(height=5, width=7), RandomPixels(count=9), RandomPixels(count=9, replace=False)]
)
def test_a_region_is_the_same_on_both(region):
    assert torch.equal(region.mask(CLIPS.cuda(), draw("")).cpu(), region.mask(CLIPS, draw("")))


@pytest.mark.parametrize("defense", DEFENSES)
def test_a_step_is_that_of_the_cpu(defense):
    """In fp64, where rounding hardly ever changes the sign of a gradient."""
    entry, clips = tiny.model_entry(DEFENSES[defense]), CLIPS.double()
    torch.testing.assert_close(step(entry, clips.cuda()), step(entry, clips), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("model", DEMO)
def test_every_network_and_defense_takes_a_deterministic_step(model):
    frames = 1 if "ResNet2D" in str(DEMO[model]["network"]) else CLIPS.shape[2]
    first, second = (step(DEMO[model], CLIPS[:, :, :frames].cuda()) for _ in range(2))
    assert first["loss"].isfinite()
    torch.testing.assert_close(first, second, rtol=0, atol=0)


@pytest.mark.skipif(torch.cuda.is_available() and torch.cuda.get_device_capability() < (8, 0), reason="has no TF32")
def test_tf32_is_taken_where_it_is_asked_for_only():
    a, b = torch.randn(2, 512, 512, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert error_of(torch.mm, a, b, "fp32") < 2e-5 < error_of(torch.mm, a, b, "tf32") < 1e-2
    features, kernels = a.view(1, 32, 128, 64), b[:32, :288].reshape(32, 32, 3, 3)
    assert error_of(nn.functional.conv2d, features, kernels, "fp32") < 2e-5  # torch's default would be TF32
    assert error_of(nn.functional.conv2d, features, kernels, "tf32") < 1e-2


def error_of(work, a: torch.Tensor, b: torch.Tensor, precision: str) -> float:
    """The largest one against fp64, over the largest value."""
    exact = work(a, b)
    with computing_in(precision):
        found = work(a.float().cuda(), b.float().cuda()).cpu().double()
    return ((found - exact).abs().max() / exact.abs().max()).item()


@pytest.mark.parametrize("defense", ["standard", "at_pgd", "multibn_selected"])
def test_a_step_in_bf16_is_near_that_in_fp32_with_gradients_in_fp32(defense):
    exact, rounded = (step(tiny.model_entry(DEFENSES[defense]), CLIPS.cuda(), p) for p in ("fp32", "bf16"))
    assert {value.dtype for value in rounded.values()} == {torch.float32}
    assert exact["loss"] != rounded["loss"]
    assert abs(exact["loss"] - rounded["loss"]) / (1 + exact["loss"]) <= gap_allowed("bf16")


def trained(folder: Path, clips: Path, entry: dict) -> Path:
    outputs = Outputs(weights=folder / "model.pt", history=folder / "model.csv", runs=folder / "runs")
    train_model(entry, Inputs(clips=clips), outputs, code="", device=GPU)
    return outputs.weights


OWN_UPDATES = {"average_of_awp": averaged(AWP), "free": FREE, "two_optimizers": HEAD_APART}


@pytest.mark.parametrize("defense", ["at_pgd", "multibn_selected", *OWN_UPDATES])
def test_training_stopped_at_every_step_ends_with_the_same_bytes(tmp_path, monkeypatch, defense):
    clips = tiny.write_clips(tmp_path / "train.h5")
    entry = tiny.model_entry((DEFENSES | OWN_UPDATES)[defense]) | {
        "training": tiny.TRAINING | {"augmentation": tiny.CROP_AND_FLIP, "precision": "bf16"}
    }
    whole = trained(tmp_path / "whole", clips, entry).read_bytes()
    while not (tmp_path / "stopped/model.pt").exists():
        with monkeypatch.context() as patch, contextlib.suppress(SystemExit):
            patch.setattr("pipeline_lib.training.job.stop_requests", always_asked)
            trained(tmp_path / "stopped", clips, entry)
    assert (tmp_path / "stopped/model.pt").read_bytes() == whole


def test_the_attack_in_a_step_takes_no_more_memory_than_the_step():
    """Its passes are over, and their memory is free, before the network is trained; clips are small beside them."""
    entry = {"network": tiny.NETWORK | {"width": 16, "stages": 2}, "training": tiny.TRAINING, "seed": 0}
    peaks = {}
    for name in ("standard", "at_pgd"):
        step(entry | {"defense": DEFENSES[name]}, CLIPS.cuda())
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step(entry | {"defense": DEFENSES[name]}, CLIPS.cuda())
        peaks[name] = torch.cuda.max_memory_allocated() - before
    assert peaks["at_pgd"] <= 1.25 * peaks["standard"]


def test_what_fits_into_a_real_memory_is_found_and_remembered(tmp_path):
    clip, room = 2**28, 5 * 2**28
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(GPU).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + room) / total)

    def work(micro_batch: slice) -> list[int]:
        torch.empty((micro_batch.stop - micro_batch.start, clip), dtype=torch.uint8, device=GPU)
        return list(range(micro_batch.start, micro_batch.stop))

    try:
        memory = memory_of(tmp_path, GPU, 1, "test")
        in_batches = AdaptiveBatchSize(16, memory)
        assert np.concatenate(in_batches(work, 20)).tolist() == list(range(20))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert in_batches.size == 4
    assert AdaptiveBatchSize(16, memory).size == 4


def test_only_the_first_of_all_branched_batchnorms_waits_for_the_gpu():
    first, second = (MultiBatchNorm(nn.BatchNorm3d(3), 2).cuda().train() for _ in range(2))
    clips, fractions = CLIPS.cuda(), nn.functional.one_hot(LABELS, 2).float().cuda()
    with routed(Mixture(fractions, fractions)):
        first(clips)
        torch.cuda.set_sync_debug_mode("error")
        try:
            second(clips)
        finally:
            torch.cuda.set_sync_debug_mode("default")
