"""Defenses that own their update: several optimizers, averages and memories, resumed with the same bytes."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch

import tiny
from pipeline_lib.clips.loader import batch_of
from pipeline_lib.clips.store import Clips
from pipeline_lib.defenses.objective import mean_cross_entropy
from pipeline_lib.errors import PipelineError
from pipeline_lib.models import checkpoint
from pipeline_lib.randomness.generators import clip_generators
from training_runs import trained, trained_step_by_step, with_training

NOISE = {"method": "pipeline_lib.transforms.noise:NoiseInjection", "sigma": 0.05}
AWP = {
    "method": "pipeline_lib.defenses.adversarial_weight_perturbation:AdversarialWeightPerturbation",
    "attack": tiny.PGD,
    "gamma": 0.05,
}
FREE = {
    "method": "pipeline_lib.defenses.free_adversarial_training:FreeAdversarialTraining",
    "epsilon": 0.1,
    "replays": 2,
}
SELECTING = tiny.MULTIBN | {"method": "pipeline_lib.defenses.multibn:MultiBN", "selector": tiny.NETWORK}
HEAD_APART = {"method": f"{__name__}:HeadApart", "rate": 0.01}


def averaged(defense: dict, decay: float = 0.7) -> dict:
    method = "pipeline_lib.defenses.exponential_moving_average:ExponentialMovingAverage"
    return {"method": method, "defense": defense, "decay": decay}


def transformed(defense: dict) -> dict:
    return {"method": "pipeline_lib.defenses.transformed:Transformed", "transform": NOISE, "defense": defense}


@dataclass(frozen=True, kw_only=True)
class HeadApart:
    """The head has an Adam of its own, whose rate falls with the steps that the memory counts."""

    rate: float

    def extend(self, network):
        return network

    def objective(self, network, clips, labels, draw):
        return mean_cross_entropy(network(clips), labels)

    def optimizers(self, network, make):
        head = list(network.fc.parameters())
        body = [parameter for parameter in network.parameters() if all(parameter is not other for other in head)]
        return {"body": make(body), "head": torch.optim.Adam(head)}

    def step(self, update):
        steps = update.memory.get("steps", torch.zeros(()))
        figures = update.gradients(self.objective)
        update.descend("body")
        update.descend("head", self.rate / (1 + steps.item()))
        update.memory["steps"] = steps + 1
        return figures


class Forgetful(HeadApart):
    def step(self, update):
        update.gradients(self.objective)


class Misnaming(HeadApart):
    def step(self, update):
        update.descend("tail")


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    return tiny.write_clips(tmp_path_factory.mktemp("clips") / "train.h5")


@pytest.mark.parametrize(
    ("defense", "fields"),
    [
        (HEAD_APART, {}),
        (SELECTING | {"selector_warm_up": 0.4}, {}),
        (averaged(AWP), {"accumulate": 3}),
        (averaged(tiny.MULTIBN), {"select_on": "test"}),
        (FREE, {"precision": "bf16"}),
        (averaged(transformed(FREE)), {"select_on": "test"}),
        (transformed(averaged(AWP)), {}),
    ],
    ids=[
        "two optimizers",
        "warm-up of a selection",
        "average of awp",
        "average of multibn",
        "free",
        "average of free",
        "transformed",
    ],
)
def test_stopped_at_every_step_an_own_update_ends_with_the_same_bytes(tmp_path, clips, monkeypatch, defense, fields):
    entry, more = with_training(defense, **fields), {"test": clips} if fields.get("select_on") else {}
    expected = trained(tmp_path / "whole", entry, clips, **more).read_bytes()
    found, stops = trained_step_by_step(tmp_path / "cut", entry, clips, monkeypatch, **more)
    assert stops >= 4
    assert found.read_bytes() == expected


def test_each_optimizer_moves_its_own_parameters(tmp_path, clips):
    still = checkpoint.load(trained(tmp_path / "still", with_training(epochs=0), clips))["state"]
    moved = checkpoint.load(trained(tmp_path / "moved", with_training(HEAD_APART | {"rate": 0.0}), clips))["state"]
    changed = {name for name, tensor in moved.items() if not torch.equal(tensor, still[name])}
    assert "conv1.weight" in changed
    assert not {"fc.weight", "fc.bias"} & changed


def test_an_update_that_moves_nothing_leaves_the_weights(tmp_path, clips):
    still = checkpoint.load(trained(tmp_path / "still", with_training(epochs=0), clips))["state"]
    kept = checkpoint.load(trained(tmp_path / "kept", with_training(averaged(tiny.STANDARD, 1.0)), clips))["state"]
    assert all(torch.equal(kept[name], tensor) for name, tensor in still.items() if tensor.is_floating_point())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Forgetful", r"Forgetful\.step returned None: return the Figures of its batch"),
        ("Misnaming", "there is no optimizer 'tail': this defense has body, head"),
    ],
)
def test_a_step_of_the_wrong_shape_is_named(tmp_path, clips, name, message):
    with pytest.raises(PipelineError, match=message):
        trained(tmp_path, with_training({"method": f"{__name__}:{name}", "rate": 0.1}), clips)


def test_the_warm_up_of_a_selection_is_a_part_of_the_training_and_no_more(tmp_path, clips):
    """In two of the four steps; the first steps are those of a longer warm-up, and every length is another model."""
    weights = {}
    for warm_up in (0.0, 0.4, 0.5, 1.0):
        entry = with_training(SELECTING | {"selector_warm_up": warm_up})
        weights[warm_up] = checkpoint.load(trained(tmp_path / str(warm_up), entry, clips))
    epochs = {warm_up: model["epochs"] for warm_up, model in weights.items()}
    assert epochs[0.4] == epochs[0.5]
    assert epochs[0.5][0] == epochs[1.0][0]
    assert epochs[0.5][1] != epochs[1.0][1]
    assert epochs[0.0][1] != epochs[0.5][1]


@dataclass(frozen=True, kw_only=True)
class Passes(HeadApart):
    """Several passes in a step, the last one through the head only."""

    count: int
    seen: ClassVar[list] = []

    def objective(self, network, clips, labels, draw):
        self.seen.append(tuple(torch.rand(1, generator=generator).item() for generator in draw("noise")))
        return super().objective(network, clips, labels, draw)

    def of_the_head(self, network, clips, labels, draw):
        return mean_cross_entropy(network.fc(network.fc.weight.detach()), torch.arange(len(network.fc.weight)))

    def step(self, update):
        for _ in range(self.count):
            figures = update.gradients(self.objective)
        update.gradients(self.of_the_head)
        assert update.network.conv1.weight.grad is None
        return figures


def test_passes_draw_numbers_of_their_own_and_leave_no_gradients_to_the_next(tmp_path, clips):
    found = []
    for count in (1, 3):
        Passes.seen.clear()
        method = {"method": f"{__name__}:Passes", "rate": 0.1, "count": count}
        trained(tmp_path / str(count), with_training(method, epochs=1), clips)
        found.append([*Passes.seen])
    assert len(set(found[1])) == len(found[1])
    assert found[1][::3] == found[0]
    # Two steps: what a clip's numbers depend on.
    for step in (0, 1):
        rows = batch_of(step, steps_per_epoch=2, count=10, size=4, seed=0)
        for number, which in enumerate(("", " in pass 1", " in pass 2")):
            keys = [f"{step}/{Clips(clips).videos[row]}/noise{which}" for row in rows]
            drawn = tuple(torch.rand(1, generator=generator).item() for generator in clip_generators(0, keys))
            assert found[1][3 * step + number] == drawn
