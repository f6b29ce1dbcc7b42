"""Figures of the configuration: built from their entries, with their inputs, grouped by the files that they write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from pipeline_lib.configuration.clip_numbers import clips_by_video
from pipeline_lib.configuration.entries import CLEAN, resolve
from pipeline_lib.configuration.files import Cell, File, files_in, misplaced, with_paths
from pipeline_lib.configuration.messages import fail, lookup
from pipeline_lib.configuration.paths import Paths
from pipeline_lib.configuration.pooling import datasets_of_studies
from pipeline_lib.configuration.studies import cell, used_models
from pipeline_lib.configuration.styles import style_of
from pipeline_lib.configuration.sweeps import Sweep
from pipeline_lib.configuration.targets import selector_models, split_target, targets_of
from pipeline_lib.entries.building import build
from pipeline_lib.entries.interfaces import require_by_name
from pipeline_lib.errors import PipelineError
from pipeline_lib.provenance.module_files import source_file

Plan = Mapping[str, Any]
FIGURE = "pipeline_lib.configuration.figures:FigureKind"
PICTURES = ("png", "pdf")
# An optional method of a figure -> the ending of the file that it writes.
EXTRAS = {"numbers": "csv", "page": "html"}


@dataclass(frozen=True, kw_only=True)
class FigurePlan:
    """The entries and files available to a figure. `key`: of its own entry (such as `rows.MultiBN`), for messages."""

    where: str
    dataset: str
    entries: Plan

    def fail(self, key: str, message: str) -> PipelineError:
        """The error for a key of the figure's entry; the caller raises it."""
        return fail(f"{self.where}.{key}", message)

    def at_least(self, count: int, key: str, given: Sequence[Any] | Mapping[str, Any]) -> None:
        """Raises PipelineError for a list or mapping with fewer entries."""
        if len(given) < count:
            raise self.fail(key, f"has {len(given)} entries, and needs at least {count}")

    def attack(self, key: str, name: str) -> dict[str, Any]:
        """The resolved entry of an attack."""
        return lookup(f"{self.where}.{key}", name, self.entries["attacks"], "attack")

    def sweep(self, key: str, name: str) -> Sweep:
        """A sweep of attacks: the swept key, and the names of its attacks with their values."""
        return lookup(f"{self.where}.{key}", name, self.entries["sweeps"], "sweep")

    def study(self, key: str, name: str) -> dict[str, Any]:
        """The resolved entry of a study."""
        return lookup(f"{self.where}.{key}", name, self.entries["studies"], "study")

    def model(self, target: str) -> dict[str, Any]:
        """The resolved entry of a target's model, including its seed."""
        return self.entries["models"][split_target(target)[0]]

    def targets(self, key: str, written: str) -> list[str]:
        """The targets of `entry` or `entry/branch`, one per seed."""
        return targets_of(f"{self.where}.{key}", written, self.entries["models"])

    def cell(self, key: str, target: str, attack: str, source: str | None = None) -> Cell:
        """Predictions of the target on clips of an attack made on itself or on `source` (as written)."""
        if attack != CLEAN:
            self.attack(key, attack)
        found = cell(f"{self.where}.{key}", target, attack, source, self.entries)
        return Cell(self.dataset, target, attack, found["source"])

    def cells(self, key: str, target: str, attack: str, source: str | None = None) -> list[Cell]:
        """The cells of `entry` or `entry/branch`, one per seed."""
        return [self.cell(key, one, attack, source) for one in self.targets(key, target)]

    def first_cells(self, rows: Mapping[str, str], attack: str) -> dict[str, Cell]:
        """The white-box cell of each row's first seed. `rows`: label -> target."""
        return {label: self.cells(f"rows.{label}", row, attack)[0] for label, row in rows.items()}

    @property
    def clips_by_video(self) -> int:
        """How many clips the data set takes of each video."""
        return clips_by_video(self.entries["datasets"][self.dataset])

    def clips(self, split: str = "test") -> File:
        """The clean clips of a split."""
        return File("clips", (self.dataset, split))

    def history(self, key: str, model: str) -> File:
        """The training history of a model, one row per epoch."""
        lookup(f"{self.where}.{key}", model, self.entries["models"], "model")
        return File("history", (self.dataset, model))

    def selector_histories(self, cells: Sequence[Mapping[str, Any]], datasets: Sequence[str] = ()) -> list[File]:
        """The histories of the trainings in which the selection modules of cells' targets learned. datasets: default,
        the figure's own."""
        models = selector_models([one["target"] for one in cells], self.entries["models"])
        return [File("history", (dataset, model)) for model in models for dataset in datasets or [self.dataset]]

    def table(self, study: str) -> File:
        """The numbers of a study's table."""
        return File("table", (study, "csv"))


