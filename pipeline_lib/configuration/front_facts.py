"""What the report shows, in the order of the configuration, with titles in place of keys."""

from collections.abc import Mapping
from typing import Any

from pipeline_lib.configuration.clip_numbers import clips_by_video
from pipeline_lib.configuration.paths import Paths

Plan = Mapping[str, Any]


def front_facts(plan: Plan, paths: Paths, layouts: Mapping[str, Any]) -> dict[str, Any]:
    """Return `studies` (name, title, dataset, path of the page), `layout` (of the first study, empty without one),
    `figures` (title, path of the picture), `audit` (path of the page) and `configuration` (path of the whole one),
    plain data for the first page of the report. layouts: study -> layout (`Layouts.studies`)."""
    studies = [
        {"name": name, "title": study["title"], "dataset": study["dataset"], "path": paths.table(name, "html")}
        | ({"clips_by_video": clips} if (clips := clips_by_video(plan["datasets"][study["datasets"][0]])) > 1 else {})
        for name, study in plan["studies"].items()
    ]
    figures = [{"title": figure_title(plan, name), "path": paths.figure(name, "png")} for name in plan["figures"]]
    named = {"audit": paths.table("audit", "html"), "configuration": paths.configuration()}
    first = first_of(plan)
    return {"studies": studies, "layout": layouts[first[0]] if first else {}, "figures": figures, **named}


def first_of(plan: Plan) -> list[str]:
    """Return the study whose table is on the first page of the report; none if there is no study."""
    return [*plan["studies"]][:1]


def figure_title(plan: Plan, name: str) -> str:
    """Return the title of a figure: of its entry, or its name in words."""
    entry = plan["figures"][name]["entry"]
    title = entry.get("title")
    if name == f"chart_{entry.get('study')}":
        return f"Chart: {title}"
    if name == f"training_{entry.get('dataset')}":
        return f"Training on {entry['dataset']}"
    return str(title) if title else name.replace("_", " ").capitalize()


def numbered_studies(plan: Plan) -> dict[str, str]:
    """Return the title of each study with its place in the configuration: the report sorts its entries as text."""
    return numbered({name: study["title"] for name, study in plan["studies"].items()})


def numbered_figures(plan: Plan) -> dict[str, str]:
    """Return the title of each figure with its place."""
    return numbered({name: figure_title(plan, name) for name in plan["figures"]})


def numbered(titles: Mapping[str, str]) -> dict[str, str]:
    digits = len(str(len(titles)))
    return {name: f"{place:0{digits}d} {title}" for place, (name, title) in enumerate(titles.items(), 1)}
