"""What a study or figure was measured by, shortly and in words, for captions: from the resolved configuration.

The lists below a table are longer, and from the records of the jobs that made its numbers (`reporting.facts`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline_lib.configuration.entries import CLEAN
from pipeline_lib.configuration.files import files_in
from pipeline_lib.configuration.given_sets import is_given
from pipeline_lib.configuration.layout_keys import worst_of
from pipeline_lib.configuration.targets import split_target
from pipeline_lib.entries.phrases import Phrases, given_fields, plain_words
from pipeline_lib.entries.storages import LATTICE, storage_of
from pipeline_lib.provenance.file_facts import content_facts
from pipeline_lib.provenance.fingerprints import canonical
from pipeline_lib.records.model_names import entry_of
from pipeline_lib.records.seed_words import seeds_in_words

# An attack that differs from one before it in at most so many numbers states these only.
FEW = 3
DIGEST = 12  # characters of a digest
Plan = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What numbers are of: attacks with the model that their clips are made on (None for the attacked one), models with
    their seeds. tested: whether there are numbers of test clips."""

    dataset: str
    tested: bool
    attacks: Sequence[tuple[str, str | None]]
    models: Sequence[str]


def study_caption(plan: Plan, name: str) -> str:
    """The settings of a study."""
    study = plan["studies"][name]
    return in_words(shown(study["dataset"], _cells_of(study)), plan)


def figure_caption(plan: Plan, name: str) -> str:
    """The caption of a figure: its own, and its settings."""
    figure = plan["figures"][name]
    files = list(files_in(figure["needs"]))
    cells = [cell for file in files for cell in _cells_behind(file, plan)]
    models = [str(file.arguments[1]) for file in files if file.kind == "history"]
    tables = [plan["studies"][file.arguments[0]]["dataset"] for file in files if file.kind == "table"]
    dataset = tables[0] if tables else figure["entry"]["dataset"]
    return f"{figure['caption']} {in_words(shown(dataset, cells, models), plan)}"


def _cells_behind(file: Any, plan: Plan) -> Iterator[Mapping[str, Any]]:
    if file.kind == "table":
        yield from _cells_of(plan["studies"][file.arguments[0]])
    elif file.cell is not None:
        yield file.cell._asdict()


def _cells_of(study: Plan) -> Iterator[Mapping[str, Any]]:
    for rows in (study["rows"], worst_of(study)):
        yield from (cell for row in rows.values() for cells in row.values() for cell in cells)


def shown(dataset: str, cells: Iterable[Mapping[str, Any]], others: Iterable[str] = ()) -> Shown:
    """The attacks and models of cells, each once, in order. others: further models."""
    attacks: dict[tuple[str, str | None], None] = {}
    models: dict[str, None] = {}
    for cell in cells:
        models[split_target(cell["target"])[0]] = None
        if cell["attack"] != CLEAN:
            source = None if cell["source"] == cell["target"] else _source(cell["source"])
            attacks[cell["attack"], source] = None
    tested, names = bool(models), list(models | dict.fromkeys(others))
    return Shown(dataset=dataset, tested=tested, attacks=list(attacks), models=names)


def _source(source: str) -> str:
    """The model that an attack was made on, or the name of a set that the user gives."""
    return source if is_given(source) else entry_of(split_target(source)[0])


def in_words(what: Shown, plan: Plan) -> str:
    """Sentences: data set and seeds, attacks, models, and attacks of their training only."""
    seeds = sorted({plan["models"][model]["seed"] for model in what.models})
    split = ", test clips" if what.tested else ""
    sentences = [f"Data set {what.dataset}{split}, {seeds_in_words(' '.join(map(str, seeds)))}."]
    own = [name for name, _ in what.attacks]
    names = {canonical(plan["attacks"][name]): name for name in reversed([*own, *plan["attacks"]])}
    trained = {name: None for model in what.models for name in _named(plan["models"][model]["defense"], names)}
    stated = dict(_attacks(what.attacks, plan, names))
    others = dict(_attacks([(name, None) for name in trained if name not in stated], plan, names))
    lists = {
        "Attacks": [f"{name} ({words})" for name, words in stated.items()],
        "Models": list(_models(what.models, plan, names)),
        "Trained on": [f"{name} ({words})" for name, words in others.items()],
    }
    return " ".join([*sentences, *(f"{title}: {'; '.join(items)}." for title, items in lists.items() if items)])


