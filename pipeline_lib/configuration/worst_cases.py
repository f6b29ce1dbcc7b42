"""Worst cases beside the columns of a study: which attack is that of a column, and whether it belongs to it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline_lib.configuration.entries import CLEAN, Sections, resolve_attack
from pipeline_lib.configuration.messages import fail, lookup
from pipeline_lib.entries.bounds import bound_of_entry, strongest_of
from pipeline_lib.entries.classes import class_of
from pipeline_lib.entries.facts import declared, loss_of_entry, own_entry, target_of
from pipeline_lib.entries.interfaces import missing_members
from pipeline_lib.entries.methods import METHODS
from pipeline_lib.entries.storages import LATTICE, storage_of
from pipeline_lib.provenance.fingerprints import canonical

Entry = Mapping[str, Any]
Cells = Mapping[str, Sequence[Entry]]
WORST_CASE = "worst_case"  # the value of `beside`
NOTHING = "nothing"
SUFFIX = "_worst"
ADAPTIVE = "pipeline_lib.attacks.apgd:Adaptive"


def beside_of(study: Entry, config: Entry) -> Any:
    """What a study shows beside its columns: its own `beside`, or that of the configuration, which does not apply to
    tables of selections."""
    default = NOTHING if study.get("types") else config.get("beside")
    return study.get("beside") or default or NOTHING


def implied_attacks(config: Entry, attacks: Mapping[str, Entry], sections: Sections) -> dict[str, dict]:
    """The worst cases that studies ask for by `beside: worst_case` and that no entry of the configuration gives.

    attacks: resolved. sections: as written, for `resolve_attack`.
    """
    studies = [study for study in config["studies"].values() if beside_of(study, config) == WORST_CASE]
    asked = {attack for study in studies for attack in _attacks_in(study)}
    made = {}
    for name in sorted(asked & attacks.keys()):
        if name + SUFFIX not in attacks and can_be_strengthened(attacks[name]):
            storage = storage_of(attacks[name])
            entry = {"method": WORST_CASE, "of": name} | ({} if storage == LATTICE else {"storage": storage})
            made[name + SUFFIX] = resolve_attack(f"attacks.{name}{SUFFIX}", entry, sections)
    return made


def _attacks_in(study: Entry) -> Iterator[str]:
    """The attacks that the columns and rows of a study name."""
    columns = [{"attack": given} if isinstance(given, str) else given for given in study["columns"].values()]
    for given in (*columns, *study["rows"].values()):
        attacks = given.get("attack", {}) if isinstance(given, Mapping) else {}
        yield from [attacks] if isinstance(attacks, str) else attacks.values()


def can_be_strengthened(attack: Entry) -> bool:
    """Whether `WorstCase` accepts a resolved attack: an ascent to any error, in a bound with adaptive steps."""
    if target_of(attack) != METHODS["ascent"] or loss_of_entry(attack) is not None:
        return False
    goal = attack.get("goal") or {"method": "untargeted"}
    perturbation = class_of(target_of(attack["perturbation"]))
    return bool(declared(goal, "any_error")) and not missing_members(perturbation, class_of(ADAPTIVE))


def worst_cells(
    where: str, beside: Any, rows: Mapping[str, Cells], attacks: Mapping[str, Entry]
) -> dict[str, dict[str, list[dict]]]:
    """Row -> column -> cells of the worst case, one for each seed, of the cells with an attack on the target itself.

    beside: `WORST_CASE`, for every column whose attack has an entry with the suffix `_worst`; or column -> attack.
    """
    found: dict[str, dict[str, list[dict]]] = {label: {} for label in rows}
    for label, row in rows.items():
        for column, cells in row.items():
            attack = cells[0]["attack"]
            if attack == CLEAN or any(cell["source"] != cell["target"] for cell in cells):
                continue
            worst = _worst_of(where, beside, column, attack, attacks)
            if worst is not None:
                check_worst_case(f"{where}.rows.{label}.{column}", attack, worst, attacks)
                found[label][column] = [{**cell, "attack": worst} for cell in cells]
    return found


def _worst_of(where: str, beside: Any, column: str, attack: str, attacks: Mapping[str, Entry]) -> str | None:
    if isinstance(beside, str):
        return attack + SUFFIX if attack + SUFFIX in attacks else None
    if column in beside:
        lookup(f"{where}.beside.{column}", beside[column], attacks, "attack")
    return beside.get(column)


def check_worst_case(where: str, attack: str, worst: str, attacks: Mapping[str, Entry]) -> None:
    """Raises PipelineError for a worst case that may be above its column: of another bound, region, center or storage,
    or without the column's attack among its own."""
    own, other = attacks[attack], attacks[worst]
    what = f"{worst!r} is no worst case of {attack!r}"
    bounds = bound_of_entry(own), bound_of_entry(other)
    if bounds[0] != bounds[1]:
        raise fail(where, f"{what}: it has another bound, {bounds[1]} and not {bounds[0]}")
    if canonical(own_entry(own)) not in map(canonical, strongest_of(other)):
        raise fail(where, f"{what}: its attacks do not contain that attack, so that it may be above the column")
    if storage_of(own) != storage_of(other):
        raise fail(where, f"{what}: it stores clips as {storage_of(other)}, and the column as {storage_of(own)}")


def check_one_bound(where: str, attack: Entry) -> None:
    """Raises PipelineError for an attack that keeps the strongest result of attacks with different bounds."""
    inner = strongest_of(attack)
    for i, other in enumerate(inner):
        bounds = bound_of_entry(inner[0]), bound_of_entry(other)
        if bounds[0] != bounds[1]:
            raise fail(f"{where}.attacks[{i}]", f"has another bound than attacks[0]: {bounds[1]}, and not {bounds[0]}")
