"""Ensembles: entries of `models` that name the trained models whose logits they average."""

from collections.abc import Callable, Mapping
from typing import Any

from pipeline_lib.configuration.initial_weights import initial_of
from pipeline_lib.configuration.messages import fail, lookup
from pipeline_lib.configuration.targets import INITIAL, MEMBERS, views
from pipeline_lib.entries.methods import METHODS
from pipeline_lib.records.model_names import entry_and_seed

ENSEMBLE, MEMBER = (f"pipeline_lib.models.ensemble:{name}" for name in ("Ensemble", "Member"))
# Its weights are those of its members: nothing is trained.
UNTRAINED = {
    "epochs": 0,
    "batch_size": 1,
    "learning_rate": 0.0,
    "schedule": {"method": METHODS["one_cycle"]},
    "select_on": "last",
}


def ensemble_of(
    where: str, name: str, seed: int, config: Mapping[str, Any], resolved: Callable[[str, int], Mapping[str, Any]]
) -> dict[str, Any]:
    """A resolved ensemble: a model that is not trained, and under `MEMBERS` the models that its weights come from (of
    the same seed if they have it, else of their first).

    resolved: the model of an entry's name and a seed. Raises PipelineError for members that are unknown, ensembles
    themselves, or models whose branch has to be chosen.
    """
    members = []
    for i, member in enumerate(config["models"][name][MEMBERS]):
        here = f"{where}.{MEMBERS}[{i}]"
        if MEMBERS in lookup(here, member, config["models"], "model"):
            raise fail(here, f"{member!r} is an ensemble: name its members")
        members.append(str(initial_of(here, name, member, seed, config)))
    models = [resolved(*entry_and_seed(member)) for member in members]
    for i, model in enumerate(models):
        if None not in views(model):
            raise fail(f"{where}.{MEMBERS}[{i}]", f"{members[i]} has branches: an ensemble needs a model that selects")
    parts = [{"method": MEMBER} | {key: model[key] for key in ("network", "defense")} for model in models]
    return {
        "network": {"method": ENSEMBLE, "members": parts},
        "defense": {"method": METHODS["standard"]},
        "training": dict(UNTRAINED),
        "seed": seed,
        MEMBERS: members,
    } | dict.fromkeys(INITIAL)
