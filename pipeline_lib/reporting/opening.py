"""The report's opening page: seeds, precision and determinism of the runs."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

# Facts of single models, not of their computation.
OF_A_MODEL = ("seed", "epoch")


def run_facts(history: Path | str) -> dict[str, str]:
    """The facts of a training by name, from its history; none for a model without epochs."""
    runs = pd.read_csv(history, dtype={"run": str})["run"]
    return dict(word.split(" ", 1) for words in runs[:1] for word in words.split("; "))


def opening_page(histories: Iterable[tuple[str, Path | str]], evaluation: Mapping[str, Any]) -> str:
    """reStructuredText with a paragraph for all models (name, history) of the same facts, and the evaluation."""
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
    lines = ["Determinism and precision", "=========================", ""]
    lines += [f"Seeds of the models: {', '.join(sorted(seeds))}. Seed of the attacks: {evaluation['seed']}. "]
    lines += [f"Attacks compute their gradients in {evaluation['precision']}, clips are scored in fp32.", ""]
    for words, models in groups.items():
        lines += [f"Trained with {words}: {', '.join(f'``{model}``' for model in models)}.", ""]
    return "\n".join(lines)
