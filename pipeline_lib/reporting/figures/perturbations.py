"""One test clip under every attack: clean, adversarial and their difference, as a figure and a page of clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pipeline_lib.configuration.figures import FigurePlan

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

    from pipeline_lib.reporting.gallery import Example

FRAMES_PER_SECOND = 5
LABELS, FRAME = 1.15, 1.0  # inches: labels beside a row, the smallest frame of a column
WRONG = "#b3261e"


def attack_examples(
    clips: Path, attacks: Sequence[str], adversarial: Sequence[Path], predictions: Sequence[Path]
) -> list[Example]:
    """Return for every attack its name with the true and the predicted class, the clean and the adversarial clip.

    All rows show the same clip, the one misclassified under the largest number of attacks (the first of several).
    """
    import numpy as np

    from pipeline_lib.clips.adversarial_store import AdversarialClips, eight_bit
    from pipeline_lib.clips.store import Clips
    from pipeline_lib.reporting.metrics import read_predictions

    clean = Clips(clips)
    tables = [read_predictions(path) for path in predictions]
    row = int(np.argmax(sum((table["label"] != table["prediction"]).to_numpy(int) for table in tables)))
    truth = clean.classes[int(clean.labels[row])]
    sets = [AdversarialClips(path, clean) for path in adversarial]
    return [
        (
            f"{attack}\n{truth} → {clean.classes[int(table['prediction'][row])]}",
            made.read_clean([row])[0],
            eight_bit(made.read([row])[0]),
        )
        for attack, made, table in zip(attacks, sets, tables, strict=True)
    ]


def draw_perturbations(examples: Sequence[Example]) -> Figure:
    """Return a figure with a row per example: its middle frame clean, adversarial, and 15 times their difference."""
    from pipeline_lib.reporting.difference import MAGNIFICATION, magnified_difference
    from pipeline_lib.reporting.style import MUTED, new_figure, show_frame, width, wrapped

    side = (width() - LABELS) / 3
    words = [wrapped(change_in_words(*middle_frames(example)), 0.9 * side) for example in examples]
    figure = new_figure(width(), sum(0.95 * side + 0.2 + 0.12 * text.count("\n") for text in words) + 0.4)
    axes = figure.subplots(len(examples), 3, squeeze=False)
    for heading, panel in zip(("clean", "adversarial", f"difference \u00d7 {MAGNIFICATION}"), axes[0], strict=True):
        panel.set_title(wrapped(heading, side), loc="center")
    for panels, example, change in zip(axes, examples, words, strict=True):
        frames = middle_frames(example)
        for panel, image in zip(panels, (*frames, magnified_difference(*frames)), strict=True):
            show_frame(panel, image)
        panels[2].set_xlabel(change, fontsize=8, color=MUTED, labelpad=2)
        attack, _, classes = example[0].replace(" \u2192 ", " \u2192\n").partition("\n")
        place: dict[str, Any] = {"xy": (-0.08, 0.5), "xycoords": "axes fraction", "textcoords": "offset points"}
        panels[0].annotate(attack, xytext=(0, 1), ha="right", va="bottom", weight="bold", fontsize=8, **place)
        panels[0].annotate(classes, xytext=(0, -2), ha="right", va="top", fontsize=8, color=MUTED, **place)
    return figure


def draw_row(examples: Sequence[Example], clean: str = "clean") -> Figure:
    """Return a figure with a column per example: its middle frame, and below 15 times its difference to the clean one.

    The clean frame is at the left, below the heading `clean`. Columns that do not fit side by side follow below.
    """
    from pipeline_lib.reporting.difference import MAGNIFICATION, magnified_difference
    from pipeline_lib.reporting.style import INK, across, new_figure, show_frame, title_size, width, wrapped

    lines = -(-(1 + len(examples)) // across(1 + len(examples), FRAME))
    side = -(-(1 + len(examples)) // lines)
    figure = new_figure(width(), lines * (2 * width() / side + 0.4))
    axes = figure.subplots(2 * lines, side, squeeze=False)
    for panel in axes.flat:
        panel.axis("off")
    (first, below), *places = (
        (axes[2 * (at // side), at % side], axes[2 * (at // side) + 1, at % side]) for at in range(1 + len(examples))
    )
    show_frame(first, middle_frames(examples[0])[0])
    first.set_title(clean, loc="center", weight="normal")
    below.text(0.98, 0.5, f"change,\n{MAGNIFICATION} times", ha="right", va="center", transform=below.transAxes)
    for (frame, change), example in zip(places, examples, strict=True):
        frames = middle_frames(example)
        show_frame(frame, frames[1])
        show_frame(change, magnified_difference(*frames))
        attack, _, classes = example[0].partition("\n")
        truth, _, predicted = classes.partition(" \u2192 ")
        color = WRONG if predicted != truth else INK
        lines_of = (wrapped(text, width() / side, title_size()) for text in (attack, predicted) if text)
        frame.set_title("\n".join(lines_of), loc="center", weight="normal", color=color)
    return figure


def middle_frames(example: Example) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle frames of the clean and of the adversarial clip."""
    _, clean, adversarial = example
    return clean[len(clean) // 2], adversarial[len(clean) // 2]


def changes(label: str, clean: np.ndarray, adversarial: np.ndarray) -> dict[str, Any]:
    """Return the change of a clip's middle frame as numbers."""
    attack, _, classes = label.partition("\n")
    before, after = middle_frames((label, clean, adversarial))
    change = abs(after.astype(int) - before.astype(int))
    changed = float((change.max(axis=-1) > 0).mean())
    return {"attack": attack, "classes": classes, "largest_change": int(change.max()), "changed_pixels": changed}


def change_in_words(clean: np.ndarray, adversarial: np.ndarray) -> str:
    change = abs(adversarial.astype(int) - clean.astype(int))
    return f"at most {change.max()}/255, {100 * (change.max(axis=-1) > 0).mean():.0f} % of the pixels"


@dataclass(frozen=True, kw_only=True)
class Perturbations:
    """Attacks on the first seed of one model.

    dataset: name of the data set.
    source: the model.
    attacks: their names.
    layout: `rows` (a row for each attack), or `columns` (a column for each, as papers print it).
    """

    dataset: str
    source: str
    attacks: list[str]
    layout: Literal["rows", "columns"] = "rows"

    caption: ClassVar[str] = (
        "One test clip under every attack: clean, adversarial, and 15 times their difference. The figure shows one "
        "frame of it, the page plays it (an image is shown)."
    )

    def needs(self, plan: FigurePlan) -> dict[str, Any]:
        plan.at_least(1, "attacks", self.attacks)
        source = plan.targets("source", self.source)[0]
        cells = [plan.cell(f"attacks[{i}]", source, attack) for i, attack in enumerate(self.attacks)]
        return {
            "clips": plan.clips("test"),
            "adversarial": [cell.adversarial for cell in cells],
            "predictions": [cell.predictions for cell in cells],
        }

    def draw(self, files: Mapping[str, Any]) -> Figure:
        drawing = {"rows": draw_perturbations, "columns": draw_row}[self.layout]
        return drawing(self._examples(files))

    def page(self, files: Mapping[str, Any]) -> str:
        """The page with the clips as videos (or images)."""
        from pipeline_lib.reporting.gallery import gallery_page

        return gallery_page(self._examples(files), FRAMES_PER_SECOND)

    def numbers(self, files: Mapping[str, Any]) -> pd.DataFrame:
        """Of the frames shown: attack, classes, largest change in gray levels, and fraction of changed pixels."""
        import pandas as pd

        return pd.DataFrame([changes(*example) for example in self._examples(files)])

    def _examples(self, files: Mapping[str, Any]) -> list[Example]:
        sets, predictions = (list(map(Path, files[kind])) for kind in ("adversarial", "predictions"))
        return attack_examples(Path(files["clips"]), self.attacks, sets, predictions)
