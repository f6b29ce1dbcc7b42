"""The model of the command: code of one's own, a network of this package, or a file; and weights from any program."""

import importlib.util
import inspect
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline_lib.check.branches import with_branch
from pipeline_lib.entries.building import load
from pipeline_lib.entries.fields import fields
from pipeline_lib.entries.methods import METHODS
from pipeline_lib.errors import PipelineError
from pipeline_lib.models import checkpoint
from pipeline_lib.models.trained import load_model
from pipeline_lib.networks.normalization import ChannelNormalization, normalize_inputs

# Prefixes that wrappers of training put before the names of weights.
PREFIXES = ("module.", "model.", "network.", "net.", "backbone.", "_orig_mod.")
# Names under which training programs store the weights in their file.
GROUPS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "state", "weights")
NETWORKS = tuple(name for name, target in METHODS.items() if ".networks.resnet:" in target or "torchvision" in target)
KINDS = f"file.py:factory, a TorchScript file, a checkpoint of this pipeline, or a network: {', '.join(NETWORKS)}"


def model_of(
    given: str, settings: Mapping[str, Any], classes: int, weights: Path | None, branch: str | None = None
) -> nn.Module:
    """The network of a command line, in eval mode.

    given: `file.py:factory`, a file, or the name of a network of this package with its fields in `settings`.
    branch: that clips pass through, of a checkpoint of this pipeline with branches.
    Raises PipelineError, in one sentence, if there is no such model or the weights do not fit.
    """
    path, _, factory = given.rpartition(":")
    if path.endswith(".py"):
        network = _made(own_code(Path(path)), factory, given, settings, classes)
    elif given in NETWORKS:
        network = _named(given, settings, classes)
    elif Path(given).is_file():
        network = _of_file(Path(given))
    else:
        raise PipelineError(f"model {given!r}: there is no such file or network; give {KINDS}")
    if weights is not None:
        load_weights(network, weights)
    return with_branch(network.eval(), given, branch)


def classes_of_checkpoint(given: str) -> list[str] | None:
    """The names of the classes of a checkpoint of this pipeline, in its order; None for any other model."""
    path = Path(given)
    if given in NETWORKS or not path.is_file() or path.suffix == ".py" or is_torchscript(path):
        return None
    content = checkpoint.read(path, "no model: give file.py:factory, and these weights by --weights")
    return list(content["classes"]) if checkpoint.is_own(content) else None


def normalized(network: nn.Module, mean: list[float] | None, std: list[float] | None) -> nn.Module:
    """The network with a normalization of its input, if both are given."""
    if mean is None and std is None:
        return network
    if mean is None or std is None:
        raise PipelineError("give both --mean and --std, or neither: three numbers each, on the [0, 1] scale")
    return normalize_inputs(network, ChannelNormalization(mean=mean, std=std))


def own_code(path: Path) -> Any:
    """The module in a Python file; files beside it can be imported by it."""
    if not path.is_file():
        raise PipelineError(f"{path}: there is no such file")
    if str(path.parent.resolve()) not in sys.path:
        sys.path.insert(0, str(path.parent.resolve()))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise PipelineError(f"{path}: {type(error).__name__}: {error}") from error
    return module


def attribute_of(given: str) -> Any:
    """The object of `file.py:name`. Raises PipelineError if there is none."""
    path, _, name = given.rpartition(":")
    if not path.endswith(".py"):
        raise PipelineError(f"{given!r}: give file.py:name")
    module = own_code(Path(path))
    if not hasattr(module, name):
        raise PipelineError(f"{path} has no {name!r}")
    return getattr(module, name)


def _made(module: Any, factory: str, given: str, settings: Mapping[str, Any], classes: int) -> nn.Module:
    if not hasattr(module, factory):
        raise PipelineError(f"model {given!r}: the file has no {factory!r}")
    made = getattr(module, factory)
    if not isinstance(made, nn.Module):
        if not callable(made):
            raise PipelineError(f"model {given!r}: {factory} is a {type(made).__name__}, not a function or a network")
        try:
            takes = inspect.signature(made).parameters
            made = made(**settings, **({"classes": classes} if "classes" in takes else {}))
        except Exception as error:
            raise PipelineError(f"model {given!r}: {type(error).__name__}: {error}") from error
    if not isinstance(made, nn.Module):
        raise PipelineError(f"model {given!r}: it returns a {type(made).__name__}, not a torch.nn.Module")
    return made


