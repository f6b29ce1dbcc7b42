"""The report's opening page: the seeds, precision and determinism of the runs behind its numbers."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

# Facts of single models, not of how they were computed.
OF_A_MODEL = ("seed", "epoch")


def run_facts(history: Path | str) -> dict[str, str]:
    """The facts of a training by name, as its history states them; none of a model that took no epoch."""
    runs = pd.read_csv(history, dtype={"run": str})["run"]
    return dict(word.split(" ", 1) for words in runs[:1] for word in words.split("; "))


def opening_page(histories: Iterable[tuple[str, Path | str]], evaluation: Mapping[str, Any]) -> str:
    """reStructuredText: models (name and history each) that were trained alike in one paragraph, and the evaluation."""
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
