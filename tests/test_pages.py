"""Pages with tables: escaped, complete, readable by keyboard and without a network, whatever the labels are."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from pipeline_lib.reporting import formats
from pipeline_lib.reporting.html_tables import HtmlCell
from pipeline_lib.reporting.marks import MARKS
from pipeline_lib.reporting.page_style import STYLE
from pipeline_lib.reporting.table_files import write_table
from pipeline_lib.reporting.tables import build_table
from test_tables import KINDS, PAPER, layout_of

HOSTILE = [
    "<script>alert(1)</script>",
    "x" * 80,
    "\u0634\u0628\u0643\u0629 \u0639\u0635\u0628\u064a\u0629",
    "a\"b'c & d",
]


class Tags(HTMLParser):
    """The tags of a page, and the text of its row headings."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.rows: list[str] = []
        self.in_row = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "th" and dict(attrs).get("scope") == "row":
            self.rows.append("")
            self.in_row = True

    def handle_endtag(self, tag: str) -> None:
        self.in_row = self.in_row and tag != "th"

    def handle_data(self, data: str) -> None:
        if self.in_row:
            self.rows[-1] += data


def page_of(folder: Path, rows: dict) -> tuple[Tags, str]:
    table_layout = layout_of(folder, rows, title=HOSTILE[0], note=HOSTILE[0])
    paths = {kind: folder / f"t.{ending}" for kind, ending in KINDS.items()}
    write_table(build_table(table_layout, PAPER), table_layout, **paths)
    tags = Tags()
    tags.feed(paths["html"].read_text())
    return tags, paths["html"].read_text()


def test_labels_are_text_whatever_they_contain(tmp_path: Path) -> None:
    rows = {f"{label}{'.' * place}": {"clean": ["10"], "pgd": ["10"]} for place, label in enumerate(HOSTILE)}
    tags, page = page_of(tmp_path, rows)
    assert [label.removesuffix(" \u00a7") for label in tags.rows] == list(rows)
    assert tags.tags.count("script") == 1  # the page's own
    assert "alert(1)</script>" not in page
    assert page.count("<bdi>") == len(rows) + 1 + 4  # each label has its own direction


def test_sixty_rows_are_all_in_a_box_that_scrolls_under_its_header(tmp_path: Path) -> None:
    tags, page = page_of(tmp_path, {"m" * (place + 1): {"clean": ["10"]} for place in range(60)})
    assert len(tags.rows) == 60
    assert page.count('<div class="scroll" tabindex="0" role="region"') == 1
    for rule in ("thead th { position: sticky; top: 0", "tr > :first-child { position: sticky; left: 0"):
        assert rule in page


def test_a_cell_states_its_facts_on_demand(tmp_path: Path) -> None:
    given = layout_of(tmp_path, {"None": {"clean": ["1110"], "pgd": ["0110"]}})
    own = {"target": "m-s0", "source": "m-s0", "attack": "pgd_5"}
    given["rows"][0]["entries"] = {"pgd": [own | {"source": "other-s0"}]}
    paths = {kind: tmp_path / f"t.{ending}" for kind, ending in KINDS.items()}
    write_table(build_table(given, PAPER), given, **paths)
    [cell] = [one for one in re.findall(r"<td.*?</td>", paths["html"].read_text()) if "pgd_5" in one]
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", cell))
    assert facts["measured"] == "50.00 %"
    assert facts["95 % interval"] == "15.00 to 85.00 %"
    assert (facts["clips"], facts["seeds"], facts["attack"], facts["made on"]) == ("4", "0", "pgd_5", "other-s0")
    assert facts["here minus paper"] == "+46.75 points"
    assert cell.startswith('<td class="constant" data-value="50.0000"><details><summary>')


def test_every_mark_has_a_color_in_light_and_dark_with_enough_contrast() -> None:
    light, dark = STYLE.split("@media", 1)
    for kind, _ in MARKS.values():
        for style in (light, dark):
            color, back = (re.search(rf"--{kind}{end}: (#[0-9a-f]{{6}})", style) for end in ("", "-back"))
            assert color
            assert back
            assert contrast(color[1], back[1]) >= 4.5, (kind, color[1])


def contrast(first: str, second: str) -> float:
    """WCAG 2.1's ratio of two colors."""
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(color: str) -> float:
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_contrast_of_black_and_white_is_the_largest() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


def test_values_are_escaped_and_cells_without_details_are_plain() -> None:
    wide = pd.DataFrame({"a": [HtmlCell(content="1", value='"><b>')]}, index=pd.Index(["r"], name="model"))
    page = formats.html_page("t", "", wide)
    assert '<td data-value="&quot;&gt;&lt;b&gt;">1</td>' in page
    assert "<details" not in page.partition("<script>")[0]
