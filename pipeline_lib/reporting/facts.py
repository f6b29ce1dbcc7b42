"""What the numbers of a table were measured by, in words, from the records of the jobs behind them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline_lib.configuration.layout_keys import data_sets_of, worst_of
from pipeline_lib.entries.phrases import Phrases, all_fields, given_fields
from pipeline_lib.entries.storages import LATTICE, storage_of
from pipeline_lib.provenance.fingerprints import canonical
from pipeline_lib.provenance.origins import Origins, Record, given_digest, input_of, settings_of
from pipeline_lib.records.model_names import entry_and_seed, entry_of
from pipeline_lib.reporting.pooled import in_groups, one_text

CLEAN_CLIPS = "clean clips, without an attack"
WORST = "{} (worst case)"
STORED = {LATTICE: "stored on the 8-bit lattice"}
TRAINING = {"method": "pipeline_lib.training.task:Training"}


@dataclass(frozen=True, kw_only=True)
class Fact:
    """What one prediction is of.

    identity: of the job that predicted. attack, model, data: in words; the model without its seed. branch: of the
    model that answered, if one was chosen.
    """

    identity: str
    attack: str
    model: str
    data: str
    branch: str | None = None


Facts = Mapping[tuple[str, str], Sequence[Fact | None]]


def facts_of(layout: Mapping[str, Any], origins: Origins) -> Facts:
    """(row, column) -> the facts of its predictions, one for each seed, None without a record.

    layout: of `tables.build_table`. A column's worst case has its own key, `WORST` of the column.
    """
    cells = {(row["label"], column): paths for row in layout["rows"] for column, paths in _cells(row)}
    names_of_data = data_sets_of(layout)
    records = {key: [origins.of(path) for path in paths] for key, paths in cells.items()}
    names = attack_names(origins, records)
    reader = Reader(origins, Phrases(), Phrases(shown=given_fields, names=names))
    facts = {key: [reader.fact(one) if one else None for one in found] for key, found in records.items()}
    return {
        key: [together(of_seed, names_of_data) for of_seed in in_groups(found, len(names_of_data))]
        for key, found in facts.items()
    }


def together(facts: Sequence[Fact | None], datasets: Sequence[str]) -> Fact | None:
    """What the predictions of a seed on several data sets are of, in their order; None if one has no record."""
    if len(facts) == 1:
        return facts[0]
    found = [one for one in facts if one is not None]
    if len(found) < len(facts):
        return None
    words = {name: one_text([getattr(one, name) for one in found], datasets) for name in ("attack", "model", "data")}
    return Fact(identity=" ".join(one.identity for one in found), branch=found[0].branch, **words)


def _cells(row: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[str]]]:
    yield from row["cells"].items()
    yield from ((WORST.format(column), one["cells"]) for column, one in worst_of(row).items())


def attack_names(origins: Origins, records: Mapping[tuple[str, str], Sequence[Record | None]]) -> dict[str, str]:
    """Canonical entry -> column, for the attacks of a table's columns: models trained on them name them so."""
    names: dict[str, str] = {}
    for (_, column), found in records.items():
        for record in filter(None, found):
            attack = attack_record(origins, record)
            if attack:
                names.setdefault(canonical(settings_of(attack)["entry"]), column)
    return names


def attack_record(origins: Origins, record: Record) -> Record | None:
    """The record of the attack behind predictions; None for clean clips and cascades."""
    return record if record["rule"] == "attack" else origins.maker(record, "adversarial")


