"""Studies of the configuration, resolved to cells: target, attack, and the model that the attack is made on."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline_lib.configuration.cascades import cascades_of, with_cascades
from pipeline_lib.configuration.entries import CLEAN
from pipeline_lib.configuration.files import File, files_in
from pipeline_lib.configuration.given_sets import Written, check_source, models_of, name_of_set
from pipeline_lib.configuration.layout_keys import worst_of
from pipeline_lib.configuration.messages import fail, lookup
from pipeline_lib.configuration.pooling import datasets_of, in_one_line
from pipeline_lib.configuration.references import check_reference
from pipeline_lib.configuration.summaries import resolve_summaries
from pipeline_lib.configuration.targets import branches, selects, source_for, split_target, targets_of
from pipeline_lib.configuration.worst_cases import NOTHING, beside_of, worst_cells
from pipeline_lib.entries.facts import field_named_by, loss_of_entry
from pipeline_lib.errors import known

ROW_KEYS = ("target", "attack", "source")
Plan = Mapping[str, Any]


def cell(where: str, target: str, attack: str, source: Written | None, plan: Plan) -> dict[str, str | None]:
    """A cell: predictions of `target` on clips of `attack` made on `source` (as written; the target itself if None)."""
    if attack == CLEAN:
        return {"target": target, "attack": CLEAN, "source": None}
    if isinstance(source, Mapping):
        return {"target": target, "attack": attack, "source": name_of_set(source["file"])}
    models = plan["models"]
    made_on = target if source is None else source_for(target, targets_of(f"{where}.source", source, models), models)
    check_loss(where, attack, made_on, plan)
    return {"target": target, "attack": attack, "source": made_on}


def check_loss(where: str, attack: str, source: str, plan: Plan) -> None:
    """Raises PipelineError for a loss whose `type` is not a branch of the source's selection module."""
    loss = loss_of_entry(plan["attacks"][attack])
    kind = field_named_by(loss, "names_branch") if loss else None
    model, branch = split_target(source)
    if kind is None:
        return
    if branch is not None or not selects(plan["models"][model]):
        raise fail(where, f"attack {attack!r} maximizes the loss of a selection module, and {source} has none")
    lookup(f"attacks.{attack}.loss.type", kind, dict.fromkeys(branches(plan["models"][model])), "branch")


def resolve_studies(config: Mapping[str, Any], plan: Plan) -> dict[str, dict]:
    studies = {}
    for name, entry in config["studies"].items():
        studies[name] = _study(f"studies.{name}", entry, plan)
        worst = _worst(f"studies.{name}", entry, studies[name]["rows"], plan, beside_of(entry, config))
        studies[name] |= {"worst": worst} if worst else {}
        cascades = cascades_of(f"studies.{name}", entry, studies[name]["rows"], worst, plan)
        studies[name] = with_cascades(studies[name], cascades)
    return studies


def _study(where: str, entry: Mapping[str, Any], plan: Plan) -> dict:
    datasets = datasets_of(f"{where}.dataset", entry["dataset"], plan)
    columns = {label: _column(f"{where}.columns.{label}", given, plan) for label, given in entry["columns"].items()}
    if "target" in columns:
        raise fail(f"{where}.columns.target", "this label is reserved for the target of a row")
    source = entry.get("source")
    _check_names(where, {"source": source} if source else {}, plan)
    rows = {label: _row(f"{where}.rows.{label}", row, columns, source, plan) for label, row in entry["rows"].items()}
    types, reference = entry.get("types"), entry.get("reference")
    check_reference(f"{where}.reference", reference, rows)
    if types is not None:
        _check_types(where, types, columns, rows, plan)
    return {
        "title": entry["title"],
        "dataset": in_one_line(datasets),
        "datasets": datasets,
        "paper": list(entry["paper"]),
        "columns": list(columns),
        "types": types,
        "parameters": entry["parameters"],
        "reference": reference,
        "summaries": resolve_summaries(f"{where}.summaries", entry["summaries"], columns),
        "rows": rows,
    }


def _worst(where: str, entry: Mapping[str, Any], rows: Mapping[str, dict], plan: Plan, beside: Any) -> dict[str, dict]:
    """The cells of the worst cases by row and column, empty if there are none. Raises PipelineError for a study that
    has none and names them."""
    if beside == NOTHING:
        return {}
    if entry.get("types"):
        raise fail(f"{where}.beside", "a table of selections has no worst cases")
    for column in {} if isinstance(beside, str) else beside:
        lookup(f"{where}.beside.{column}", column, entry["columns"], "column")
    worst = worst_cells(where, beside, rows, plan["attacks"])
    if not any(worst.values()) and "beside" in entry:
        raise fail(f"{where}.beside", "no column has a worst case: they belong to attacks made on the row's own target")
    return worst if any(worst.values()) else {}


