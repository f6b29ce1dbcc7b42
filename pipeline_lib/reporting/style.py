"""Shared by all figures: colors, line styles, and writing them deterministically."""

import io
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
from cycler import cycler
from matplotlib import rc_context, rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from pipeline_lib.reporting.publish import publish

# Width of figures in inches: that of a page. The style `column`, or `figure.figsize` of a style sheet, changes it.
PAGE = 7.2
INK, MUTED, FAINT = "#1c2530", "#5b6673", "#e3e7ec"
# Okabe and Ito's palette for color-blind readers, without the light yellow.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MEASURED = PALETTE[0]
DASHES = ("-", (0, (5, 2)), (0, (1, 1.4)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.prop_cycle": cycler(color=PALETTE),
    "legend.fontsize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": FAINT,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "legend.handlelength": 2.8,
    "legend.title_fontsize": 8,
    "figure.facecolor": "white",
    "figure.figsize": (PAGE, 4.8),
    "savefig.dpi": 200,
    "pdf.fonttype": 42,
}
METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None},
}
CAPTION = {"png": "Description", "pdf": "Subject"}


def write_figure(
    figure: Any,
    files: Any,
    outputs: Mapping[str, str],
    caption: str = "",
    style: Mapping[str, str] | None = None,
) -> None:
    """Write a figure of the configuration: `png` and `pdf`, and if in `outputs` its numbers (`csv`) and page (`html`).

    figure: an object with `draw(files)`, and `numbers(files)` or `page(files)` (configuration/figures.py).
    files: the argument of these methods. outputs: ending -> path. caption: written into the pictures' metadata.
    style: settings of matplotlib on top of `STYLE`, as texts (configuration/styles.py).
    """
    with rc_context(STYLE | dict(style or {})):
        save(figure.draw(files), Path(outputs["png"]).with_suffix(""), caption)
    if outputs.get("csv"):
        publish(outputs["csv"], figure.numbers(files).to_csv(index=False, lineterminator="\n"))
    if outputs.get("html"):
        publish(outputs["html"], figure.page(files))


def save(figure: Figure, out: Path | str, caption: str = "") -> None:
    """Write the figure as `out`.png (`savefig.dpi` dots per inch) and `out`.pdf, with its caption as their metadata."""
    for suffix, metadata in METADATA.items():
        buffer = io.BytesIO()
        about = {CAPTION[suffix]: caption} if caption else {}
        figure.savefig(buffer, format=suffix, metadata=metadata | about)
        publish(f"{out}.{suffix}", buffer.getvalue())


def width() -> float:
    """Return the width of figures in inches, that of the style."""
    return float(rcParams["figure.figsize"][0])


def title_size() -> float:
    """Return the size of titles in points, that of the style."""
    return float(rcParams["axes.titlesize"])


def across(panels: int, inches: float) -> int:
    """Return how many panels of at least `inches` fit side by side, if all lines but the last have as many."""
    return max(1, min(panels, int(width() / inches + 1e-6)))


def wrapped(text: str, inches: float, size: float = 8) -> str:
    """Return the text in lines that fit `inches` in letters of `size` points (bold ones are wider: a point more)."""
    return textwrap.fill(text, max(8, int(inches * 125 / size)))


def legend_columns(labels: Iterable[str]) -> int:
    """Return how many labels of a legend, each with its line, fit side by side."""
    return max(1, min(3, int(width() / (0.6 + 0.056 * max(map(len, labels), default=0)))))


def new_figure(inches: float, height: float) -> Figure:
    """Return an empty figure of `inches` x `height` inches, independent of pyplot's global state."""
    figure = Figure(figsize=(inches, height), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06))
    FigureCanvasAgg(figure)
    return figure


def line_styles(count: int) -> Iterator[dict[str, Any]]:
    """Return `count` line styles, no two alike: colors and markers change first, then dashes, then their pairs.

    The colors are those of the style. Raises ValueError for more than there are.
    """
    colors = rcParams["axes.prop_cycle"].by_key().get("color", list(PALETTE))
    most = len(MARKERS) * len(DASHES) * len(colors)
    if count > most:
        raise ValueError(f"{count} curves in one panel, and {most} different styles")
    combined = product(range(len(MARKERS)), DASHES, enumerate(colors))
    styles = ((dash, color, MARKERS[(place + turn) % len(MARKERS)]) for turn, dash, (place, color) in combined)
    return iter(
        {"linestyle": dash, "color": color, "marker": marker, "markersize": 3, "linewidth": 1.2, "clip_on": False}
        for dash, color, marker in islice(styles, count)
    )


def finish_panel(panel: Axes, quantity: str, below: str) -> None:
    """Set the labels of a panel's axes, with their units, and a y-axis that starts at 0 or below."""
    panel.set_ylabel(quantity)
    panel.set_xlabel(below)
    panel.set_ylim(bottom=min(0, panel.dataLim.y0))
    panel.set_axisbelow(True)
    panel.grid(axis="y")
    panel.tick_params(length=0)


def show_frame(panel: Axes, image: np.ndarray, **colors: Any) -> None:
    """Draw a picture without axes. colors: those of `imshow`, of a picture without channels."""
    panel.imshow(image, interpolation="nearest", **colors)
    panel.set_xticks([])
    panel.set_yticks([])
    panel.spines[:].set_visible(False)
    panel.set_axis_on()


def square_root_axis(panel: Axes, low: float, high: float) -> None:
    """Set a square-root x-axis from `low` to `high`, which enlarges small values."""
    panel.set_xscale("function", functions=(lambda value: np.sqrt(np.maximum(value, 0)), np.square))
    panel.set_xlim(low, high if high > low else low + 1)
