"""Studies and figures of the configuration, resolved to cells: which target meets which attack, made on which model."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipeline_lib.configuration.entries import CLEAN, fail, known, lookup
from pipeline_lib.configuration.figures import features, figure_cells, masking
from pipeline_lib.configuration.sweeps import Sweep, positions
from pipeline_lib.configuration.targets import branches, selects, source_for, split_target, targets_of
from pipeline_lib.entries.facts import field_named_by, innermost, loss_of_entry

ROW_KEYS = ("target", "attack", "source")
Plan = Mapping[str, Any]


def cell(where: str, target: str, attack: str, source: str | None, plan: Plan) -> dict[str, str | None]:
    """What is predicted: clips of `attack` made on `source` (as written; the target itself if None), by `target`."""
    if attack == CLEAN:
        return {"target": target, "attack": CLEAN, "source": None}
    models = plan["models"]
    made_on = target if source is None else source_for(target, targets_of(f"{where}.source", source, models), models)
    check_loss(where, attack, made_on, plan)
    return {"target": target, "attack": attack, "source": made_on}


def check_loss(where: str, attack: str, source: str, plan: Plan) -> None:
    """A loss with a `type` needs a source whose selection module knows that type."""
    loss = loss_of_entry(plan["attacks"][attack])
    kind = field_named_by(loss, "names_branch") if loss else None
    model, branch = split_target(source)
    if kind is None:
        return
    if branch is not None or not selects(plan["models"][model]):
        raise fail(where, f"attack {attack!r} climbs the loss of a selection module, and {source} chooses nothing")
    lookup(f"attacks.{attack}.loss.type", kind, dict.fromkeys(branches(plan["models"][model])), "branch")


def resolve_studies(config: Mapping[str, Any], plan: Plan) -> dict[str, dict]:
    return {name: _study(f"studies.{name}", entry, plan) for name, entry in config["studies"].items()}


def _study(where: str, entry: Mapping[str, Any], plan: Plan) -> dict:
    lookup(f"{where}.dataset", entry["dataset"], plan["datasets"], "dataset")
    columns = {label: _column(f"{where}.columns.{label}", given, plan) for label, given in entry["columns"].items()}
    if "target" in columns:
        raise fail(f"{where}.columns.target", "this label is kept for the target of a row")
    source = entry.get("source")
    _check_names(where, {"source": source} if source else {}, plan)
    rows = {label: _row(f"{where}.rows.{label}", row, columns, source, plan) for label, row in entry["rows"].items()}
    types = entry.get("types")
    if types is not None:
        _check_types(where, types, columns, rows, plan)
    return {
        "title": entry["title"],
        "dataset": entry["dataset"],
        "paper": list(entry["paper"]),
        "columns": list(columns),
        "types": types,
        "parameters": entry["parameters"],
        "summaries": list(entry["summaries"]),
        "rows": rows,
    }


def _column(where: str, given: str | Mapping[str, str], plan: Plan) -> dict[str, str]:
    """A column's attack and source, as far as the column says them."""
    column = {"attack": given} if isinstance(given, str) else dict(given)
    _check_names(where, column, plan)
    return column


def _check_names(where: str, given: Mapping[str, Any], plan: Plan) -> None:
    attacks = given.get("attack", {})
    for name in [attacks] if isinstance(attacks, str) else attacks.values():
        lookup(where, name, plan["attacks"] | {CLEAN: {}}, "attack")
    if "source" in given:
        targets_of(f"{where}.source", given["source"], plan["models"])


def _row(where: str, row: Any, columns: Mapping[str, dict], source: str | None, plan: Plan) -> dict[str, list[dict]]:
    """The cells of each column of a row, one for each seed. What a column leaves open is said by the row."""
    targets, given = _written_row(where, row, columns, plan)
    cells = {}
    for column, written in targets.items():
        both = {"source": source} | _of_column(given, column) | columns[column]
        if "attack" not in both:
            raise fail(f"{where}.attack", f"missing, and column {column!r} names none either")
        found = targets_of(f"{where}.{column}", written, plan["models"])
        cells[column] = [cell(where, target, both["attack"], both["source"], plan) for target in found]
    return cells


def _of_column(given: Mapping[str, Any], column: str) -> dict[str, Any]:
    """What a row says of one column: its attack may be one for each."""
    attack = given.get("attack")
    if not isinstance(attack, Mapping):
        return dict(given)
    rest = {key: value for key, value in given.items() if key != "attack"}
    return rest | ({"attack": attack[column]} if column in attack else {})


def _written_row(where: str, row: Any, columns: Mapping[str, Any], plan: Plan) -> tuple[dict[str, str], dict]:
    """Column -> target of a row, all in the short form or under `target`; and the row's own attack and source."""
    given = dict(row) if isinstance(row, Mapping) and "target" in row else {"target": row}
    for key in given:
        if key not in ROW_KEYS:
            raise fail(f"{where}.{key}", f"unknown key of a row with 'target'; {known(ROW_KEYS)}")
    target = given.pop("target")
    _check_names(where, given, plan)
    targets = dict.fromkeys(columns, target) if isinstance(target, str) else dict(target)
    attacks = given.get("attack", {})
    for column in [*targets, *({} if isinstance(attacks, str) else attacks)]:
        lookup(f"{where}.{column}", column, columns, "column")
    return targets, given