def _column(where: str, given: str | Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """A column's attack and source, as far as the column gives them."""
    column = {"attack": given} if isinstance(given, str) else dict(given)
    _check_names(where, column, plan)
    return column


def _check_names(where: str, given: Mapping[str, Any], plan: Plan) -> None:
    attacks = given.get("attack", {})
    for name in [attacks] if isinstance(attacks, str) else attacks.values():
        lookup(where, name, plan["attacks"] | {CLEAN: {}}, "attack")
    if isinstance(given.get("source"), Mapping):
        check_source(f"{where}.source", given["source"])
    elif "source" in given:
        targets_of(f"{where}.source", given["source"], plan["models"])


def _row(where: str, row: Any, columns: Mapping[str, dict], source: str | None, plan: Plan) -> dict[str, list[dict]]:
    """The cells of each column of a row, one for each seed. The row gives what the column does not, or its attack."""
    targets, given = written_row(where, row, columns, plan)
    cells = {}
    for column, written in targets.items():
        general, own = _of_column(given, column)
        both = {"source": source} | general | columns[column] | own
        if "attack" not in both:
            raise fail(f"{where}.attack", f"missing, and column {column!r} names none either")
        found = targets_of(f"{where}.{column}", written, plan["models"])
        cells[column] = [cell(where, target, both["attack"], both["source"], plan) for target in found]
    _check_seeds(where, cells)
    return cells


def _check_seeds(where: str, cells: Mapping[str, list[dict]]) -> None:
    """Raises PipelineError for columns whose models have different numbers of seeds: a row has one number."""
    counts = {column: len(found) for column, found in cells.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{column} {count}" for column, count in counts.items())
        raise fail(where, f"columns have different numbers of seeds ({listed}): give their models the same 'seeds'")


def _of_column(given: Mapping[str, Any], column: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A row's keys for all columns, and those for this one: its attack may differ by column."""
    attack = given.get("attack")
    if not isinstance(attack, Mapping):
        return dict(given), {}
    rest = {key: value for key, value in given.items() if key != "attack"}
    return rest, {"attack": attack[column]} if column in attack else {}


def written_row(where: str, row: Any, columns: Mapping[str, Any], plan: Plan) -> tuple[dict[str, str], dict]:
    """Column -> target of a row (given in the short form or under `target`), and the row's own attack and source."""
    _check_row(where, row)
    given = dict(row) if isinstance(row, Mapping) and "target" in row else {"target": row}
    if unknown := [key for key in given if key not in ROW_KEYS]:
        raise fail(f"{where}.{unknown[0]}", f"unknown key of a row with 'target'; {known(ROW_KEYS, unknown[0])}")
    target = given.pop("target")
    _check_names(where, given, plan)
    targets = dict.fromkeys(columns, target) if isinstance(target, str) else dict(target)
    attacks = given.get("attack", {})
    for column in [*targets, *({} if isinstance(attacks, str) else attacks)]:
        lookup(f"{where}.{column}", column, columns, "column")
    return targets, given


def _check_row(where: str, row: Any) -> None:
    """Checks the structure of a row: the schema checks rows of studies only."""
    parts = row.values() if isinstance(row, Mapping) and row else [row]
    for part in parts:
        inner = part.values() if isinstance(row, Mapping) and isinstance(part, Mapping) else [part]
        if not all(isinstance(one, str) for one in inner):
            raise fail(where, f"expected a target, or a target for each column, got {row!r}")


def _check_types(where: str, types: Mapping[str, str], columns: Mapping, rows: Mapping, plan: Plan) -> None:
    """Checks a table of selections: its models have a selection module, each column's type is a branch of it."""
    for column in columns:
        lookup(f"{where}.types.{column}", column, types, "column")
    for label, row in rows.items():
        for target in {cell["target"] for cells in row.values() for cell in cells}:
            model, branch = split_target(target)
            if branch is not None or not selects(plan["models"][model]):
                raise fail(f"{where}.rows.{label}", "types compare choices of a selection module: use a model with one")
            for column, name in types.items():
                lookup(f"{where}.types.{column}", name, dict.fromkeys(branches(plan["models"][model])), "branch")


def used_cells(plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    """Data set and cell of all numbers in the studies and figures; some more than once."""
    for study in plan["studies"].values():
        rows = [*study["rows"].values(), *worst_of(study).values()]
        cells = [one for row in rows for columns in row.values() for one in columns]
        yield from ((dataset, one) for dataset in study["datasets"] for one in cells)
    for file in _files_of_figures(plan):
        if file.cell is not None:
            dataset, target, attack, source = file.cell
            yield dataset, {"target": target, "attack": attack, "source": source}


def used_attacks(plan: Plan) -> set[str]:
    """The attacks of all numbers in the studies and figures."""
    steps = {step["attack"] for _, cascade in used_cascades(plan) for step in cascade["attacks"]}
    return steps | {cell["attack"] for _, cell in used_cells(plan)} - {CLEAN}


def used_cascades(plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    """Data set and entry of every cascade of the studies."""
    for study in plan["studies"].values():
        yield from ((dataset, one) for dataset in study["datasets"] for one in study.get("cascades", {}).values())


def used_models(plan: Plan, dataset: str | None = None) -> list[str]:
    """The models and sources that the studies and figures (of a data set) need, without the models they start from."""
    used = [one for name, one in used_cells(plan) if dataset in (None, name)]
    models = {model for one in used for model in models_of(one)}
    models |= {cascade["model"] for name, cascade in used_cascades(plan) if dataset in (None, name)}
    histories = [file.arguments for file in _files_of_figures(plan) if file.kind == "history"]
    return sorted(models | {str(model) for name, model in histories if dataset in (None, name)})


def _files_of_figures(plan: Plan) -> Iterator[File]:
    return (file for figure in plan["figures"].values() for file in files_in(figure["needs"]))