@dataclass(frozen=True)
class Reader:
    """Puts records in words. whole: phrases with all fields, for attacks. short: with the given ones, for models.

    known: words of files by their path and record; all cells of a row have one model, all of a table one set of clips.
    """

    origins: Origins
    whole: Phrases
    short: Phrases
    known: dict[tuple[str, str], str] = field(default_factory=dict)

    def fact(self, record: Record) -> Fact:
        """What predictions are of, from their record."""
        return Fact(
            identity=record["identity"],
            attack=self.attack(record),
            model=self.model(record),
            data=self.data(record),
            branch=settings_of(record).get("branch"),
        )

    def attack(self, record: Record) -> str:
        """The attack behind predictions, on which model it was made, and how its clips are stored."""
        if record["rule"] == "union":
            attacks = settings_of(record)["attacks"]
            steps = "; ".join(f"{step['attack']} ({self.whole(step['entry'])})" for step in attacks)
            return f"correct on the clean clip and under each of: {steps}; {_run(record, steps)}"
        made = attack_record(self.origins, record)
        if digest := given_digest(record, "adversarial"):
            return f"{self.whole(settings_of(record)['attack'])}; a set from a file with SHA-256 {digest}"
        if made is None:
            return CLEAN_CLIPS if input_of(record, "adversarial") is None else "an attack without a record"
        entry = settings_of(made)["entry"]
        stored = STORED.get(storage_of(entry), f"stored as {storage_of(entry)}")
        words = self.whole(entry)
        return f"{words}; {self.place(record, made)}; {stored}; {_run(made, words)}"

    def place(self, record: Record, made: Record) -> str:
        """On which model an attack was made: `white-box`, or the name of another."""
        own, other = input_of(record, "weights"), input_of(made, "weights")
        branch = settings_of(made).get("branch")
        of_branch = f", branch {branch}" if branch else ""
        if own and other and own["record"] == other["record"]:
            same = branch == settings_of(record).get("branch")
            return "white-box" if same else f"made on the same weights{of_branch or ', all branches'}"
        return f"made on {_source(own, other)}{of_branch}"

    def model(self, record: Record) -> str:
        """The model that answered: name, network, and its training."""
        trained, file = self.origins.maker(record, "weights"), input_of(record, "weights")
        if trained is None or file is None:
            return "a model without a record"
        return self._once(file, lambda: self._model(trained, file))

    def _once(self, file: Mapping[str, Any], words: Callable[[], str]) -> str:
        key = (file["path"], file["record"])
        if key not in self.known:
            self.known[key] = words()
        return self.known[key]

    def _model(self, trained: Record, file: Mapping[str, Any]) -> str:
        network = self.short(settings_of(trained)["entry"]["network"])
        return f"{_name(file)}; network {network}; {self.training(trained)}"

    def training(self, trained: Record) -> str:
        """How a model was trained, on what, and from which weights."""
        entry = settings_of(trained)["entry"]
        words = [f"defense {self.short(entry['defense'])}", self._epochs(trained)]
        for name, what in (("initial", "initial weights"), ("selector", "selection module")):
            digest, file = given_digest(trained, name), input_of(trained, name)
            if digest:
                words.append(f"{what} from a file with SHA-256 {digest}")
            elif file:
                maker = self.origins.maker(trained, name)
                words.append(f"{what} of {_name(file)}" + (f" ({self.training(maker)})" if maker else ""))
        members = [_name(file) for file in trained["made_of"]["inputs"].get("members", [])]
        return "; ".join([*words, *([f"weights of {', '.join(members)}"] if members else [])])

    def _epochs(self, trained: Record) -> str:
        entry, clips = settings_of(trained)["entry"]["training"], input_of(trained, "clips")
        if not entry["epochs"]:
            return "not trained"
        kept = {key: value for key, value in entry.items() if key != "epochs"}
        optimizer = all_fields({**TRAINING, **entry})["optimizer"]
        rest = self.short.fields_of({**TRAINING, "optimizer": optimizer, **kept})
        on = f" on {clips['path'].removesuffix('.h5')}" if clips else ""
        return f"trained {entry['epochs']} epochs{on} ({rest})"

    def data(self, record: Record) -> str:
        """The clips of predictions: data set, split, how they were made."""
        clips, file = self.origins.maker(record, "clips"), input_of(record, "clips")
        if clips is None or file is None:
            return "clips without a record"
        return self._once(file, lambda: self._data(clips, file))

    def _data(self, clips: Record, file: Mapping[str, Any]) -> str:
        settings = settings_of(clips)
        words = [
            f"{file['path'].partition('/')[0]}, split {settings['split']}",
            self.short.fields_of(settings["entry"]),
        ]
        raw, facts = self.origins.maker(clips, "data"), clips["made_of"]["sources"]
        words += [f"made by {self.short(settings_of(raw)['entry'])}"] if raw else []
        words += [f"{name} {one['files']} files, {one['size']} bytes" for name, one in facts.items() if "files" in one]
        return "; ".join(words)


def _run(record: Record, words: str) -> str:
    """The seed of an attack and the precision of its passes, unless its words state one."""
    evaluation = settings_of(record)["evaluation"]
    own = ", precision " in words
    return f"seed {evaluation['seed']}" + ("" if own else f", passes in {evaluation['precision']}")


def _name(file: Mapping[str, Any]) -> str:
    """The name of a model without its seed, from its file of weights."""
    return entry_of(Path(file["path"]).stem)


def _source(own: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> str:
    """The name of the model that an attack was made on: without its seed, if it is that of the attacked model."""
    if other is None:
        return "an unknown model"
    full = Path(other["path"]).stem
    same = own and entry_and_seed(Path(own["path"]).stem)[1] == entry_and_seed(full)[1]
    return _name(other) if same else full
