"""Models: the network and defense of an entry, with initial or trained weights, and the views of targets."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from pipeline_lib.attacks.protocols import Model
from pipeline_lib.defenses.objective import Defense
from pipeline_lib.defenses.transformed import GENERATOR
from pipeline_lib.entries.building import build
from pipeline_lib.errors import PipelineError
from pipeline_lib.models import checkpoint
from pipeline_lib.networks.bn_selector import network_for_weights, selector_weights
from pipeline_lib.networks.multi_batchnorm import load_initial, through

OTHER_VERSION = (
    "made by another version of this code, or of your own files: its network cannot be built from its entry; delete "
    "it or rerun with --forcerun train"
)


class Trained(NamedTuple):
    """A trained network in eval mode on its device, with facts from its checkpoint."""

    network: nn.Module
    classes: list[str]
    entry: dict[str, Any]


def new_network(entry: dict[str, Any], classes: int) -> tuple[nn.Module, Defense]:
    """The entry's network with initial weights drawn from its seed, extended by its defense."""
    defense = build(entry["defense"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(entry["seed"])
        network = defense.extend(build(entry["network"])(classes))
    return channels_last(network), defense


def channels_last(network: nn.Module) -> nn.Module:
    """The network with kernels in channels-last layout, in which convolutions are faster (10 % of an attack step)."""
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in network.parameters():
        if parameter.dim() in layouts:
            parameter.data = parameter.data.contiguous(memory_format=layouts[parameter.dim()])
    return network


def parameter_count(network: nn.Module) -> int:
    """The number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def start_from(network: nn.Module, initial: Path, classes: list[str] | None = None) -> None:
    """Loads weights of another model or program for fine-tuning; BatchNorms are copied into every branch.

    classes: of the clips, for weights that are evaluated as they are: those that a file states have to be the same.
    """
    if classes is not None:
        check_initial_classes(initial, classes)
    weights = checkpoint.load_foreign(initial)
    try:
        load_initial(network_for_weights(network, weights), weights)
    except PipelineError as error:
        raise PipelineError(f"{initial}: {error}") from error


def check_initial_classes(initial: Path, classes: list[str]) -> None:
    """Raises PipelineError if weights that are evaluated as they are were trained for other classes, as far as their
    file states them: an answer would have another meaning."""
    stated = checkpoint.classes_in(initial)
    if stated is None or stated == classes:
        return
    pairs = zip(stated, classes, strict=False)
    first = next((f"{one!r} instead of {other!r}" for one, other in pairs if one != other), "their number")
    raise PipelineError(
        f"{initial}: trained for {len(stated)} classes other than the {len(classes)} of the clips (the first "
        f"difference: {first}), and a model of 0 epochs uses them as they are"
    )


def start_selection_from(network: nn.Module, initial: Path) -> None:
    """Loads weights into the selection module: of another model's, or of a network trained for other classes.

    Such a head is omitted, as in `load_initial`.
    """
    weights = selector_weights(checkpoint.load_foreign(initial))
    try:
        load_initial(network.get_submodule("selector"), weights)
    except (PipelineError, AttributeError) as error:
        raise PipelineError(f"{initial}: of the selection module: {error}") from error


def start_generator_from(network: nn.Module, initial: Path) -> None:
    """Loads the weights of the trained generator of a transform in front of the network."""
    weights = checkpoint.load_foreign(initial)
    try:
        network.get_submodule(f"{GENERATOR}.block").load_state_dict(weights)
    except (RuntimeError, AttributeError) as error:
        raise PipelineError(f"{initial}: not the weights of this transform's generator ({error})") from error


def load_model(path: Path, device: torch.device) -> Trained:
    """The network of a checkpoint.

    Raises:
        PipelineError: the file is damaged, foreign, made by other code, or does not match the network of its entry.
    """
    content = checkpoint.load(path)
    checkpoint.check_finite(content["state"], path)
    try:
        network, _ = new_network(content["entry"], len(content["classes"]))
    except (PipelineError, AttributeError, KeyError, TypeError) as error:
        raise PipelineError(f"{path}: {OTHER_VERSION} ({error})") from error
    try:
        network.load_state_dict(content["state"])
    except RuntimeError as error:
        raise PipelineError(
            f"{path}: the weights do not fit the network of their entry; delete it ({error})"
        ) from error
    return Trained(network.to(device).eval(), content["classes"], content["entry"])


def view(network: nn.Module, branch: str | None) -> Model:
    """The network as a function of clips, through one branch if it has branches."""
    return network if branch is None else through(network, branch)


def check_classes(model: Trained, classes: list[str], path: Path) -> None:
    """Raises PipelineError if a model was trained for other classes than those of the clips."""
    if model.classes != classes:
        raise PipelineError(
            f"{path}: trained for {len(model.classes)} classes other than the {len(classes)} of the clips"
        )


def check_same_classes(classes: list[str], expected: list[str], path: Path) -> None:
    """Raises PipelineError if test clips have other classes than the training clips."""
    if classes != expected:
        raise PipelineError(f"{path}: its {len(classes)} classes are other than the {len(expected)} of the training")
