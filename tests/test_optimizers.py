"""Optimizers as entries, against their steps written out by hand."""

import pytest
import torch
from torch import nn

import tiny
from pipeline_lib.errors import PipelineError
from pipeline_lib.models import checkpoint
from pipeline_lib.training.optimizers import SGD, AdamW
from training_runs import trained, trained_step_by_step, with_training

ADAMW = {"method": "pipeline_lib.training.optimizers:AdamW"}


def parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(99)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((3, 2), (4,), (1,))]


def gradients(step: int) -> list[torch.Tensor | None]:
    generator = torch.Generator().manual_seed(step)
    drawn = [torch.randn(parameter.shape, generator=generator) for parameter in parameters()]
    # The second one sometimes has none: a branch that no clip went through.
    return [None if place == 1 and step % 2 == 0 else gradient for place, gradient in enumerate(drawn)]


def rate(step: int) -> float:
    return 0.1 / (1 + step)


def moved(optimizer: torch.optim.Optimizer, values: list[nn.Parameter], steps: range) -> list[nn.Parameter]:
    for step in steps:
        for value, gradient in zip(values, gradients(step), strict=True):
            value.grad = gradient
        optimizer.param_groups[0]["lr"] = rate(step)
        optimizer.step()
    return values


def moved_by_hand(momentum: float, decay: float, steps: range, nesterov: bool = False) -> list[torch.Tensor]:
    """v <- momentum * v + (g + decay * w), beginning with the first gradient; w <- w - rate * v. Nesterov's step is
    along (g + decay * w) + momentum * v."""
    values = [parameter.detach().clone() for parameter in parameters()]
    velocities: list[torch.Tensor | None] = [None] * len(values)
    for step in steps:
        for place, gradient in enumerate(gradients(step)):
            if gradient is None:
                continue
            decayed = gradient.add(values[place], alpha=decay)
            before = velocities[place]
            velocities[place] = decayed if before is None else before.mul(momentum).add(decayed)
            along = decayed.add(velocities[place], alpha=momentum) if nesterov else velocities[place]
            values[place].add_(along, alpha=-rate(step))
    return values


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_the_literal_one_bit_for_bit(nesterov):
    values = parameters()
    found = moved(SGD(momentum=0.9, weight_decay=1e-3, nesterov=nesterov)(values), values, range(6))
    assert all(map(torch.equal, found, moved_by_hand(0.9, 1e-3, range(6), nesterov)))


def test_the_default_is_the_papers_optimizer():
    values = parameters()
    assert all(map(torch.equal, moved(SGD()(values), values, range(3)), moved_by_hand(0.9, 1e-5, range(3))))


def test_adamws_first_step_is_a_decay_and_the_sign_of_the_gradient():
    """Both moments are the gradient's own after one step: w <- w - rate * (decay * w + g / |g|)."""
    values, rows = parameters(), gradients(1)
    found = moved(AdamW(weight_decay=0.5)(values), values, range(1, 2))
    for value, first, gradient in zip(found, parameters(), rows, strict=True):
        torch.testing.assert_close(value, first - rate(1) * (0.5 * first + gradient.sign()))


@pytest.mark.parametrize("make", [SGD(), AdamW()])
def test_a_state_from_a_checkpoint_continues_with_the_same_bytes(tmp_path, make):
    whole, first, second = parameters(), parameters(), parameters()
    expected = moved(make(whole), whole, range(6))
    begun = make(first)
    moved(begun, first, range(3))
    checkpoint.write(tmp_path / "state.pt", checkpoint.canonical(begun.state_dict(), {}))
    continued = make(second)
    continued.load_state_dict(checkpoint.read(tmp_path / "state.pt", "unreadable"))
    for value, old in zip(second, first, strict=True):
        value.data.copy_(old)
    assert all(map(torch.equal, moved(continued, second, range(3, 6)), expected))


@pytest.mark.parametrize("make", [SGD(weight_decay=0.1), AdamW(weight_decay=0.1)])
def test_nothing_moves_before_a_rate_is_set(make):
    values = parameters()
    optimizer = make(values)
    for value in values:
        value.grad = torch.ones_like(value)
    optimizer.step()
    assert all(map(torch.equal, values, parameters()))


def test_no_gradients_at_all_move_nothing():
    values = parameters()
    SGD(weight_decay=0.1)(values).step()
    assert all(map(torch.equal, values, parameters()))


@pytest.mark.parametrize(
    ("make", "message"),
    [(lambda: SGD(momentum=1.5), "momentum is 1.5"), (lambda: AdamW(beta2=1.0), "beta2 is 1.0: .* between 0 and 1")],
)
def test_settings_out_of_range(make, message):
    with pytest.raises(PipelineError, match=message):
        make()


def test_another_optimizer_trains_another_model_and_resumes_with_the_same_bytes(tmp_path, monkeypatch):
    clips = tiny.write_clips(tmp_path / "train.h5")
    entry = with_training(optimizer=ADAMW, learning_rate=0.01)
    expected = trained(tmp_path / "whole", entry, clips).read_bytes()
    assert trained_step_by_step(tmp_path / "cut", entry, clips, monkeypatch)[0].read_bytes() == expected
    sgd = trained(tmp_path / "sgd", with_training(learning_rate=0.01), clips)
    state = checkpoint.load(tmp_path / "whole/model.pt")["state"]
    assert not torch.equal(checkpoint.load(sgd)["state"]["conv1.weight"], state["conv1.weight"])


def test_the_decays_of_the_averages_are_those_of_the_entry():
    (group,) = AdamW(beta1=0.8, beta2=0.9)([torch.zeros(1, requires_grad=True)]).param_groups
    assert group["betas"] == (0.8, 0.9)
