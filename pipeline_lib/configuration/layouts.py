"""Layouts of tables: for each row, column and seed the files with the numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pipeline_lib.configuration.audited_sets import audited_sets, sets_of_sources, sets_on_target
from pipeline_lib.configuration.captions import study_caption
from pipeline_lib.configuration.cascades import UNION, WORST
from pipeline_lib.configuration.claim_cells import TABLE as CLAIMS
from pipeline_lib.configuration.claim_cells import GivenClaims, resolve_claims, studies_of
from pipeline_lib.configuration.clip_numbers import clips_by_video
from pipeline_lib.configuration.entries import CLEAN
from pipeline_lib.configuration.given_sets import models_of
from pipeline_lib.configuration.layout_keys import data_sets_of, worst_of
from pipeline_lib.configuration.parameters import model_entry
from pipeline_lib.configuration.paths import Paths
from pipeline_lib.configuration.pooling import datasets_of_studies
from pipeline_lib.configuration.studies import Plan, used_models
from pipeline_lib.configuration.targets import seeds_of, selector_models, split_target

Cell = Mapping[str, Any]
OVERLAP = "Test videos may be training videos too (allow_overlap)."


@dataclass(frozen=True)
class Layouts:
    """The tables of a resolved configuration, and the files behind them.

    note: printed below every table, in addition to that of its data set. given: claims about the tables.
    """

    plan: Plan
    paths: Paths
    note: str
    given: GivenClaims = field(default_factory=GivenClaims)

    @cached_property
    def studies(self) -> dict[str, dict[str, Any]]:
        """The layout of every study's table, plain data."""
        return {name: self._study(name, study) for name, study in self.plan["studies"].items()}

    def _study(self, name: str, study: Mapping[str, Any]) -> dict[str, Any]:
        kept = ("title", "dataset", "paper", "summaries", "types", "columns", "reference")
        datasets = [self.plan["datasets"][dataset] for dataset in study["datasets"]]
        overlap = OVERLAP if any(dataset["allow_overlap"] for dataset in datasets) else ""
        notes = dict.fromkeys(dataset["note"] for dataset in datasets)
        note = " ".join(part for part in (*notes, overlap, self.note) if part)
        rows = [self._with_unions(name, self._row(study, label, row)) for label, row in study["rows"].items()]
        about: dict[str, Any] = {"name": name, "note": note, "settings": study_caption(self.plan, name)}
        about |= {"clips_by_video": clips} if (clips := clips_by_video(datasets[0])) > 1 else {}
        about |= {"datasets": study["datasets"]} if len(datasets) > 1 else {}
        return {key: study[key] for key in kept} | about | {"rows": rows}

    def _row(self, study: Mapping[str, Any], label: str, row: Mapping[str, list[Cell]]) -> dict[str, Any]:
        datasets, targets = study["datasets"], [cell["target"] for cells in row.values() for cell in cells]
        stronger = worst_of(study).get(label, {})
        worst = {column: self._worst(datasets, cells) for column, cells in stronger.items()}
        beside: dict[str, Any] = {"worst": worst} if worst else {}
        others = {column: self.source_audits(datasets, cells) for column, cells in row.items()}
        beside |= {"source_audits": others} if any(others.values()) else {}
        return beside | {
            "label": label,
            "seeds": seeds_of(targets, self.plan["models"]),
            "cells": {column: self.predictions(datasets, cells) for column, cells in row.items()},
            "entries": {column: [dict(cell) for cell in cells] for column, cells in row.items()},
            "audits": {column: self.white_box_audits(datasets, cells) for column, cells in row.items()},
            "selectors": {column: self.selector_histories(datasets, cells) for column, cells in row.items()},
            # Of the row's first model: it contains the number of parameters, if the study shows it.
            "history": self.paths.history(datasets[0], split_target(targets[0])[0]) if study["parameters"] else None,
        }

    def _with_unions(self, name: str, row: dict[str, Any]) -> dict[str, Any]:
        """The row with the column `UNION`, the predictions of its cascades, if the study has them."""
        study = self.plan["studies"][name]
        own = {key: one for key, one in study.get("cascades", {}).items() if one["label"] == row["label"]}
        if not own:
            return row
        seeds = seeds_of([cascade["model"] for cascade in own.values()], self.plan["models"])
        paths = {key: [self.paths.union(dataset, name, key) for dataset in study["datasets"]] for key in own}
        unions, worst = (
            [path for key in own if key.endswith(WORST) == ends for path in paths[key]] for ends in (False, True)
        )
        beside = {"worst": {UNION: {"cells": worst, "audits": []}}} if worst else {}
        return row | {"seeds": seeds, "cells": row["cells"] | {UNION: unions}} | beside

    def _worst(self, datasets: list[str], cells: list[Cell]) -> dict[str, list[str]]:
        """The predictions and audits of a column's worst case, in the order of `predictions`."""
        return {"cells": self.predictions(datasets, cells), "audits": self.white_box_audits(datasets, cells)}

    def predictions(self, datasets: list[str], cells: list[Cell]) -> list[str]:
        """The predictions of a column's cells: for each seed, those on each data set."""
        return [self.paths.prediction(dataset, **cell) for cell in cells for dataset in datasets]

    def white_box_audits(self, datasets: list[str], cells: list[Cell]) -> list[str]:
        """The audits of sets made on the target itself."""
        return [one.audit.path(self.paths) for one in sets_on_target(datasets, cells)]

    def source_audits(self, datasets: list[str], cells: list[Cell]) -> list[str]:
        """The audits of sets made on another target."""
        return [one.audit.path(self.paths) for one in sets_of_sources(datasets, cells)]

    def selector_histories(self, datasets: list[str], cells: list[Cell]) -> list[str]:
        """The histories of the trainings in which the targets' selection modules learned."""
        models = selector_models([cell["target"] for cell in cells], self.plan["models"])
        return [self.paths.history(dataset, model) for model in models for dataset in datasets]

    def study_files(self, name: str) -> list[str]:
        """All predictions that a study's table needs, the audits of its sets, and histories."""
        rows = self.studies[name]["rows"]
        sizes = {row["history"] for row in rows if row["history"]}
        predictions = {path for row in rows for files in row["cells"].values() for path in files}
        worst = {path for row in rows for files in worst_of(row).values() for path in files["cells"]}
        return sorted(predictions | worst | sizes | {*self.study_marks(name)})

    def study_marks(self, name: str) -> list[str]:
        """What marks the numbers of a study: the audits of its sets, and the histories of parts that only guess."""
        files = (files for row in self.studies[name]["rows"] for files in row["selectors"].values())
        return sorted({path for each in files for path in each} | {*self.study_audits(name)})

    def study_audits(self, name: str) -> list[str]:
        """The audits of a study's sets."""
        rows = self.studies[name]["rows"]
        audits = {path for row in rows for files in row["audits"].values() for path in files}
        audits |= {path for row in rows for files in row.get("source_audits", {}).values() for path in files}
        worst = {path for row in rows for files in worst_of(row).values() for path in files["audits"]}
        return sorted(audits | worst)

    def tables(self) -> list[str]:
        """The files of all tables: two for each study, one of them of differences, the audit, and claims about them."""
        studies, others = [*self.plan["studies"]], ["audit", *([CLAIMS] if self.claimed else [])]
        tables = [path for name in (*studies, *others) for path in self.paths.table_files(name).values()]
        return tables + [path for name in studies for path in self.paths.difference_files(name).values()]

    @cached_property
    def claims(self) -> list[dict[str, Any]]:
        """The claims about the tables, resolved to cells, plain data. PipelineError for cells that do not exist."""
        return resolve_claims(self.given.claims, self.studies, self.given.printed)

    @cached_property
    def claimed(self) -> dict[str, dict[str, Any]]:
        """What the claims compare: of the layout of each study that any of them is about, all but texts."""
        texts = ("title", "note", "settings", "paper", "reference")
        layouts = {name: self.studies[name] for name in studies_of(self.claims)}
        return {
            name: {key: value for key, value in layout.items() if key not in texts} for name, layout in layouts.items()
        }

    def clips_of_studies(self) -> list[str]:
        """The predictions that name the clips of each study: the first of its table, on each of its data sets."""
        firsts = [(next(iter(one["rows"][0]["cells"].values())), one) for one in self.studies.values()]
        return [path for paths, one in firsts for path in paths[: len(data_sets_of(one))]]

    @cached_property
    def entries(self) -> dict[str, dict[str, Any]]:
        """The entries of the attacks and models of the studies' cells, by name."""
        studies = self.plan["studies"].values()
        parts = [rows for study in studies for rows in (*study["rows"].values(), *worst_of(study).values())]
        cells = [cell for columns in parts for cells in columns.values() for cell in cells]
        attacks = sorted({cell["attack"] for cell in cells} - {CLEAN})
        models = sorted({model for cell in cells for model in models_of(cell)})
        return {
            "attacks": {name: self.plan["attacks"][name] for name in attacks},
            "models": {name: model_entry(self.plan, name) for name in models},
        }

    @cached_property
    def audited_sets(self) -> list[dict[str, Any]]:
        """What the table of audits states about each set."""
        return audited_sets(self.plan, self.paths)

    def audited_predictions(self) -> list[str]:
        """The predictions that the verdicts of sets need: where videos have several clips, and those that fall count by
        video."""
        return [one["predictions"] for one in self.audited_sets if "predictions" in one]

    def audits(self) -> list[str]:
        """The audit of each of the audited sets."""
        return [
            self.paths.adversarial(one["dataset"], one["source"], one["attack"], "audit.csv")
            for one in self.audited_sets
        ]

    @cached_property
    def datasets(self) -> list[str]:
        """The data sets of the studies."""
        return datasets_of_studies(self.plan)

    @cached_property
    def trained(self) -> list[tuple[str, str]]:
        """Data set and model of every training that the studies and figures depend on."""
        return [(dataset, model) for dataset in self.datasets for model in used_models(self.plan, dataset)]

    @property
    def decoded(self) -> list[tuple[str, str]]:
        """Data set and split of the clips that the trained models and their scores depend on."""
        return [(dataset, split) for dataset in dict(self.trained) for split in ("train", "test")]