def _check_types(where: str, types: Mapping[str, str], columns: Mapping, rows: Mapping, plan: Plan) -> None:
    """The rows of a table of selections are models that select, and each column's type is a branch of theirs."""
    for column in columns:
        lookup(f"{where}.types.{column}", column, types, "column")
    for label, row in rows.items():
        for target in {cell["target"] for cells in row.values() for cell in cells}:
            model, branch = split_target(target)
            if branch is not None or not selects(plan["models"][model]):
                raise fail(f"{where}.rows.{label}", "types compare what a selection module chose: name such a model")
            for column, name in types.items():
                lookup(f"{where}.types.{column}", name, dict.fromkeys(branches(plan["models"][model])), "branch")


def resolve_figures(config: Mapping[str, Any], sweeps: Mapping[str, Sweep], plan: Plan) -> dict[str, dict]:
    """The figures by kind and name."""

    def targets(where: str, written: str) -> list[str]:
        return targets_of(where, written, plan["models"])

    kinds: dict[str, Callable[[str, Mapping[str, Any]], dict]] = {
        "perturbations": lambda where, entry: _perturbations(where, entry, plan),
        "iterations": lambda where, entry: _iterations(where, entry, plan),
        "sweeps": lambda where, entry: _sweeps(where, entry, sweeps, plan),
        "features": lambda where, entry: features(where, entry, plan, targets),
        "masking": lambda where, entry: masking(where, entry, plan, targets),
    }
    figures: dict[str, dict] = {kind: {} for kind in kinds}
    for kind, resolve_entry in kinds.items():
        for name, entry in config["figures"].get(kind, {}).items():
            where = f"figures.{kind}.{name}"
            lookup(f"{where}.dataset", entry["dataset"], plan["datasets"], "dataset")
            figures[kind][name] = resolve_entry(where, entry)
    return figures


def _perturbations(where: str, entry: Mapping[str, Any], plan: Plan) -> dict:
    source = targets_of(f"{where}.source", entry["source"], plan["models"])[0]
    for i, name in enumerate(entry["attacks"]):
        lookup(f"{where}.attacks[{i}]", name, plan["attacks"], "attack")
        check_loss(f"{where}.attacks[{i}]", name, source, plan)
    return dict(entry) | {"source": source}


def _iterations(where: str, entry: Mapping[str, Any], plan: Plan) -> dict:
    """Each row's first seed: a trace belongs to one set."""
    attack = entry["attack"]
    restarts = innermost(lookup(f"{where}.attack", attack, plan["attacks"], "attack")).get("restarts", 1)
    if isinstance(restarts, int) and restarts > 1:
        raise fail(f"{where}.attack", f"attack {attack!r} has restarts: a trace would show all climbs as one")
    rows = {}
    for label, written in entry["rows"].items():
        inside = f"{where}.rows.{label}"
        rows[label] = cell(inside, targets_of(inside, written, plan["models"])[0], attack, None, plan)
    return dict(entry) | {"rows": rows}


def _sweeps(where: str, entry: Mapping[str, Any], sweeps: Mapping[str, Sweep], plan: Plan) -> dict:
    """The panels of a figure: what is swept, its values as written and where they stand, and each row's cells."""
    chosen = {
        label: lookup(f"{where}.panels.{label}", name, sweeps, "sweep") for label, name in entry["panels"].items()
    }
    panels: dict[str, dict] = {
        label: {
            "key": sweep.key,
            "values": [str(value) for value in sweep.values.values()],
            "positions": positions(list(sweep.values.values())),
            "rows": {},
        }
        for label, sweep in chosen.items()
    }
    for label, row in entry["rows"].items():
        inside = f"{where}.rows.{label}"
        targets, given = _written_row(inside, row, chosen, plan)
        if "attack" in given:
            raise fail(f"{inside}.attack", "the panels say the attacks")
        source = {"source": entry.get("source")} | given
        for panel, written in targets.items():
            found = targets_of(f"{inside}.{panel}", written, plan["models"])
            panels[panel]["rows"][label] = [
                [cell(inside, target, attack, source["source"], plan) for target in found]
                for attack in chosen[panel].values
            ]
    return {"title": entry["title"], "dataset": entry["dataset"], "panels": panels}


def used_cells(plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    """Data set and cell of everything that the studies and figures show; some more than once."""
    for study in plan["studies"].values():
        yield from (
            (study["dataset"], one) for row in study["rows"].values() for cells in row.values() for one in cells
        )
    for figure in plan["perturbations"].values():
        source = figure["source"]
        for attack in figure["attacks"]:
            yield figure["dataset"], {"target": source, "attack": attack, "source": source}
    for figure in plan["iterations"].values():
        yield from ((figure["dataset"], one) for one in figure["rows"].values())
    for figure in plan["sweeps"].values():
        for panel in figure["panels"].values():
            curves = panel["rows"].values()
            yield from ((figure["dataset"], one) for curve in curves for cells in curve for one in cells)
    yield from figure_cells(plan)


def used_models(plan: Plan, dataset: str | None = None) -> list[str]:
    """The models, sources included, that the studies and figures (of a data set) need; not those they start from."""
    used = [one for name, one in used_cells(plan) if dataset in (None, name)]
    return sorted({split_target(one[key])[0] for one in used for key in ("target", "source") if one[key]})
