"""Names of models and of targets.

A *model* is `{entry}-s{seed}`. A *target* is a model, or one BatchNorm branch of it, `{entry}-s{seed}-{branch}`. In the
configuration a branch is written `entry/branch`.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from pipeline_lib.configuration.messages import fail
from pipeline_lib.entries.facts import declared, field_named_by, innermost
from pipeline_lib.errors import known
from pipeline_lib.records.model_names import entry_of

# The keys of a model that name weights to start from: of the whole network, and of its selection module. The last one
# is not written: a transform names the model that is its generator.
GENERATOR = "generator"
INITIAL = ("initial", "selector_initial", GENERATOR)
# The key of an ensemble that names the models whose weights it has.
MEMBERS = "members"


def core_defense(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """The innermost defense of a resolved model entry."""
    return innermost(model["defense"])


def branches(model: Mapping[str, Any]) -> list[str]:
    """The BatchNorm branches of a resolved model entry, in order; none for an ordinary network."""
    return list(branch_attacks(core_defense(model)))


def branch_attacks(defense: Mapping[str, Any]) -> Mapping[str, Any]:
    """The attack of each BatchNorm branch of a resolved defense; its class names the field as `branches_by`."""
    return field_named_by(defense, "branches_by") or {}


def selects(model: Mapping[str, Any]) -> bool:
    """Whether a resolved model entry has a selection module."""
    return bool(declared(core_defense(model), "selects_branch"))


def views(model: Mapping[str, Any]) -> list[str | None]:
    """The views of a resolved model: each branch, and the whole model (None) unless a branch has to be chosen."""
    return [*branches(model), *([None] if not branches(model) or selects(model) else [])]


@cache
def split_target(target: str) -> tuple[str, str | None]:
    """The model of a target, and its branch, if any."""
    model, _, branch = re.fullmatch(r"([^-]+-s\d+)(-(.+))?", target).groups()  # type: ignore[union-attr]
    return model, branch


def targets_of(where: str, written: str, models: Mapping[str, dict]) -> list[str]:
    """The targets of `entry` or `entry/branch`, one per seed."""
    name, slash, branch = written.partition("/")
    own = [model for model in models if entry_of(model) == name]
    if not own:
        raise fail(where, f"unknown model {name!r}; {known({entry_of(model) for model in models}, name)}")
    has = branches(models[own[0]])
    if slash and branch not in has:
        raise fail(where, f"model {name!r} has no branch {branch!r}; {known(has or ['none'], branch)}")
    if not slash and None not in views(models[own[0]]):
        raise fail(where, f"model {name!r} has branches: choose one, as in {name}/{has[0]}")
    return [f"{model}-{branch}" if slash else model for model in own]


def all_targets(models: Mapping[str, dict]) -> list[str]:
    """Every target of the resolved models."""
    return [f"{name}-{branch}" if branch else name for name, model in models.items() for branch in views(model)]


def seeds_of(targets: Iterable[str], models: Mapping[str, dict]) -> list[int]:
    """The seeds of the targets' models, each once, in order."""
    return sorted({models[split_target(target)[0]]["seed"] for target in targets})


def source_for(target: str, sources: list[str], models: Mapping[str, dict]) -> str:
    """The source, of those of all seeds, whose sets `target` is tested on.

    For another view of the same weights (a branch, or the model without its transform) it is the one of the same seed;
    for another model, the first seed.
    """
    own = trained(target, models)
    return next((source for source in sources if trained(source, models) == own), sources[0])


def trained(target: str, models: Mapping[str, dict]) -> str:
    """The model or file that a target's weights come from: for a model of 0 epochs, its initial weights."""
    model = split_target(target)[0]
    entry = models[model]
    if entry["training"]["epochs"] or not entry["initial"]:
        return model
    return trained(entry["initial"], models) if isinstance(entry["initial"], str) else str(entry["initial"]["file"])


def selector_models(targets: Iterable[str], models: Mapping[str, dict]) -> list[str]:
    """The models in whose trainings the targets' selection modules and generators learned, sorted; of targets without,
    none."""
    targets = list(targets)
    views = [(target, *split_target(target)) for target in targets]
    origins = {trained(target, models) for target, model, branch in views if branch is None and selects(models[model])}
    origins |= {made for target in targets if (made := models[split_target(target)[0]].get(GENERATOR))}
    return sorted(origins & models.keys())  # weights of a file have no training here
