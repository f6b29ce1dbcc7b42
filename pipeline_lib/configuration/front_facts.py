"""What the report shows, in the order of the configuration, with titles in place of keys."""

from collections.abc import Mapping
from typing import Any

from pipeline_lib.configuration.clip_numbers import clips_by_video
from pipeline_lib.configuration.paths import Paths

Plan = Mapping[str, Any]


def front_facts(plan: Plan, paths: Paths) -> dict[str, Any]:
    """Return `studies` (name, title, dataset, path of the page), `figures` (title, path of the picture), `audit` (path
    of the page) and `configuration` (path of the whole one), plain data for the first page of the report."""
    studies = [
        {"name": name, "title": study["title"], "dataset": study["dataset"], "path": paths.table(name, "html")}
        | ({"clips_by_video": clips} if (clips := clips_by_video(plan["datasets"][study["datasets"][0]])) > 1 else {})
        for name, study in plan["studies"].items()
    ]
    figures = [{"title": figure_title(plan, name), "path": paths.figure(name, "png")} for name in plan["figures"]]
    named = {"audit": paths.table("audit", "html"), "configuration": paths.configuration()}
    return {"studies": studies, "figures": figures, **named}


def figure_title(plan: Plan, name: str) -> str:
    """Return the title of a figure: of its entry, or its name in words."""
    entry = plan["figures"][name]["entry"]
    title = entry.get("title")
    if name == f"chart_{entry.get('study')}":
        return f"Chart: {title}"
    if name == f"training_{entry.get('dataset')}":
        return f"Training on {entry['dataset']}"
    return str(title) if title else name.replace("_", " ").capitalize()


def numbered_study(plan: Plan, name: str) -> str:
    """Return the title of a study with its place in the configuration: the report sorts its entries as text."""
    return numbered([*plan["studies"]].index(name), plan["studies"][name]["title"], len(plan["studies"]))


def numbered_figure(plan: Plan, name: str) -> str:
    """Return the title of a figure with its place."""
    return numbered([*plan["figures"]].index(name), figure_title(plan, name), len(plan["figures"]))


def numbered(place: int, title: str, count: int) -> str:
    return f"{place + 1:0{len(str(count))}d} {title}"
