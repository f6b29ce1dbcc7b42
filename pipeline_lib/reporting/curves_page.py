"""A page of curves to look at closely: pointing at a label or a curve highlights it in all panels and states values.

matplotlib draws the curves, as vector graphics; a short script on the page changes what they show. Without scripts the
page is a figure with a legend. It needs no network.
"""

import html
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline_lib.reporting.formats import page
from pipeline_lib.reporting.style import STYLE as PICTURE
from pipeline_lib.reporting.style import finish_panel, line_styles, new_figure

INCHES, HEIGHT = 7.2, 2.7  # of a panel
# Identifiers do not depend on the time or on a random number: the same curves give the same bytes.
SVG = {"svg.hashsalt": "curves", "svg.fonttype": "none"}

HINT = "Point at a label or a curve; a click keeps it."
STYLE = """
.plot { background: #fff; border-radius: 6px; padding: .4rem; max-width: 60rem; }
.plot svg { display: block; width: 100%; height: auto; }
.plot g[id^=curve] { cursor: pointer; }
.choosing g[id^=curve] { opacity: .1; }
.choosing g.chosen { opacity: 1; }
.labels { display: flex; flex-wrap: wrap; gap: .3rem; max-width: 60rem; margin: .6rem 0; padding: .2rem;
          list-style: none; max-height: 12rem; overflow-y: auto; }
.labels button { font: inherit; font-size: .85rem; color: inherit; background: var(--card); cursor: pointer;
                 border: 1px solid var(--line); border-left: .5rem solid var(--curve); border-radius: 4px; }
.labels button[aria-pressed=true] { outline: 2px solid var(--accent); }
#values { display: block; min-height: 3em; max-width: 60rem; }
"""

SCRIPT = """
"use strict";
const { labels, panels } = JSON.parse(document.getElementById("curves").textContent);
const plot = document.querySelector(".plot"), values = document.getElementById("values");
const buttons = [...document.querySelectorAll(".labels button")], first = values.textContent;
const curve = (panel, row) => document.getElementById(`curve-${panel}-${row}`);
const number = (value) => Number(value.toPrecision(4)).toString();
let pinned = null;
function show(row, words) {
  plot.classList.toggle("choosing", row !== null);
  panels.forEach((panel, at) => labels.forEach((_, one) => curve(at, one)?.classList.toggle("chosen", one === row)));
  const last = (panel) => panel.points[row]?.at(-1);
  const ends = row === null ? [] : panels.filter(last).map((panel) => `${panel.quantity} ${number(last(panel)[1])}`);
  values.textContent = words ?? (row === null ? first : `${labels[row]}, at the end: ${ends.join(", ")}`);
}
buttons.forEach((button, row) => {
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("pointerenter", () => show(row));
  button.addEventListener("focus", () => show(row));
  button.addEventListener("pointerleave", () => show(pinned));
  button.addEventListener("blur", () => show(pinned));
  button.addEventListener("click", () => {
    pinned = pinned === row ? null : row;
    buttons.forEach((other, at) => other.setAttribute("aria-pressed", String(at === pinned)));
    show(pinned);
  });
});
panels.forEach((panel, at) => panel.points.forEach((points, row) => {
  const group = curve(at, row);
  if (!group) return;
  group.addEventListener("pointerenter", () => show(row));
  group.addEventListener("pointerleave", () => show(pinned));
  group.addEventListener("click", () => buttons[row].click());
  group.querySelectorAll("use").forEach((mark, place) => mark.addEventListener("pointerenter", () => {
    const [x, y] = points[place];
    show(row, `${labels[row]}: ${panel.below} ${number(x)}, ${panel.quantity} ${number(y)}`);
  }));
}));
"""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Curves over the same axis. quantity, below: names of the axes, with units. limits: of the vertical one, or None.

    curves: label -> table with columns x and y in the order of x; rows without a value are left out.
    """

    quantity: str
    below: str
    curves: dict[str, pd.DataFrame]
    title: str = ""
    limits: tuple[float, float] | None = None


def curves_page(title: str, panels: Sequence[Panel]) -> str:
    """Return the page. A label has the same color and marker in all panels; the output is deterministic."""
    panels = [_complete(panel) for panel in panels if any(len(curve.dropna()) for curve in panel.curves.values())]
    labels = list(dict.fromkeys(label for panel in panels for label in panel.curves))
    if not labels:
        return page(title, "<p>There are no curves.</p>", STYLE)
    with rc_context(PICTURE | SVG):
        styles = dict(zip(labels, line_styles(len(labels)), strict=True))
        picture = _svg(_figure(panels, styles))
    data = {"labels": labels, "panels": [_data(panel, labels) for panel in panels]}
    plain = json.dumps(data).replace("<", "\\u003c")
    body = (
        f'<ul class="labels">{"".join(_button(label, styles[label]["color"]) for label in labels)}</ul>\n'
        f'<output id="values">{HINT}</output>\n<div class="plot">{picture}</div>\n'
        f'<script type="application/json" id="curves">{plain}</script>\n<script>{SCRIPT}</script>'
    )
    return page(title, body, STYLE)


def _button(label: str, color: object) -> str:
    words = f"<bdi>{html.escape(label)}</bdi>"
    return f'<li><button type="button" style="--curve: {color}">{words}</button></li>'


def _complete(panel: Panel) -> Panel:
    curves = {label: curve.dropna() for label, curve in panel.curves.items()}
    return Panel(**panel.__dict__ | {"curves": {label: curve for label, curve in curves.items() if len(curve)}})


def _data(panel: Panel, labels: Sequence[str]) -> dict[str, object]:
    points = [
        panel.curves[label][["x", "y"]].to_numpy(float).tolist() if label in panel.curves else [] for label in labels
    ]
    return {"quantity": panel.quantity, "below": panel.below, "points": points}


def _figure(panels: Sequence[Panel], styles: dict[str, dict[str, object]]) -> Figure:
    """Return the panels below each other. The curve of label r in panel p has the identifier `curve-p-r`."""
    figure = new_figure(INCHES, HEIGHT * len(panels))
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for number, (panel, one) in enumerate(zip(panels, axes, strict=True)):
        for row, label in enumerate(styles):
            if label in panel.curves:
                curve = panel.curves[label]
                one.plot(curve["x"], curve["y"], gid=f"curve-{number}-{row}", **styles[label])
        finish_panel(one, panel.quantity, panel.below)
        one.set_ylim(*(panel.limits or one.get_ylim()))
        if all((curve["x"] % 1 == 0).all() for curve in panel.curves.values()):
            one.xaxis.set_major_locator(MaxNLocator(integer=True))
        one.set_title(panel.title)
    return figure


def _svg(figure: Figure) -> str:
    """Return a figure as an SVG element of the width of the page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    picture = buffer.getvalue()
    picture = picture[picture.index("<svg") :]
    return re.sub(
        r'<svg[^>]*?viewBox="([^"]*)"[^>]*>', r'<svg role="img" aria-label="curves" viewBox="\1">', picture, count=1
    )
