"""Parameters of jobs: slices of the resolved configuration, as plain data in canonical order.

Snakemake compares parameters as text.
"""

import json
from typing import Any

from pipeline_lib.configuration.studies import Plan
from pipeline_lib.configuration.targets import INITIAL, MEMBERS
from pipeline_lib.provenance.fingerprints import canonical


def plain(entry: Any) -> Any:
    """A copy of plain data with its keys in order."""
    return json.loads(canonical(entry))


def relative_to(results: str, entry: Any) -> Any:
    """A copy of plain data in which paths below the folder of results begin there: it may be moved."""
    if isinstance(entry, dict):
        return {key: relative_to(results, value) for key, value in entry.items()}
    if isinstance(entry, list):
        return [relative_to(results, value) for value in entry]
    return entry.removeprefix(f"{results}/") if isinstance(entry, str) else entry


def clip_entry(plan: Plan, dataset: str) -> dict[str, Any]:
    """Parameters of a clip store. Of the decoding options only the list of files that may fail is included."""
    entry = plan["datasets"][dataset]
    return plain({"root": entry.get("root"), "lists": entry["lists"], "decoder": entry["decoder"]} | tolerated(entry))


def tolerated(entry: dict[str, Any]) -> dict[str, list[str]]:
    """The files of a data set that may fail."""
    return {"tolerate": entry["decoding"].get("tolerate", [])}


def model_entry(plan: Plan, model: str) -> dict[str, Any]:
    """Parameters of a model: all but the models that its weights come from, which are input files."""
    return plain({key: value for key, value in plan["models"][model].items() if key not in (*INITIAL, MEMBERS)})


def attack_entry(plan: Plan, attack: str) -> dict[str, Any]:
    """Parameters of an adversarial set."""
    return plain(plan["attacks"][attack])


def cascade_entry(plan: Plan, study: str, cascade: str) -> list[dict[str, Any]]:
    """Parameters of a cascade: its attacks in order, with their names and the branches that they attack."""
    steps = plan["studies"][study]["cascades"][cascade]["attacks"]
    return plain([step | {"entry": plan["attacks"][step["attack"]]} for step in steps])


def learned_entry(plan: Plan, attack: str) -> dict[str, Any]:
    """Parameters of a learned pattern: all but the storage of its sets."""
    return plain({key: value for key, value in plan["attacks"][attack].items() if key != "storage"})


def made_entry(plan: Plan, dataset: str, kind: str) -> dict[str, Any] | None:
    """The entry that renders or downloads a data set (`kind` is the key); None if there is none."""
    return plain(plan["datasets"][dataset].get(kind))
