"""The pages of measured results: the table of masking sheets."""

import sys
from pathlib import Path

import pytest

from pipeline_lib.errors import PipelineError

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
from measured import read_sheets  # noqa: E402

SHEET = """part,attack,value,measured,low,high,n,seeds,zero_gradients,verdict
clean,clean,,98.3333,94.1264,99.5417,120,1,,{0}
white_box,pgd,,5.0,2.3114,10.4803,120,1,0.0,{0}
bound,large,{1},5.0,2.3114,10.4803,120,1,0.0,{0}
bound,unbounded,1.0,0.0,0.0,3.1019,120,1,0.0,{0}
"""


def test_sheets_are_rows_with_all_bounds_in_increasing_order(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/masking_a.csv").write_text(SHEET.format("masked", 16 / 255))
    (tmp_path / "figures/masking_b_c.csv").write_text(SHEET.format("no sign", 2 / 255))
    (tmp_path / "config.yaml").write_text("figures: {masking_a: {title: A B}, masking_b_c: null}\n")
    lines = read_sheets(tmp_path / "figures").rows.splitlines()
    assert lines[0] == "| transform | clean | white-box | bound 2/255 | bound 16/255 | bound 1 | verdict |"
    assert lines[2:] == [
        "| A B | 98.3 [94.1, 99.5] | 5.0 [2.3, 10.5] |  | 5.0 | 0.0 | masked |",
        "| masking_b_c | 98.3 [94.1, 99.5] | 5.0 [2.3, 10.5] | 5.0 |  | 0.0 | no sign |",
    ]


def test_a_folder_without_sheets_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"no masking_\*.csv there"):
        read_sheets(tmp_path)
