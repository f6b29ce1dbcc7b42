"""Styles of figures: their settings, where they come from, and what a wrong style sheet says."""

import re

import pytest
from matplotlib import rc_context

from pipeline_lib.configuration.figures import resolve_figures
from pipeline_lib.configuration.styles import settings_of
from pipeline_lib.errors import PipelineError
from pipeline_lib.reporting.style import PAGE, STYLE, across, width, wrapped
from test_figure_entries import SWEEP, SWEEPS
from test_studies import PLAN

SHEET = """\
# colors are written without their number sign
lines.color: 332288   # or in quotes
axes.edgecolor: "#112233"
axes.prop_cycle: cycler('color', ['332288', '88CCEE'])

figure.figsize: 5, 2
"""


@pytest.fixture
def sheet(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "journal.mplstyle").write_text(SHEET)
    return "journal.mplstyle"


def test_a_page_is_the_default_and_a_column_as_wide_as_papers_have_it():
    assert settings_of("style", "page") == {}
    with rc_context(STYLE):
        assert (width(), PAGE) == (7.2, 7.2)
    with rc_context(STYLE | settings_of("style", "column")):
        assert width() == 3.4


def test_a_style_sheet_is_laid_over_what_stands_before_it(sheet):
    settings = settings_of("style", ["column", sheet])
    with rc_context(STYLE | settings):
        import matplotlib

        given = matplotlib.rcParams
        assert width() == 5
        assert given["lines.color"] == "#332288"
        assert given["axes.edgecolor"] == "#112233"
        assert len(given["axes.prop_cycle"]) == 2
        assert given["font.size"] == STYLE["font.size"]
    assert settings_of("style", [sheet, "column"])["figure.figsize"] == "3.4, 2.6"


def test_matplotlib_reads_the_same_from_the_sheet(sheet):
    import matplotlib

    read = matplotlib.rc_params_from_file(sheet, use_default_template=False)
    assert matplotlib.RcParams(settings_of("style", sheet)) == read


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("font.sise: 8", "config: style: journal.mplstyle, line 1: matplotlib has no setting 'font.sise'"),
        ("\nfont.size: eight", "config: style: journal.mplstyle, line 2: "),
        ("font.size 8", "journal.mplstyle, line 1: expected `name: value`, got 'font.size 8'"),
    ],
)
def test_a_wrong_line_is_named(sheet, tmp_path, text, message):
    (tmp_path / sheet).write_text(text)
    with pytest.raises(PipelineError, match=re.escape(message)):
        settings_of("style", sheet)


def test_a_style_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(
        PipelineError,
        match=re.escape("config: style: coloumn is no file, and no style; known: column, page; did you mean column?"),
    ):
        settings_of("style", "coloumn")


def test_a_figure_can_have_its_own_style_and_the_others_that_of_the_configuration(sheet):
    figures = {"own": SWEEP | {"style": "page"}, "all": SWEEP}
    plan = resolve_figures({"figures": figures, "style": sheet}, SWEEPS, PLAN | {"studies": {}})
    assert plan["own"]["style"] == {}
    assert plan["all"]["style"]["figure.figsize"] == "5, 2"
    assert "style" not in plan["own"]["entry"]
    with pytest.raises(PipelineError, match=re.escape("config: figures.own.style: nowhere is no file")):
        resolve_figures({"figures": {"own": SWEEP | {"style": "nowhere"}}}, SWEEPS, PLAN | {"studies": {}})


def test_panels_and_letters_that_fit():
    with rc_context(STYLE):
        assert [across(panels, 1.7) for panels in (0, 1, 4, 5)] == [1, 1, 4, 4]
    with rc_context(STYLE | settings_of("style", "column")):
        assert [across(panels, 1.7) for panels in (1, 5)] == [1, 2]
    assert wrapped("ab " * 60, 2).split("\n")[0] == "ab ab ab ab ab ab ab ab ab ab"
