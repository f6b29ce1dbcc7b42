"""Paths of the files that the rules make, below one folder of results.

Every argument may also be a wildcard of a rule's pattern, such as "{dataset}". Nothing is read or written here.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline_lib.configuration.entries import CLEAN

# Endings of the files of one set, check or table, by their names in the rules.
SET_ENDINGS = {"adversarial": "h5", "audit": "audit.csv", "trace": "trace.csv"}
CHECK_ENDINGS = {"html": "html", "markdown": "md", "json": "json"}
TABLE_ENDINGS = {"csv": "csv", "markdown": "md", "latex": "tex", "html": "html"}


@dataclass(frozen=True)
class Paths:
    """The paths below `results`, the folder of that name in the configuration."""

    results: str

    def configuration(self) -> str:
        """The whole configuration of the last run (`jobs.run_files`)."""
        return f"{self.results}/config.yaml"

    def rendered(self, dataset: str) -> str:
        """The folder of a data set that is rendered."""
        return f"{self.results}/{dataset}/rendered"

    def downloaded(self, dataset: str) -> str:
        """The folder of a data set that is downloaded."""
        return f"{self.results}/{dataset}/downloaded"

    def clips(self, dataset: str, split: str) -> str:
        """The clip store of a split."""
        return f"{self.results}/{dataset}/clips/{split}.h5"

    def weights(self, dataset: str, model: str) -> str:
        """The checkpoint of a trained model."""
        return f"{self.results}/{dataset}/models/{model}.pt"

    def history(self, dataset: str, model: str) -> str:
        """The training history of a model, one row for each epoch."""
        return f"{self.results}/{dataset}/models/{model}.csv"

    def adversarial(self, dataset: str, source: str, attack: str, ending: str = "h5") -> str:
        """A file about the adversarial set of an attack made on a source: the set itself, or by its ending
        `audit.csv`, `trace.csv`, or `learned.pt` (of a universal attack)."""
        return f"{self.results}/{dataset}/adversarial/{source}/{attack}.{ending}"

    def set_files(self, dataset: str, source: str, attack: str) -> dict[str, str]:
        """The set of an attack made on a source, its audit and its trace."""
        return {name: self.adversarial(dataset, source, attack, ending) for name, ending in SET_ENDINGS.items()}

    def prediction(self, dataset: str, target: str, source: str | None, attack: str) -> str:
        """Predictions of a target on the clean clips, or on the set of an attack made on a source."""
        name = CLEAN if attack == CLEAN else f"{source}/{attack}"
        return f"{self.results}/{dataset}/predictions/{target}/{name}.csv"

    def union(self, dataset: str, study: str, cascade: str) -> str:
        """Predictions on the clips of a study's cascade: wrong for a clip that any of its attacks fools."""
        return f"{self.results}/{dataset}/unions/{study}/{cascade}.csv"

    def features(self, dataset: str, source: str, attack: str) -> str:
        """Distances between a source's features of clean and of adversarial clips, stage by stage."""
        return f"{self.results}/{dataset}/features/{source}/{attack}.csv"

    def feature_maps(self, dataset: str, source: str, attack: str, stage: str, clip: int | str) -> str:
        """What a stage of a source makes of one test clip, clean and under an attack."""
        return f"{self.results}/{dataset}/feature_maps/{source}/{attack}/{stage}-{clip}.npz"

    def check(self, dataset: str, target: str, ending: str) -> str:
        """A check of a target, in one of the formats of CHECK_ENDINGS."""
        return f"{self.results}/{dataset}/checks/{target}.{ending}"

    def check_files(self, dataset: str, target: str) -> dict[str, str]:
        """A check of a target in all formats."""
        return {name: self.check(dataset, target, ending) for name, ending in CHECK_ENDINGS.items()}

    def table(self, name: str, ending: str) -> str:
        """A table in one of the formats of TABLE_ENDINGS."""
        return f"{self.results}/tables/{name}.{ending}"

    def differences(self, study: str, ending: str) -> str:
        """The table of differences between the rows of a study, in one of the formats of TABLE_ENDINGS."""
        return self.table(f"differences/{study}", ending)

    def table_files(self, name: str) -> dict[str, str]:
        """A table in all formats."""
        return {kind: self.table(name, ending) for kind, ending in TABLE_ENDINGS.items()}

    def difference_files(self, study: str) -> dict[str, str]:
        """The table of differences between the rows of a study in all formats."""
        return {f"differences_{kind}": self.differences(study, ending) for kind, ending in TABLE_ENDINGS.items()}

    def figure(self, name: str, ending: str) -> str:
        """A figure, its numbers or its page, by ending."""
        return f"{self.results}/figures/{name}.{ending}"

    def figure_files(self, name: str, endings: Iterable[str]) -> dict[str, str]:
        """The files of a figure, by ending."""
        return {ending: self.figure(name, ending) for ending in endings}

    def partial(self) -> str:
        """The folder of the tables that were made before all results were there."""
        return f"{self.results}/partial"

    def summary(self) -> str:
        """All numbers of the tables."""
        return f"{self.results}/summary.json"

    def opening(self) -> str:
        """The opening page of the report."""
        return f"{self.results}/tables/opening.rst"

    def front(self) -> str:
        """The first page of the report, around what is in `opening`."""
        return f"{self.results}/tables/front.rst"

    def readme(self) -> str:
        """What each file below the folder of results is."""
        return f"{self.results}/README.md"

    def report(self) -> str:
        """The report with all tables and figures."""
        return f"{self.results}/report.html"

    def log(self, name: str, dataset: str | None = None) -> str:
        """The log of a job, below its data set if given."""
        return f"{self._folder(dataset)}/logs/{name}.log"

    def record(self, name: str, dataset: str | None = None) -> str:
        """The record of what a job's results are made of, below its data set if given."""
        return f"{self._folder(dataset)}/identities/{name}.json"

    def _folder(self, dataset: str | None) -> str:
        return self.results if dataset is None else f"{self.results}/{dataset}"
