"""What a job depends on besides its files: slices of the resolved configuration, as plain data in canonical order.

Snakemake compares parameters as text.
"""

import json
from typing import Any

from pipeline_lib.configuration.studies import Plan
from pipeline_lib.provenance.fingerprints import canonical


def plain(entry: Any) -> Any:
    """A copy of plain data with its keys in order."""
    return json.loads(canonical(entry))


def clip_entry(plan: Plan, dataset: str) -> dict[str, Any]:
    """What a clip store depends on: of how files are decoded only which ones may fail."""
    entry = plan["datasets"][dataset]
    return plain({"root": entry.get("root"), "lists": entry["lists"], "decoder": entry["decoder"]} | tolerated(entry))


def tolerated(entry: dict[str, Any]) -> dict[str, list[str]]:
    """The files of a data set that may fail."""
    return {"tolerate": entry["decoding"].get("tolerate", [])}


def model_entry(plan: Plan, model: str) -> dict[str, Any]:
    """What a model depends on: all but what it starts from, which is an input file."""
    return plain({key: value for key, value in plan["models"][model].items() if key != "initial"})


def attack_entry(plan: Plan, attack: str) -> dict[str, Any]:
    """What an adversarial set depends on."""
    return plain(plan["attacks"][attack])


def learned_entry(plan: Plan, attack: str) -> dict[str, Any]:
    """What a learned pattern depends on: all but how its sets are stored."""
    return plain({key: value for key, value in plan["attacks"][attack].items() if key != "storage"})


def made_entry(plan: Plan, dataset: str, kind: str) -> dict[str, Any] | None:
    """What a data set is rendered or downloaded by (`kind` is the key); None if it is made in another way."""
    return plain(plan["datasets"][dataset].get(kind))