class FigureKind(Protocol):
    """The interface of figures. The optional method `numbers(files)` returns a table, written as CSV beside the
    pictures. The optional method `page(files)` returns HTML, written as a page.
    """

    dataset: str
    caption: str  # its text in the report

    def needs(self, plan: FigurePlan) -> Any:
        """The inputs: any nesting of mappings and lists that contains files."""

    def draw(self, files: Any) -> Any:
        """A matplotlib figure. `files` is the result of `needs` with paths in place of the files."""


def resolve_figures(config: Plan, sweeps: Mapping[str, Sweep], plan: Plan) -> dict[str, dict[str, Any]]:
    """The figures by name: those of the configuration, a chart of each study, and the training curves of each data set.
    Each has `entry` (resolved), `needs`, `caption`, the `endings` of the files that it writes, and its `style`."""
    entries = dict(plan) | {"sweeps": sweeps, "style": config.get("style", [])}
    figures: dict[str, dict[str, Any]] = {}
    for name, entry in config["figures"].items():
        figures[name] = _resolved(f"figures.{name}", entry, entries)
    for name, entry in _automatic(dict(plan) | {"figures": figures}).items():
        if name in figures:
            raise fail(f"figures.{name}", "this name belongs to a figure that is made automatically: choose another")
        figures[name] = _resolved(f"figures.{name}", entry, entries)
    return figures


def _automatic(plan: Plan) -> dict[str, dict[str, Any]]:
    charts = {
        f"chart_{name}": {"method": "chart", "study": name, "dataset": study["datasets"][0], "title": study["title"]}
        for name, study in plan["studies"].items()
    }
    return charts | {
        f"training_{dataset}": {"method": "training_curves", "dataset": dataset, "models": used_models(plan, dataset)}
        for dataset in datasets_of_studies(plan)
    }


def _resolved(where: str, written: Any, entries: Plan) -> dict[str, Any]:
    style = style_of(where, written, entries["style"])
    entry = resolve(where, {key: value for key, value in written.items() if key != "style"}, {})
    figure = _build(where, entry)
    lookup(f"{where}.dataset", figure.dataset, entries["datasets"], "dataset")
    needs = _needs(where, entry, figure, FigurePlan(where=where, dataset=figure.dataset, entries=entries))
    endings = [*PICTURES, *(ending for method, ending in EXTRAS.items() if hasattr(figure, method))]
    return {"entry": entry, "needs": needs, "caption": figure.caption, "endings": endings, "style": style}


def _build(where: str, entry: Mapping[str, Any]) -> Any:
    """The figure of a resolved entry. Raises PipelineError with the class and the missing member."""
    require_by_name(f"{where}.method", entry["method"], FIGURE)
    try:
        return build(entry)
    except PipelineError:
        raise
    except Exception as error:
        raise _wrong(where, entry, f"cannot be built: {type(error).__name__}: {error}") from error


def _needs(where: str, entry: Mapping[str, Any], figure: Any, plan: FigurePlan) -> Any:
    try:
        needs = figure.needs(plan)
    except PipelineError:
        raise
    except Exception as error:
        raise _wrong(where, entry, f"fails in needs(): {type(error).__name__}: {error}") from error
    if (value := misplaced(needs)) is not None:
        raise _wrong(where, entry, f"returns {value!r} in needs(): expected files (as `cell.predictions`) and text")
    if not any(files_in(needs)):
        raise _wrong(where, entry, "names no file in needs()")
    return needs


def _wrong(where: str, entry: Mapping[str, Any], trouble: str) -> PipelineError:
    name, _, attribute = entry["method"].partition(":")
    return fail(f"{where}.method", f"{source_file(name)}: class {attribute} {trouble}")


class FigureRule(NamedTuple):
    """Figures that write files of the same endings."""

    name: str
    endings: tuple[str, ...]
    figures: list[str]


def figure_rules(plan: Plan) -> list[FigureRule]:
    """One rule for each set of file endings: `figure`, `figure_csv`, `figure_html`, `figure_csv_html`."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, figure in plan["figures"].items():
        groups.setdefault(tuple(figure["endings"]), []).append(name)
    return [
        FigureRule("_".join(["figure", *endings[len(PICTURES) :]]), endings, names)
        for endings, names in sorted(groups.items())
    ]


def figure_inputs(plan: Plan, paths: Paths, name: str) -> list[str]:
    """The files that a figure is drawn from."""
    return sorted({file.path(paths) for file in files_in(plan["figures"][name]["needs"])})


def figure_files(plan: Plan, paths: Paths, name: str) -> Any:
    """The argument of a figure's `draw`: its needs, with paths. Plain data in the figure's own order, which matters."""
    return with_paths(plan["figures"][name]["needs"], paths)


def all_figures(plan: Plan, paths: Paths) -> list[str]:
    """Every file that figures write."""
    return [paths.figure(name, ending) for name, figure in plan["figures"].items() for ending in figure["endings"]]
