"""A transform in front of a network: same weights, same training but for what the network sees, attacked either way."""

from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from pipeline_lib.attacks.expectation import Expectation
from pipeline_lib.attacks.losses import cross_entropy, expectation
from pipeline_lib.clips.loader import as_clips
from pipeline_lib.clips.store import Clips
from pipeline_lib.configuration.entries import resolve
from pipeline_lib.configuration.targets import branches
from pipeline_lib.entries.building import build
from pipeline_lib.errors import PipelineError
from pipeline_lib.models import checkpoint
from pipeline_lib.models.trained import load_model, new_network, start_from
from pipeline_lib.networks.multi_batchnorm import through
from pipeline_lib.randomness.draws import drawing
from pipeline_lib.randomness.generators import clip_generators
from pipeline_lib.transforms.bpda import transformed
from sets import CPU, attacked, frames_of, predicted, rows_of
from training_runs import trained

HALFTONE = {"method": "pipeline_lib.transforms.halftone:Halftone"}
BITS = {"method": "pipeline_lib.transforms.levels:BitDepth", "bits": 2}
MEAN = {"method": "pipeline_lib.transforms.filters:MeanFilter"}
NOISE = {"method": "pipeline_lib.transforms.noise:NoiseInjection", "sigma": 0.2}


def behind(transform: dict, defense: dict = tiny.STANDARD, **fields) -> dict:
    method = "pipeline_lib.defenses.transformed:Transformed"
    return {"method": method, "transform": transform, "defense": defense, **fields}


@pytest.fixture(scope="module")
def noisy(made) -> Path:
    return trained(made, tiny.model_entry(behind(NOISE, tiny.AT_PGD)), made / "clips.h5", "noisy")


def clips_of(made: Path) -> torch.Tensor:
    return as_clips(Clips(made / "clips.h5").read(range(6)), CPU)


def network_of(made: Path, defense: dict) -> torch.nn.Module:
    """A defense around the weights of the plain model, which it did not train."""
    network, _ = new_network(tiny.model_entry(defense), 2)
    start_from(network, made / "plain.pt")
    return network.eval()


def test_the_network_sees_transformed_clips_under_the_same_names(made):
    plain, clips = load_model(made / "plain.pt", CPU).network, clips_of(made)
    network = network_of(made, behind(HALFTONE))
    assert list(network.state_dict()) == list(plain.state_dict())
    assert torch.equal(network(clips), plain(build(HALFTONE)(clips)))


def test_of_two_transforms_the_outer_one_is_first(made):
    plain, clips = load_model(made / "plain.pt", CPU).network, clips_of(made)
    network = network_of(made, behind(MEAN, behind(BITS)))
    assert torch.equal(network(clips), plain(build(BITS)(build(MEAN)(clips))))
    assert not torch.equal(network(clips), plain(build(MEAN)(build(BITS)(clips))))


def test_branches_stay_behind_a_transform(made):
    entry = {"defense": behind(BITS, tiny.MULTIBN)}
    assert branches(entry) == ["clean", "lp", "physical"]
    plain, clips = load_model(made / "plain.pt", CPU).network, clips_of(made)
    network = network_of(made, entry["defense"])
    torch.testing.assert_close(through(network, "lp")(clips), plain(build(BITS)(clips)))


def test_attacked_with_bpda_and_without(made):
    clips, labels = clips_of(made), torch.zeros(6, dtype=torch.long)
    gradients = {}
    for backward in ("bpda", "none"):
        leaf = clips.clone().requires_grad_()
        network = network_of(made, behind(HALFTONE, backward=backward))
        (gradients[backward],) = torch.autograd.grad(cross_entropy(network, labels)(leaf).sum(), leaf)
    seen = build(HALFTONE)(clips).requires_grad_()
    plain = load_model(made / "plain.pt", CPU).network
    (expected,) = torch.autograd.grad(cross_entropy(plain, labels)(seen).sum(), seen)
    assert torch.equal(gradients["bpda"], expected)
    assert expected.any()
    assert not gradients["none"].any()


