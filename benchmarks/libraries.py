"""PGD of other libraries, called as in their READMEs, on networks for videos. Only installed libraries are used.

Each is prepared once: `prepare(network, clips, labels, epsilon, step_size, steps)` returns a function that attacks.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Work = Callable[[], Any]
Prepare = Callable[[nn.Module, Tensor, Tensor, float, float, int], Work]


def torchattacks(network: nn.Module, clips: Tensor, labels: Tensor, epsilon: float, step: float, steps: int) -> Work:
    from torchattacks import PGD

    attack = PGD(network, eps=epsilon, alpha=step, steps=steps)
    return lambda: attack(clips, labels)


def foolbox(network: nn.Module, clips: Tensor, labels: Tensor, epsilon: float, step: float, steps: int) -> Work:
    from foolbox import PyTorchModel
    from foolbox.attacks import LinfPGD

    model = PyTorchModel(network, bounds=(0, 1))
    attack = LinfPGD(abs_stepsize=step, steps=steps)
    return lambda: attack(model, clips, labels, epsilons=[epsilon])[1][0]


def art(network: nn.Module, clips: Tensor, labels: Tensor, epsilon: float, step: float, steps: int) -> Work:
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(
        model=network,
        loss=nn.CrossEntropyLoss(),
        input_shape=tuple(clips.shape[1:]),
        nb_classes=network(clips[:1]).shape[1],
        clip_values=(0, 1),
        device_type="gpu" if clips.is_cuda else "cpu",
    )
    attack = ProjectedGradientDescent(
        classifier, eps=epsilon, eps_step=step, max_iter=steps, num_random_init=1, batch_size=len(clips), verbose=False
    )
    arrays, answers = clips.cpu().numpy(), labels.cpu().numpy()
    return lambda: attack.generate(x=arrays, y=answers)


def cleverhans(network: nn.Module, clips: Tensor, labels: Tensor, epsilon: float, step: float, steps: int) -> Work:
    from cleverhans.torch.attacks.projected_gradient_descent import projected_gradient_descent

    return lambda: projected_gradient_descent(
        network, clips, epsilon, step, steps, np.inf, clip_min=0, clip_max=1, y=labels
    )


LIBRARIES: dict[str, Prepare] = {
    "torchattacks": torchattacks,
    "foolbox": foolbox,
    "art": art,
    "cleverhans": cleverhans,
}


def installed() -> dict[str, Prepare]:
    """The installed libraries; prints a line for each other one."""
    found = {name: prepare for name, prepare in LIBRARIES.items() if find_spec(name)}
    for name in LIBRARIES.keys() - found.keys():
        print(f"{name} is not installed: left out")
    return found


def as_tensor(result: Any, like: Tensor) -> Tensor:
    """A library's result as a tensor on the device of `like`."""
    return torch.as_tensor(result).to(like)
