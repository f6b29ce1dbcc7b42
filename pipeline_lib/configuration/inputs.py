"""Input files of the rules, where they depend on an entry of the configuration."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline_lib.configuration.messages import fail
from pipeline_lib.configuration.paths import Paths
from pipeline_lib.configuration.studies import Plan
from pipeline_lib.configuration.targets import GENERATOR, MEMBERS, split_target
from pipeline_lib.entries.building import build, load
from pipeline_lib.entries.facts import learning_of
from pipeline_lib.errors import PipelineError
from pipeline_lib.provenance.file_facts import content_facts, listed_facts


@contextmanager
def wrong_root(dataset: str) -> Iterator[None]:
    """Inside, errors about the files of a data set name the key of its folder."""
    try:
        yield
    except PipelineError as error:
        raise fail(f"datasets.{dataset}.root", str(error)) from None


@dataclass(frozen=True)
class Inputs:
    """The input files of jobs, of a resolved configuration."""

    plan: Plan
    paths: Paths

    def data_root(self, dataset: str) -> str:
        """The folder with a data set's files and lists: given by the user, or made by a rule."""
        entry = self.plan["datasets"][dataset]
        if "root" in entry:
            return entry["root"]
        return self.paths.rendered(dataset) if "render" in entry else self.paths.downloaded(dataset)

    def raw_data(self, dataset: str, split: str) -> list[str]:
        """The input of decoding: the folder made by a rule, or the lists of a data set given by its root.

        Paths with braces are omitted, as Snakemake takes them for wildcards and has no escape.

        Raises:
            PipelineError: the lists of a given data set are missing.
        """
        given = "root" in self.plan["datasets"][dataset]
        files = self.list_files(dataset, split) if given else [self.data_root(dataset)]
        return [path for path in files if not re.search(r"\{\s*\w", path)]

    def list_files(self, dataset: str, split: str) -> list[str]:
        """The lists of a split, below the root of the data set. Raises PipelineError if they are missing."""
        lists, root = self._lists(dataset)
        with wrong_root(dataset):
            overlap = self.plan["datasets"][dataset]["allow_overlap"]
            load("pipeline_lib.clips.leaks:require_separate")(lists, root, overlap)
            return [str(path) for path in lists.list_files(root, split)]

    def data_facts(self, dataset: str, split: str) -> dict[str, Any]:
        """Facts about the files of a split that the user gives: its lists, and the videos or images in them.

        Raises:
            PipelineError: a list is missing or wrong.
        """
        lists, root = self._lists(dataset)
        with wrong_root(dataset):
            items = [] if getattr(lists, "in_lists", False) else [item.path for item in lists.read(root, split)]
            return {
                "lists": {path.name: content_facts(path) for path in lists.list_files(root, split)},
                "files": listed_facts(lists.video_root(root), items),
            }

    def _lists(self, dataset: str) -> tuple[Any, Path]:
        return build(self.plan["datasets"][dataset]["lists"]), Path(self.data_root(dataset))

    def weights(self, dataset: str, target: str) -> str:
        """The checkpoint of the model behind a target."""
        return self.paths.weights(dataset, split_target(target)[0])

    def initial_weights(self, dataset: str, model: str) -> list[str]:
        """The initial weights of a model, if any: of another model or from a file."""
        return self._weights_to_start_from(dataset, model, "initial")

    def selector_weights(self, dataset: str, model: str) -> list[str]:
        """The initial weights of a model's selection module, if any: of another model or from a file."""
        return self._weights_to_start_from(dataset, model, "selector_initial")

    def member_weights(self, dataset: str, model: str) -> list[str]:
        """The weights of the members of an ensemble, in order; none for other models."""
        return [self.paths.weights(dataset, member) for member in self.plan["models"][model].get(MEMBERS, [])]

    def generator_weights(self, dataset: str, model: str) -> list[str]:
        """The weights of the generator of a model's transform, if any."""
        return self._weights_to_start_from(dataset, model, GENERATOR)

    def _weights_to_start_from(self, dataset: str, model: str, key: str) -> list[str]:
        initial = self.plan["models"][model][key]
        if isinstance(initial, dict):
            return [initial["file"]]
        return [self.paths.weights(dataset, initial)] if initial else []

    def selection_clips(self, dataset: str, model: str) -> list[str]:
        """The test clips, where a model's epoch is selected on them, as the authors did."""
        on_test = self.plan["models"][model]["training"].get("select_on") == "test"
        return [self.paths.clips(dataset, "test")] if on_test else []

    def clean_predictions(self, dataset: str, study: str, cascade: str) -> list[str]:
        """The predictions of a cascade's columns without an attack."""
        cells = self.plan["studies"][study]["cascades"][cascade]["clean"]
        return [self.paths.prediction(dataset, **cell) for cell in cells]

    def learned_pattern(self, dataset: str, source: str, attack: str) -> list[str]:
        """The pattern that a universal attack learned on its source; nothing for other attacks."""
        universal = learning_of(self.plan["attacks"][attack]) is not None
        return [self.paths.adversarial(dataset, source, attack, "learned.pt")] if universal else []