def _named(entry: Any, names: Mapping[str, str]) -> Iterator[str]:
    """The attacks in an entry that have a name, the outermost ones."""
    if isinstance(entry, Mapping):
        if name := names.get(canonical(entry)):
            yield name
            return
        entry = list(entry.values())
    for part in entry if isinstance(entry, list | tuple) else ():
        yield from _named(part, names)


def _attacks(
    attacks: Sequence[tuple[str, str | None]], plan: Plan, names: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Each attack with its settings, and the models that its clips are made on if these are not the attacked ones."""
    stated: dict[str, Plan] = {}
    own = {name for name, _ in attacks}
    for name in dict.fromkeys(name for name, _ in attacks):
        entry = plan["attacks"][name]
        others = {key: known for key, known in names.items() if known != name and known in own}
        words = _like_another(entry, stated) or Phrases(shown=given_fields, names=others)(entry)
        if not words.startswith("as "):
            stated[name] = entry
        sources = [source for other, source in attacks if other == name]
        made = f", made on {', '.join(source or 'the attacked model' for source in sources)}" if any(sources) else ""
        stored = "" if storage_of(entry) == LATTICE else f", stored as {storage_of(entry)}"
        yield name, f"{words}{made}{stored}"


def _like_another(entry: Plan, stated: Mapping[str, Plan]) -> str:
    """Text for an attack that is another one but for a few numbers, empty without such."""
    own = _leaves(entry)
    for name, other in stated.items():
        theirs = _leaves(other)
        changed = [path for path in own if own[path] != theirs.get(path)]
        if own.keys() == theirs.keys() and len(changed) <= FEW and not any("method" in path for path in changed):
            numbers = ", ".join(f"{_word(path)} {plain_words(own[path])}" for path in changed)
            return f"as {name}{' with ' if changed else ''}{numbers}"
    return ""


def _leaves(entry: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Path -> value of everything in an entry."""
    parts: Iterable[tuple[Any, Any]] = ()
    if isinstance(entry, Mapping):
        parts = entry.items()
    elif isinstance(entry, list | tuple):
        parts = enumerate(entry)
    else:
        return {path: entry}
    return {key: value for name, part in parts for key, value in _leaves(part, (*path, str(name))).items()}


def _word(path: Sequence[str]) -> str:
    return path[-1].replace("_", " ")


def _models(models: Sequence[str], plan: Plan, names: Mapping[str, str]) -> Iterator[str]:
    """Each model with defense, training and first weights; networks once, with the models that have them."""
    phrases = Phrases(shown=given_fields, names=names)
    first = {entry_of(model): plan["models"][model] for model in reversed(models)}
    first = {name: first[name] for name in dict.fromkeys(map(entry_of, models))}
    networks: dict[str, list[str]] = {}
    for name, model in first.items():
        networks.setdefault(phrases(model["network"]), []).append(name)
    for name, model in first.items():
        yield f"{name} ({phrases(model['defense'])}; {_training(model)})"
    for network, own in networks.items():
        yield f"the network of {'all' if len(networks) == 1 else ', '.join(own)} is {network}"


def _training(model: Plan) -> str:
    """Epochs, and the weights that a model starts from: another model's, or a file's with its digest's beginning."""
    epochs, initial = model["training"]["epochs"], model["initial"]
    words = f"{epochs} epochs" if epochs else "not trained"
    if isinstance(initial, str):
        return f"{words} from {entry_of(initial)}"
    if initial:
        path = Path(initial["file"])
        # A plan may be made without the weights; the job that needs them reports that they are missing.
        digest = f", SHA-256 {content_facts(path)['sha256'][:DIGEST]}" if path.is_file() else ""
        return f"{words} from {path.name}{digest}"
    return words