def test_a_transform_that_changes_nothing_trains_the_same_weights(made, tmp_path):
    """Clips are on the 8-bit lattice, where eight bits change nothing but rounding errors."""
    eight = BITS | {"bits": 8}
    entries = {"plain": tiny.model_entry(tiny.STANDARD), "behind": tiny.model_entry(behind(eight))}
    states = [checkpoint.load(trained(tmp_path, e, made / "clips.h5", n))["state"] for n, e in entries.items()]
    torch.testing.assert_close(states[0], states[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("defense", [tiny.AT_PGD, tiny.AVERAGE, tiny.MULTIBN], ids=["at_pgd", "average", "multibn"])
def test_random_transforms_train_behind_any_defense_to_the_same_bytes(made, tmp_path, defense):
    entry = tiny.model_entry(behind(NOISE, defense))
    first, second = (trained(tmp_path / name, entry, made / "clips.h5") for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    other = trained(tmp_path / "c", tiny.model_entry(defense), made / "clips.h5")
    weight = [checkpoint.load(path)["state"]["conv1.weight"] for path in (first, other)]
    assert not torch.equal(*weight)


def test_both_parts_of_a_network_that_selects_see_the_transform_in_training():
    method = "pipeline_lib.defenses.multibn:MultiBN"
    soft = {"method": method, "branches": {"clean": [], "lp": [tiny.PGD]}, "selector": tiny.NETWORK}
    network, defense = new_network(tiny.model_entry(behind(BITS, soft)), 2)
    seen = []
    for part in (network.selector, network.target):
        part.register_forward_pre_hook(lambda part, inputs: seen.append(inputs[0].detach()))
    clips = torch.rand(2, 3, 4, 16, 16)
    defense.objective(network.train(), clips, torch.tensor([0, 1]), lambda name: clip_generators(0, ["a", "b"]))
    assert len(seen) > 2
    bits = build(BITS)
    assert all(torch.equal(bits(inputs), inputs) for inputs in seen)


def test_zero_epochs_show_a_model_another_way(made, tmp_path):
    """The weights of `initial` behind a transform that they were not trained with, or attacked without BPDA."""
    entry = tiny.model_entry(behind(HALFTONE, backward="none")) | {"training": tiny.TRAINING | {"epochs": 0}}
    path = trained(tmp_path, entry, made / "clips.h5", initial=made / "plain.pt")
    expected = checkpoint.load(made / "plain.pt")["state"]
    torch.testing.assert_close(checkpoint.load(path)["state"], expected, rtol=0, atol=0)


def test_random_networks_predict_the_same_in_any_batch(made, noisy, tmp_path):
    rows = [predicted(made, tmp_path, None, batch_size=size, model="noisy") for size in (10, 3)]
    assert [row["prediction"] for row in rows[0]] == [row["prediction"] for row in rows[1]]
    losses = np.array([[float(row["loss"]) for row in part] for part in rows])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4, atol=2e-6)


def test_random_networks_are_attacked_and_their_sets_predicted_the_same(made, noisy, tmp_path):
    out, single = (attacked(made, tmp_path / str(n), batch_size=n, model="noisy") for n in (4, 1))
    assert (frames_of(made, out) != frames_of(made, single)).mean() < 0.01
    assert predicted(made, tmp_path, out / "set.h5", model="noisy") == rows_of(out / "predictions.csv")


def test_the_audit_shows_masking(made, tmp_path):
    entry = tiny.model_entry(behind(HALFTONE, backward="none")) | {"training": tiny.TRAINING | {"epochs": 0}}
    trained(made, entry, made / "clips.h5", "without_bpda", initial=made / "plain.pt")
    (audit,) = rows_of(attacked(made, tmp_path, model="without_bpda") / "audit.csv")
    assert float(audit["zero_gradients"]) == 1


def test_expectation_is_the_mean_over_draws(made, noisy):
    network, clips = load_model(noisy, CPU).network, clips_of(made)
    loss = cross_entropy(network, torch.zeros(6, dtype=torch.long))
    keys = [str(i) for i in range(6)]
    with drawing(clip_generators(0, keys)), torch.no_grad():
        single = [loss(clips) for _ in range(4)]
    with drawing(clip_generators(0, keys)), torch.no_grad():
        mean = expectation(loss, 4)(clips)
    assert not torch.equal(single[0], single[1])
    torch.testing.assert_close(mean, sum(single) / 4)


def test_expectation_lets_an_attack_climb_a_random_loss():
    """Gradients of random sign, right twice out of three times: their mean over many draws has the right one."""
    random = torch.Generator().manual_seed(0)

    def loss(clips):
        flip = torch.where(torch.rand(clips.shape, generator=random) < 1 / 3, -1.0, 1.0)
        return (clips * flip).flatten(1).sum(1)

    attack, clips = (
        build(tiny.PGD | {"start": {"method": "pipeline_lib.attacks.starts:AtClean"}}),
        torch.zeros(2, 3, 2, 8, 8),
    )
    generators = clip_generators(0, ["a", "b"])
    alone = attack(loss, clips, generators)
    averaged = Expectation(attack=attack, samples=200)(loss, clips, generators)
    assert (averaged == 4 / 255).float().mean() > 0.999
    assert (alone == 4 / 255).float().mean() < 0.8


def test_expectation_is_an_attack_of_the_configuration(made, noisy, tmp_path):
    entry = {"method": "pipeline_lib.attacks.expectation:Expectation", "attack": tiny.PGD, "samples": 3}
    out = attacked(made, tmp_path, entry, model="noisy")
    assert len(rows_of(out / "trace.csv")) == 2 * 3 + 1
    with pytest.raises(PipelineError, match="samples is 0"):
        Expectation(attack=build(tiny.PGD), samples=0)


def test_entries_are_checked():
    given = {"method": "transformed", "transform": {"method": "jpeg", "quality": 50}, "defense": {"method": "standard"}}
    resolved = resolve("models.x.defense", given, {})
    assert resolved["transform"] == {"method": "pipeline_lib.transforms.jpeg:Jpeg", "quality": 50}
    for change, message in (
        ({"backward": "identity"}, r"x\.defense\.backward: expected one of \['bpda', 'none'\]"),
        ({"transform": {"method": "jpg"}}, r"x\.defense\.transform\.method: unknown method 'jpg', .*; known: .*jpeg"),
        (
            {"transform": {"method": "halftone", "outside": "kept"}},
            r"transform\.outside: expected one of \['dropped', ",
        ),
        ({"transform": {"method": "jpeg", "q": 3}}, r"x\.defense\.transform\.q: unknown key; known: quality"),
    ):
        with pytest.raises(PipelineError, match=message):
            resolve("models.x.defense", given | change, {})


DIMMED = """
class Dimmed:
    differentiable = {differentiable}
    stochastic = False
    def __call__(self, clips):
        return clips * 0.5
class InPlace(Dimmed):
    def __call__(self, clips):
        return clips.mul_(0.5)
class ByNumpy(Dimmed):
    def __call__(self, clips):
        clips.detach().numpy()[:] *= 0.5
        return clips
"""


@pytest.mark.parametrize(("differentiable", "writing"), [(True, "InPlace"), (False, "ByNumpy")])
def test_a_transform_of_the_users_that_writes_into_its_input_changes_nothing_else(
    made, tmp_path, monkeypatch, differentiable, writing
):
    """The same bytes as with one that does not: of the model, of the set, and of its audit."""
    name = f"dimming_{writing}_{differentiable}".lower()
    (tmp_path / f"{name}.py").write_text(DIMMED.format(differentiable=differentiable))
    monkeypatch.syspath_prepend(tmp_path)
    weights, folders = [], []
    for kind in ("Dimmed", writing):
        folder = tmp_path / kind
        folder.mkdir()
        (folder / "clips.h5").symlink_to(made / "clips.h5")
        entry = tiny.model_entry(behind({"method": f"{name}:{kind}"}, tiny.AT_PGD))
        trained(folder, entry, folder / "clips.h5", "dimmed")
        network = load_model(folder / "dimmed.pt", CPU).network
        weights.append(network.state_dict())
        folders.append(attacked(folder, folder / "out", tiny.PGD, model="dimmed"))
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert np.array_equal(frames_of(made, folders[0]), frames_of(made, folders[1]))
    assert (folders[0] / "audit.csv").read_bytes() == (folders[1] / "audit.csv").read_bytes()


@pytest.mark.parametrize(("factor", "shift"), [(1.5, 0.0), (1.0, -0.25)])
@pytest.mark.parametrize("differentiable", [True, False])
def test_a_transform_of_the_users_that_leaves_the_unit_interval_is_named(factor, shift, differentiable):
    class Shifted:
        stochastic = False

        def __init__(self) -> None:
            self.differentiable = differentiable

        def __call__(self, clips):
            return clips * factor + shift

    clips = torch.linspace(0, 1, 96).view(2, 3, 1, 4, 4).requires_grad_()
    words = f"transform Shifted returns values from {shift:g} to {factor + shift:g}: it must keep"
    with pytest.raises(PipelineError, match=words):
        transformed(Shifted(), clips)
    assert transformed(Shifted(), clips / 4 + 0.3).requires_grad
