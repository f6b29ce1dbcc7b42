"""The report's opening page: claims, seeds, precision and determinism of the runs, and the outcome of decoding."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline_lib.clips.outcomes import LARGEST_PART, in_words, outcomes_of, part_not_ok
from pipeline_lib.records.titles import CLAIMS, MADE
from pipeline_lib.reporting.claim_files import read_claims_table, summary_line

# Facts of single models, not of their computation.
OF_A_MODEL = ("seed", "epoch")


def run_facts(history: Path | str) -> dict[str, str]:
    """The facts of a training by name, from its history; none for a model without epochs."""
    runs = pd.read_csv(history, dtype={"run": str})["run"]
    return dict(word.split(" ", 1) for words in runs[:1] for word in words.split("; "))


def opening_page(
    histories: Iterable[tuple[str, Path | str]],
    evaluation: Mapping[str, Any],
    stores: Iterable[tuple[str, Path | str]] = (),
    claims: Iterable[Path | str] = (),
) -> str:
    """reStructuredText with the outcome of the claims (CSV of their table), a paragraph for all models (name, history)
    of the same facts, the evaluation, and the outcomes of decoding of the clip stores (name, path)."""
    groups: dict[str, list[str]] = {}
    seeds = set()
    for model, path in histories:
        if not (facts := run_facts(path)):
            continue
        seeds.add(facts["seed"])
        words = ", ".join(
            f"{name.replace('_', ' ')} {value}" for name, value in facts.items() if name not in OF_A_MODEL
        )
        groups.setdefault(words, []).append(model)
    lines = [MADE, "=" * len(MADE), ""]
    lines += [f"Seeds of the models: {', '.join(sorted(seeds))}. Seed of the attacks: {evaluation['seed']}. "]
    lines += [f"Attacks compute their gradients in {evaluation['precision']}, clips are scored in fp32.", ""]
    for words, models in groups.items():
        lines += [f"Trained with {words}: {', '.join(f'``{model}``' for model in models)}.", ""]
    return "\n".join([*claims_section(claims), *lines, *decoding_section(stores)])


def claims_section(tables: Iterable[Path | str]) -> list[str]:
    """How many claims of the papers hold."""
    lines = [f"{summary_line(read_claims_table(path))} See the table *claims of the papers*." for path in tables]
    return [CLAIMS, "=" * len(CLAIMS), "", *lines, ""] if lines else []


def decoding_section(stores: Iterable[tuple[str, Path | str]]) -> list[str]:
    """How many clips have each status, and the first of each; a part of more than a tenth that is not OK is bold."""
    lines = []
    for name, path in stores:
        found = outcomes_of(Path(path))
        words = f"**{in_words(found)}**" if part_not_ok(found) > LARGEST_PART else in_words(found)
        lines += [f"``{name}``: {escaped(words)}.", ""]
    return ["Decoded clips", "=============", "", *lines] if lines else []


def escaped(text: str) -> str:
    """Text in which names of files have no meaning in reStructuredText; `**` around it stays."""
    bold = "**" if text.startswith("**") and text.endswith("**") else ""
    inner = text.removeprefix(bold).removesuffix(bold)
    return bold + "".join(f"\\{letter}" if letter in "\\*`_|" else letter for letter in inner) + bold