def _named(name: str, settings: Mapping[str, Any], classes: int) -> nn.Module:
    known = fields(METHODS[name])
    unknown = [key for key in settings if key not in known]
    missing = [key for key, one in known.items() if one.required and key not in settings]
    if unknown or missing:
        trouble = f"unknown {', '.join(unknown)}" if unknown else f"{', '.join(missing)} is missing"
        raise PipelineError(f"network {name}: {trouble}; its fields are {', '.join(known)} (--set depth=18)")
    try:
        return load(METHODS[name])(**settings)(classes)
    except (TypeError, ValueError) as error:
        raise PipelineError(f"network {name}: {error}") from error


def _of_file(path: Path) -> nn.Module:
    """A TorchScript archive, or a checkpoint of this pipeline with its entry. Never pickled code."""
    if is_torchscript(path):
        try:
            return torch.jit.load(str(path), map_location="cpu")
        except RuntimeError as error:
            raise PipelineError(f"{path}: a damaged TorchScript file ({str(error).splitlines()[0]})") from error
    content = checkpoint.read(path, "no model: give file.py:factory, and these weights by --weights")
    if checkpoint.is_own(content):
        return load_model(path, torch.device("cpu")).network
    raise PipelineError(f"{path}: weights without a network: give file.py:factory or a network, and these by --weights")


def is_torchscript(path: Path) -> bool:
    """Whether a file is an archive with TorchScript code."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def load_weights(network: nn.Module, path: Path) -> None:
    """Loads weights of a file, under the names that fit. Raises PipelineError if they do not."""
    weights, wanted = weights_of(path), network.state_dict()
    found = fitting(weights, wanted)
    missing = [name for name in wanted if name not in found and not name.endswith("num_batches_tracked")]
    unknown = [name for name in found if name not in wanted]
    if missing or unknown:
        first = f"{missing[0]} is missing" if missing else f"{unknown[0]} is unknown"
        raise PipelineError(
            f"{path}: {len(missing)} weights of the network are missing and {len(unknown)} unknown; {first}"
        )
    for name, value in found.items():
        if value.shape != wanted[name].shape:
            raise PipelineError(
                f"{path}: {name} is {tuple(value.shape)}, and the network's {tuple(wanted[name].shape)}"
            )
    network.load_state_dict(found, strict=False)


def weights_of(path: Path) -> dict[str, Tensor]:
    """The names and tensors of a file of torch or of safetensors. Never pickled code."""
    if not path.is_file():
        raise PipelineError(f"{path}: there is no such file of weights")
    if path.suffix == ".safetensors":
        return _safetensors(path)
    if is_torchscript(path):
        return dict(_of_file(path).state_dict())
    content = checkpoint.read(path, "no weights of torch, cut off, or holding more than tensors and plain values")
    for name in GROUPS:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict):
        raise PipelineError(f"{path}: no weights: expected names and tensors, alone or under 'state_dict'")
    weights = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not weights:
        raise PipelineError(f"{path}: no weights: expected names and tensors, alone or under 'state_dict'")
    checkpoint.check_finite(weights, path)
    return weights


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise PipelineError(f"{path}: install the package safetensors to read it") from None
    try:
        return load_file(str(path))
    except Exception as error:
        raise PipelineError(f"{path}: a damaged file of safetensors ({error})") from error


def fitting(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under the network's names: prefixes that all of them have are removed, as long as that helps."""
    best = dict(weights)
    current = best
    while prefix := next((one for one in PREFIXES if all(name.startswith(one) for name in current)), None):
        current = {name.removeprefix(prefix): value for name, value in current.items()}
        if len(current.keys() & wanted.keys()) > len(best.keys() & wanted.keys()):
            best = current
    return best
