"""Momentum descent against torch's own class."""

import subprocess
import sys

import torch
from torch import nn

from pipeline_lib.training.optimizer import MomentumDescent


def gradients(step, parameters):
    generator = torch.Generator().manual_seed(step)
    for place, parameter in enumerate(parameters):
        # The second one sometimes has none: a branch that no clip went through.
        missing = place == 1 and step % 2 == 0
        parameter.grad = None if missing else torch.randn(parameter.shape, generator=generator)


def trained(parameters, step_of, steps=range(6)):
    for step in steps:
        gradients(step, parameters)
        step_of(0.1 / (1 + step))
    return [parameter.detach() for parameter in parameters]


def parameters():
    generator = torch.Generator().manual_seed(99)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((3, 2), (4,), (1,))]


def test_the_same_bytes_as_torch():
    ours, theirs = parameters(), parameters()
    optimizer = torch.optim.SGD(theirs, lr=1.0, momentum=0.9, weight_decay=1e-3)

    def torch_step(rate):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()

    mine = MomentumDescent(ours, momentum=0.9, weight_decay=1e-3)
    for a, b in zip(trained(ours, mine.step), trained(theirs, torch_step), strict=True):
        assert torch.equal(a, b)


def test_a_copy_of_the_state_continues():
    whole, first, second = parameters(), parameters(), parameters()
    expected = trained(whole, MomentumDescent(whole, momentum=0.9, weight_decay=0).step)
    begun = MomentumDescent(first, momentum=0.9, weight_decay=0)
    trained(first, begun.step, range(3))
    for new, old in zip(second, first, strict=True):
        new.data.copy_(old)
    continued = MomentumDescent(second, momentum=0.9, weight_decay=0)
    continued.load_state_dict(begun.state_dict())
    for a, b in zip(trained(second, continued.step, range(3, 6)), expected, strict=True):
        assert torch.equal(a, b)


def test_no_gradients_at_all_move_nothing():
    unmoved = parameters()
    optimizer = MomentumDescent(unmoved, momentum=0.9, weight_decay=0.1)
    optimizer.step(0.1)
    assert all(torch.equal(a, b) for a, b in zip(unmoved, parameters(), strict=True))


def test_a_training_loads_no_compiler():
    code = (
        "import sys, torch; from pipeline_lib.training.optimizer import MomentumDescent;"
        "p = torch.nn.Parameter(torch.ones(2)); p.grad = torch.ones(2);"
        "MomentumDescent([p], momentum=0.9, weight_decay=0.1).step(0.1);"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
