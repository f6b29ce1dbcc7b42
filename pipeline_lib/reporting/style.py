"""What all figures share: colors, line styles, and how they are written, with the same bytes for the same numbers."""

import io
from collections.abc import Iterator
from itertools import cycle, product
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from pipeline_lib.reporting.publish import publish

INK, MUTED, FAINT = "#1c2530", "#5b6673", "#e3e7ec"
# Okabe and Ito's colors, which color-blind readers can tell apart; the light yellow is left out.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.4)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
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
    "pdf.fonttype": 42,
}
METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None},
}


def save(figure: Figure, out: Path | str) -> None:
    """Write the figure as `out`.png (200 dots per inch) and `out`.pdf."""
    for suffix, metadata in METADATA.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format=suffix, dpi=200, metadata=metadata)
        publish(f"{out}.{suffix}", buffer.getvalue())


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of `width` x `height` inches that never meets pyplot's global state."""
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06))
    FigureCanvasAgg(figure)
    return figure


def line_styles() -> Iterator[dict[str, Any]]:
    """Return an endless cycle of 21 line styles: colors and markers first, then other dashes."""
    marked = zip(PALETTE, MARKERS, strict=True)
    styles = ((dash, color, marker) for dash, (color, marker) in product(DASHES, marked))
    return cycle(
        {"linestyle": dash, "color": color, "marker": marker, "markersize": 3.5, "linewidth": 1.5, "clip_on": False}
        for dash, color, marker in styles
    )
