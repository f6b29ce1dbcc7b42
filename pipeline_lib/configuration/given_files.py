"""Files of the user that entries name: weights, and what methods read (`reads_file`, such as published framings)."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline_lib.configuration.initial_weights import check_weight_files
from pipeline_lib.configuration.messages import fail
from pipeline_lib.configuration.studies import Plan, used_attacks, used_models
from pipeline_lib.entries.facts import files_of
from pipeline_lib.provenance.file_facts import content_facts
from pipeline_lib.records.model_names import entry_of


def check_given_files(plan: Plan) -> None:
    """Raises PipelineError for a file that the studies and figures need and that is missing."""
    check_weight_files(plan)
    for where, entry in _entries(plan):
        for path in files_of(entry):
            if not Path(path).is_file():
                there = Path(path).absolute()
                raise fail(where, f"there is no file {there}; put it there or correct the path")


def _entries(plan: Plan) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The attacks, and the defenses of the models, that are used; each with its key."""
    for attack in sorted(used_attacks(plan)):
        yield f"attacks.{attack}", plan["attacks"][attack]
    for model in used_models(plan):
        yield f"models.{entry_of(model)}.defense", plan["models"][model]["defense"]


def inputs_of(entry: Any) -> dict[str, list[str]]:
    """The files that an entry's methods read, as an input of its job; nothing if there are none."""
    files = files_of(entry)
    return {"files": files} if files else {}


def facts_of(entry: Any) -> dict[str, Any]:
    """Facts about those files. Raises PipelineError for one that cannot be read."""
    files = files_of(entry)
    return {"files": [content_facts(Path(path)) for path in files]} if files else {}
