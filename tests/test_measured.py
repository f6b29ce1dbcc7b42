"""Tables of a run as documents: what is copied, what is kept, and what is refused."""

import sys

import pytest

from pipeline_lib.errors import PipelineError
from planning import ROOT

sys.path.append(str(ROOT / "benchmarks"))

from measured import page, read_tables, with_tables

TEXT = """### Some title

| model   | clean             |
|---------|-------------------|
| MultiBN | 50.9 [41.6, 60.2] |

Accuracy in percent.
"""
NARROW = "| model | clean |\n|---|---|\n| MultiBN | 50.9 [41.6, 60.2] |"


@pytest.fixture
def folder(tmp_path):
    for name in ("some", "audit"):
        (tmp_path / f"{name}.md").write_text(TEXT)
    return tmp_path


def test_a_page_has_every_table_but_the_audit(folder):
    made = page("Title", "make it", read_tables(folder))
    assert made.startswith("# Title\n\n`make it`, on ")
    assert made.endswith(f"\n\n## Some title\n\n{NARROW}\n\nAccuracy in percent.\n")
    assert made.count("## ") == 1


def test_only_blocks_are_replaced_and_again_with_the_same_result(folder):
    text = "before\n<!-- table some -->\nold\n<!-- end -->\nafter\n"
    once = with_tables(text, read_tables(folder), folder)
    assert once == f"before\n<!-- table some -->\n{NARROW}\n<!-- end -->\nafter\n"
    assert with_tables(once, read_tables(folder), folder) == once


@pytest.mark.parametrize(
    ("text", "message"),
    [("nothing", "no block"), ("<!-- table other -->\n<!-- end -->", "no table other; known: some")],
)
def test_a_block_without_a_table_is_refused(folder, text, message):
    with pytest.raises(PipelineError, match=message):
        with_tables(text, read_tables(folder), folder)


def test_no_tables_are_an_error(tmp_path):
    with pytest.raises(PipelineError, match="no tables there"):
        read_tables(tmp_path)
