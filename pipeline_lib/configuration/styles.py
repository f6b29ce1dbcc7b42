"""Styles of figures: `page` and `column` (their widths), and style sheets of matplotlib."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline_lib.configuration.messages import fail
from pipeline_lib.errors import known

# Name -> settings of matplotlib on top of `reporting.style.STYLE`.
STYLES: Mapping[str, Mapping[str, str]] = {"page": {}, "column": {"figure.figsize": "3.4, 2.6"}}


def settings_of(where: str, given: str | Sequence[str]) -> dict[str, str]:
    """Return the settings of a style, or of several, later ones first: name -> value as written in a style sheet.

    given: `page`, `column`, or the path of a style sheet from the working folder. Raises PipelineError with the file,
    line and setting that matplotlib does not know or accept.
    """
    settings: dict[str, str] = {}
    for one in [given] if isinstance(given, str) else given:
        settings |= STYLES[one] if one in STYLES else _sheet(where, Path(one))
    return settings


def _sheet(where: str, path: Path) -> dict[str, str]:
    if not path.is_file():
        raise fail(where, f"{path} is no file, and no style; {known(STYLES, path.name)}")
    lines = ((number, _without_comment(line)) for number, line in enumerate(path.read_text().splitlines(), start=1))
    return dict(_setting(where, f"{path}, line {number}", line) for number, line in lines if line)


def _without_comment(line: str) -> str:
    """A comment begins at the first # outside of double quotes, as in matplotlib: colors are written without one."""
    quoted, kept = False, ""
    for letter in line:
        quoted ^= letter == '"'
        if letter == "#" and not quoted:
            break
        kept += letter
    return kept.strip()


def _setting(where: str, place: str, line: str) -> tuple[str, str]:
    import matplotlib

    name, colon, value = (part.strip() for part in line.partition(":"))
    value = value.removeprefix('"').removesuffix('"')
    if not colon:
        raise fail(where, f"{place}: expected `name: value`, got {line!r}")
    try:
        matplotlib.RcParams({name: value})
    except KeyError:
        raise fail(where, f"{place}: matplotlib has no setting {name!r}") from None
    except ValueError as error:
        raise fail(where, f"{place}: {error}") from None
    return name, value


def style_of(where: str, figure: Mapping[str, Any], whole: str | Sequence[str]) -> dict[str, str]:
    """Return the settings of a figure's own `style`, or of that of the whole configuration."""
    return settings_of(f"{where}.style", figure["style"]) if "style" in figure else settings_of("style", whole)
