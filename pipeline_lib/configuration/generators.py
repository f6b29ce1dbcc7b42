"""Generators: models that make images, which transforms of other models name and purify with."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pipeline_lib.configuration.given_sets import models_of
from pipeline_lib.configuration.messages import fail
from pipeline_lib.configuration.studies import Plan, used_cells
from pipeline_lib.configuration.targets import INITIAL, MEMBERS
from pipeline_lib.entries.facts import declared, field_named_by, innermost, known_value, layers
from pipeline_lib.errors import PipelineError
from pipeline_lib.records.model_names import entry_of


def generator_networks(config: Mapping[str, Any]) -> dict[str, Any]:
    """The networks of the models that are generators, by the model's name: what a field annotated as `Generator` may
    name. A network is one by the fact `generates` of its class."""
    entries = {name: entry["network"] for name, entry in config["models"].items() if "network" in entry}
    found = {name: _network(network, config["networks"]) for name, network in entries.items()}
    return {name: network for name, network in found.items() if _generates(network)}


def _network(written: str, networks: Mapping[str, Any]) -> Any:
    """The entry of a network, through names of others; for circular ones, which are refused elsewhere, a name."""
    entry: Any = written
    for _ in networks:
        entry = networks.get(entry) if isinstance(entry, str) else entry
    return entry


def _generates(network: Any) -> bool:
    with suppress(PipelineError):  # a wrong entry is refused where it is resolved
        return isinstance(network, Mapping) and declared(network, "generates") is not None
    return False


def check_generator(where: str, model: Mapping[str, Any]) -> None:
    """Raises PipelineError unless a resolved model's network and defense are both of the same kind of generator, or
    neither is one, and its transform names a generator of the kind that it needs."""
    made, trained = (declared(innermost(model[key]), "generates") for key in ("network", "defense"))
    if made != trained:
        raise fail(
            f"{where}.defense",
            f"the network generates {made or 'nothing'}, and the defense trains one that generates "
            f"{trained or 'nothing'}: maximum_likelihood trains pixelcnn, wasserstein wgan, denoising diffusion",
        )
    transforms = [known_value(layer, "transform") for layer in layers(model["defense"])]
    purifying = [one for one in transforms if isinstance(one, Mapping) and field_named_by(one, "generated_by")]
    if purifying and made:
        raise fail(f"{where}.defense", "a generator is trained on clips as they are: remove the transform with another")
    if len(purifying) > 1:
        raise fail(f"{where}.defense", "two transforms have a generator: name one")
    for one in purifying:
        _check_kind(where, one)


def check_trained(where: str, model: Mapping[str, Any]) -> None:
    """Raises PipelineError for a generator without any training: neither epochs nor initial weights."""
    untrained = model["training"]["epochs"] == 0 and not any(model.get(key) for key in INITIAL)
    if untrained and declared(innermost(model["network"]), "generates"):
        raise fail(f"{where}.training", "epochs is 0: a generator without training or initial weights makes noise")


def _check_kind(where: str, transform: Mapping[str, Any]) -> None:
    needed, given = declared(transform, "needs"), declared(field_named_by(transform, "generated_by"), "generates")
    if needed != given:
        raise fail(f"{where}.defense.transform", f"it needs a generator of {needed}; the one named is of {given}")


def generator_of(defense: Mapping[str, Any]) -> str | None:
    """The model that a transform of a defense, as written in the configuration, names as its generator."""
    transforms = (known_value(layer, "transform") for layer in layers(defense))
    names = (field_named_by(one, "generated_by") for one in transforms if isinstance(one, Mapping))
    return next((name for name in names if isinstance(name, str)), None)


def check_rows(plan: Plan) -> None:
    """Raises PipelineError for a study or figure with predictions of a generator, which has no classes."""
    for _, cell in used_cells(plan):
        for model in models_of(cell):
            for one in [model, *plan["models"][model].get(MEMBERS, [])]:
                if declared(innermost(plan["models"][one]["network"]), "generates"):
                    name = entry_of(one)
                    raise fail(
                        f"models.{name}", "it is a generator, and has no classes: it cannot be a row or a source"
                    )
