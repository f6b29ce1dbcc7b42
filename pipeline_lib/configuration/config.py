"""Resolving the configuration as written to plain entries: names, references and seeds."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from pipeline_lib.configuration.datasets import resolve_datasets
from pipeline_lib.configuration.ensembles import ensemble_of
from pipeline_lib.configuration.entries import CLEAN, Sections, named, resolve, resolve_attack, resolve_fields
from pipeline_lib.configuration.figures import resolve_figures
from pipeline_lib.configuration.generators import (
    check_generator,
    check_rows,
    check_trained,
    generator_networks,
    generator_of,
)
from pipeline_lib.configuration.given_sets import given_sets
from pipeline_lib.configuration.initial_weights import check_selection, initial_of, seeds_of_entry
from pipeline_lib.configuration.lengths import check_lengths
from pipeline_lib.configuration.messages import fail, lookup
from pipeline_lib.configuration.structure import Schema, check_structure, without_nulls
from pipeline_lib.configuration.studies import resolve_studies, used_attacks, used_models
from pipeline_lib.configuration.supported import check_supported
from pipeline_lib.configuration.sweeps import written_out
from pipeline_lib.configuration.targets import GENERATOR, INITIAL, MEMBERS, branch_attacks
from pipeline_lib.configuration.worst_cases import check_one_bound, implied_attacks
from pipeline_lib.entries.facts import (
    field_named_by,
    innermost,
    layers,
    learning_of,
    own_entry,
    stages_of_entry,
    unknown_stage,
)
from pipeline_lib.entries.interfaces import (
    DEFENSE,
    LEARNED_ATTACK,
    NETWORK,
    SET_ATTACK,
    require_by_name,
)
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.costs import passes, seconds_outside
from pipeline_lib.jobs.counts import transforms_of
from pipeline_lib.precision import check_precision
from pipeline_lib.provenance.fingerprints import canonical
from pipeline_lib.records.model_names import entry_of, model_name

# In the folder of tables, of no study.
OWN_TABLES = {"audit", "claims", "front", "opening"}

ANY_SHAPE = (40, 112, 112)


def read_config(config: Mapping[str, Any], schema: Schema) -> dict[str, dict]:
    """The plan of a configuration with defaults filled in: checked against the schema, then resolved."""
    written = without_nulls(config)
    check_structure(written, schema)
    return resolve_config(written)


def resolve_config(config: Mapping[str, Any]) -> dict[str, dict]:
    """All entries by kind: datasets, attacks (sweeps expanded), models (seeds expanded), studies and figures."""
    check_precision("evaluation.precision", config["evaluation"]["precision"])
    written, sweeps = written_out(config["attacks"])
    sections = {"Attack": written, "Network": config["networks"], "Generator": generator_networks(config)}
    attacks = {name: resolve_attack(f"attacks.{name}", entry, sections) for name, entry in written.items()}
    if CLEAN in attacks:
        raise fail(f"attacks.{CLEAN}", "this name is reserved for clips without an attack")
    _check_own_tables(config)
    attacks |= implied_attacks(config, attacks, sections)
    models = dict(_models(config, sections))
    plan: dict[str, dict] = {"datasets": resolve_datasets(config), "attacks": attacks, "models": models}
    plan["sets"] = given_sets(config["studies"])
    plan["studies"] = resolve_studies(config, plan)
    plan["figures"] = resolve_figures(config, sweeps, plan)
    _check_interfaces(plan)
    check_rows(plan)
    check_lengths(plan)
    return plan


def _check_own_tables(config: Mapping[str, Any]) -> None:
    """Raises PipelineError for a study or figure with the name of a table or page that is always made."""
    for section in ("studies", "figures"):
        for name in sorted(OWN_TABLES & {*config[section]}):
            raise fail(f"{section}.{name}", f"this name is reserved, as are {', '.join(sorted(OWN_TABLES))}")


def _check_interfaces(plan: Mapping[str, Any]) -> None:
    """Raises PipelineError for the first used attack with a missing member, an invalid expression of its `passes`, or
    a set that it does not support; also for those of trainings."""
    for name in sorted(used_attacks(plan)):
        entry = plan["attacks"][name]
        interface = LEARNED_ATTACK if learning_of(entry) is not None else SET_ATTACK
        for layer in layers(own_entry(entry)):
            require_by_name(f"attacks.{name}", layer["method"], interface)
        passes(entry, ANY_SHAPE)
        check_supported(f"attacks.{name}", entry)
        check_one_bound(f"attacks.{name}", entry)
    for model in used_models(plan):
        passes(plan["models"][model]["defense"], ANY_SHAPE)
        for transform in transforms_of(plan["models"][model]["defense"]):
            seconds_outside(transform, ANY_SHAPE)
        check_supported(f"models.{entry_of(model)}.defense", plan["models"][model]["defense"])


def _models(config: Mapping[str, Any], sections: Sections) -> Iterator[tuple[str, dict]]:
    """Resolved models by name and seed. One with an error is left out if no study and no figure names it: a ready-made
    model may not fit the networks of an own configuration."""
    named = _named_models(config)
    resolved = cache(lambda name: _of_all_seeds(name, config["models"][name], config, sections))
    for name, entry in config["models"].items():
        for seed in seeds_of_entry(entry, config):
            try:
                yield model_name(name, seed), _model(name, entry, seed, config, resolved)
            except PipelineError:
                if name in named:
                    raise


def _named_models(config: Mapping[str, Any]) -> set[str]:
    """The models that studies and figures may name (texts in them), and those that these name, to start from."""
    models, found = config["models"], set[str]()
    todo = {text.partition("/")[0] for text in _texts([config["studies"], config["figures"]])} & set(models)
    while todo:
        found |= todo
        todo = (set(_texts([models[name] for name in todo])) & set(models)) - found
    return found


def _texts(entry: Any) -> Iterator[str]:
    """All texts in an entry."""
    if isinstance(entry, str):
        yield entry
    for part in entry.values() if isinstance(entry, Mapping) else entry if isinstance(entry, list) else ():
        yield from _texts(part)


def _model(
    name: str, entry: Mapping[str, Any], seed: int, config: Mapping[str, Any], resolved: Callable[[str], dict]
) -> dict:
    """A model of a seed. resolved: what all seeds of an entry have in common."""
    where = f"models.{name}"
    if MEMBERS in entry:
        return ensemble_of(
            where, name, seed, config, lambda other, own: _model(other, config["models"][other], own, config, resolved)
        )
    model = resolved(name) | {"seed": seed}
    named = {**entry, GENERATOR: generator_of(entry["defense"])}
    model |= {key: initial_of(f"{where}.{key}", name, named.get(key), seed, config) for key in INITIAL}
    check_trained(where, model)
    return model


def _of_all_seeds(name: str, entry: Mapping[str, Any], config: Mapping[str, Any], sections: Sections) -> dict:
    where = f"models.{name}"
    training = lookup(f"{where}.training", entry["training"], config["training"], "training")
    model = {
        "network": _network(f"{where}.network", entry["network"], sections),
        "defense": _defense(f"{where}.defense", entry["defense"], sections),
        "training": resolve_fields(
            f"training.{entry['training']}", training, "pipeline_lib.training.task:Training", {}
        ),
    }
    check_selection(where, entry, model)
    check_generator(where, model)
    return model


def _network(where: str, name: str, sections: Sections) -> dict:
    """A resolved network. Raises PipelineError for an extension after a stage that the class does not declare."""
    network = named(where, name, "Network", sections)
    for layer in layers(network):
        require_by_name(f"networks.{name}", layer["method"], NETWORK)
    stages = stages_of_entry(network)
    for layer in layers(network):
        for stage in field_named_by(layer, "after_stages") or []:
            if stages is not None and stage not in stages:
                raise fail(f"networks.{name}", f"after: {unknown_stage(stage, stages)}")
    return network


def _defense(where: str, entry: Mapping[str, Any], sections: Sections) -> dict:
    defense = resolve(where, entry, sections)
    require_by_name(where, defense["method"], DEFENSE)
    _refuse_goal(where, innermost(defense))
    owner: dict[str, str] = {}
    for branch, attacks in branch_attacks(innermost(defense)).items():
        for i, attack in enumerate(map(canonical, attacks or [None])):
            if owner.setdefault(attack, branch) != branch:
                what = "this attack is" if attacks and attacks[i] else "clean clips are"
                raise fail(f"{where}.branches.{branch}[{i}]", f"{what} already in the branch {owner[attack]!r}")
    return defense


def _refuse_goal(where: str, defense: Mapping[str, Any]) -> None:
    """Refuses an attack with a goal where the defense sets the objective (`replaces_goal`): it would be ignored."""
    attack = field_named_by(defense, "replaces_goal")
    if attack is not None and isinstance(innermost(attack).get("goal"), Mapping):
        raise fail(f"{where}.attack", "trades maximizes a divergence, and this attack has a goal: name one without")
