"""What the results of every job are made of: settings, code, input files and facts about files of the user.

There is one method for each rule, named as the rule; its arguments are the rule's wildcards. Those of the rules that
compute nothing are in `summary_jobs`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline_lib.configuration import given_files, parameters
from pipeline_lib.configuration.describing import Describing
from pipeline_lib.configuration.inputs import Inputs
from pipeline_lib.configuration.layouts import Layouts
from pipeline_lib.configuration.owners import owner_of
from pipeline_lib.configuration.parameters import plain
from pipeline_lib.configuration.paths import Paths
from pipeline_lib.configuration.studies import Plan
from pipeline_lib.configuration.summary_jobs import SummaryJobs
from pipeline_lib.configuration.targets import all_targets, split_target
from pipeline_lib.errors import PipelineError
from pipeline_lib.errors import known as known_names
from pipeline_lib.provenance.descriptions import Description
from pipeline_lib.provenance.file_facts import content_facts

# Rules that share a method.
SAME = dict.fromkeys(("figure_csv", "figure_html", "figure_csv_html"), "figure")


@dataclass(frozen=True)
class Jobs:
    """The jobs of a resolved configuration.

    evaluation, checks: the sections of the configuration (`check`). root: the folder of the workflow.
    """

    plan: Plan
    paths: Paths
    layouts: Layouts
    evaluation: Mapping[str, Any]
    root: Path
    checks: Mapping[str, Any] = field(default_factory=dict)
    known: dict[tuple[str, ...], Description] = field(default_factory=dict)
    makers: dict[str, Description | None] = field(default_factory=dict)

    def describe(self, rule: str, wildcards: Mapping[str, str]) -> Description:
        """What a job's results are made of. Raises PipelineError for an unknown name, and for files of the user that
        cannot be read."""
        rule = SAME.get(rule, rule)
        key = (rule, *(wildcards[name] for name in sorted(wildcards)))
        if key not in self.known:
            if unknown := self.unknown(wildcards):
                raise PipelineError(unknown)
            rules = self.summaries if hasattr(self.summaries, rule) else self
            self.known[key] = getattr(rules, rule)(**wildcards)
        return self.known[key]

    def maker(self, path: str) -> Description | None:
        """The job that makes a file; None for a file that no job makes."""
        if path not in self.makers:
            owner = owner_of(self.paths, path)
            self.makers[path] = None if owner is None or self.unknown(owner.wildcards) else self.describe(*owner)
        return self.makers[path]

    def unknown(self, wildcards: Mapping[str, str]) -> str | None:
        """A sentence about the first name that is not of the configuration; None if all are."""
        for kind, name in wildcards.items():
            if kind in self.names and name not in self.names[kind]:
                return f"there is no {kind} {name!r} in the configuration; {known_names(self.names[kind], name)}"
        return None

    @cached_property
    def names(self) -> dict[str, dict[str, None]]:
        """The names that wildcards may have, by kind."""
        targets = all_targets(self.plan["models"])
        kinds = {"dataset": self.plan["datasets"], "model": self.plan["models"], "attack": self.plan["attacks"]}
        kinds |= {"target": targets, "source": [*targets, *self.plan["sets"]], "study": self.plan["studies"]}
        return {kind: dict.fromkeys(names) for kind, names in (kinds | {"figure": self.plan["figures"]}).items()}

    @cached_property
    def inputs(self) -> Inputs:
        return Inputs(self.plan, self.paths)

    @cached_property
    def described(self) -> Describing:
        return Describing(self.paths, self.root)

    @cached_property
    def summaries(self) -> SummaryJobs:
        return SummaryJobs(self.plan, self.layouts, self.evaluation, self.described)

    def render(self, dataset: str) -> Description:
        entry = parameters.made_entry(self.plan, dataset, "render")
        outputs = {"folder": self.paths.rendered(dataset)}
        return self.described("render", "render", dataset, {"entry": entry}, [entry], {}, outputs)

    def download(self, dataset: str) -> Description:
        entry = parameters.made_entry(self.plan, dataset, "download")
        outputs = {"folder": self.paths.downloaded(dataset)}
        return self.described("download", "download", dataset, {"entry": entry}, [entry], {}, outputs)

    def decode(self, dataset: str, split: str) -> Description:
        """The folder of a data set is left out: its files count, by name and content."""
        entry = parameters.clip_entry(self.plan, dataset)
        given = "root" in self.plan["datasets"][dataset]
        return self.described(
            "decode",
            f"decode/{split}",
            dataset,
            {"split": split, "entry": {key: value for key, value in entry.items() if key != "root"}},
            [entry],
            {"data": self.inputs.raw_data(dataset, split)},
            {"clips": self.paths.clips(dataset, split)},
            self.inputs.data_facts(dataset, split) if given else {},
        )

    def train(self, dataset: str, model: str) -> Description:
        entry, initial = parameters.model_entry(self.plan, model), self.inputs.initial_weights(dataset, model)
        selector = self.inputs.selector_weights(dataset, model)
        files = {
            "clips": self.paths.clips(dataset, "train"),
            "initial": initial,
            "selector": selector,
            "members": self.inputs.member_weights(dataset, model),
            "generator": self.inputs.generator_weights(dataset, model),
            "test": self.inputs.selection_clips(dataset, model),
        }
        outputs = {"weights": self.paths.weights(dataset, model), "history": self.paths.history(dataset, model)}
        given = {"initial": initial, "selector": selector}
        sources = {name: self._given(paths[0]) for name, paths in given.items() if paths and self._given(paths[0])}
        files, sources = files | given_files.inputs_of(entry), sources | given_files.facts_of(entry)
        return self.described("train", f"train/{model}", dataset, {"entry": entry}, [entry], files, outputs, sources)

    def _given(self, path: str) -> dict[str, Any] | None:
        """Facts about a file of weights that the user gives; None for one that a job makes."""
        return None if owner_of(self.paths, path) else content_facts(Path(path))

    def learn(self, dataset: str, source: str, attack: str) -> Description:
        settings = {"entry": parameters.learned_entry(self.plan, attack), "branch": split_target(source)[1]}
        return self.described(
            "learn",
            f"learn/{source}/{attack}",
            dataset,
            settings | {"seed": self.evaluation["seed"]},
            [parameters.attack_entry(self.plan, attack)],
            {"clips": self.paths.clips(dataset, "train"), "weights": self.inputs.weights(dataset, source)},
            {"learned": self.paths.adversarial(dataset, source, attack, "learned.pt")},
        )

    def attack(self, dataset: str, source: str, attack: str) -> Description:
        entry = parameters.attack_entry(self.plan, attack)
        settings = {"entry": entry, "branch": split_target(source)[1], "evaluation": plain(self.evaluation)}
        files = self._tested(dataset, source)
        files["learned"] = self.inputs.learned_pattern(dataset, source, attack)
        files |= given_files.inputs_of(entry)
        outputs = self.paths.set_files(dataset, source, attack)
        outputs["predictions"] = self.paths.prediction(dataset, source, source, attack)
        sources = given_files.facts_of(entry)
        return self.described(
            "attack", f"attack/{source}/{attack}", dataset, settings, [entry], files, outputs, sources
        )

    def union(self, dataset: str, study: str, cascade: str) -> Description:
        attacks = parameters.cascade_entry(self.plan, study, cascade)
        files = self._tested(dataset, self.plan["studies"][study]["cascades"][cascade]["model"])
        files["clean"] = self.inputs.clean_predictions(dataset, study, cascade)
        settings = {"attacks": attacks, "evaluation": plain(self.evaluation)}
        outputs = {"predictions": self.paths.union(dataset, study, cascade)}
        return self.described("union", f"union/{study}/{cascade}", dataset, settings, attacks, files, outputs)

    def predict_clean(self, dataset: str, target: str) -> Description:
        outputs = {"predictions": self.paths.prediction(dataset, target, None, "clean")}
        name, files = f"predict/{target}/clean", self._tested(dataset, target)
        return self.described("predict_clean", name, dataset, self._viewed(target), [], files, outputs)

    def predict_transfer(self, dataset: str, target: str, source: str, attack: str) -> Description:
        adversarial, settings, sources = self.paths.adversarial(dataset, source, attack), self._viewed(target), {}
        if source in self.plan["sets"]:
            adversarial = self.plan["sets"][source]
            settings |= {"attack": parameters.attack_entry(self.plan, attack)}
            sources = {"adversarial": content_facts(Path(adversarial))}
        files = self._tested(dataset, target) | {"adversarial": adversarial}
        outputs = {"predictions": self.paths.prediction(dataset, target, source, attack)}
        name = f"predict/{target}/{source}/{attack}"
        return self.described("predict_transfer", name, dataset, settings, [], files, outputs, sources)

    def features(self, dataset: str, source: str, attack: str) -> Description:
        files = self._tested(dataset, source) | {"adversarial": self.paths.adversarial(dataset, source, attack)}
        outputs = {"features": self.paths.features(dataset, source, attack)}
        name = f"features/{source}/{attack}"
        return self.described("features", name, dataset, self._viewed(source), [], files, outputs)

    def feature_maps(self, dataset: str, source: str, attack: str, stage: str, clip: str) -> Description:
        settings = {"branch": split_target(source)[1], "stage": stage, "clip": clip}
        files = self._tested(dataset, source) | {"adversarial": self.paths.adversarial(dataset, source, attack)}
        outputs = {"maps": self.paths.feature_maps(dataset, source, attack, stage, clip)}
        name = f"feature_maps/{source}/{attack}/{stage}-{clip}"
        return self.described("feature_maps", name, dataset, settings, [], files, outputs)

    def check(self, dataset: str, target: str) -> Description:
        settings = {"branch": split_target(target)[1], "check": plain(self.checks)}
        outputs = self.paths.check_files(dataset, target)
        return self.described("check", f"check/{target}", dataset, settings, [], self._tested(dataset, target), outputs)

    def _tested(self, dataset: str, target: str) -> dict[str, Any]:
        return {"clips": self.paths.clips(dataset, "test"), "weights": self.inputs.weights(dataset, target)}

    def _viewed(self, target: str) -> dict[str, Any]:
        return {"branch": split_target(target)[1], "batch_size": self.evaluation["batch_size"]}
