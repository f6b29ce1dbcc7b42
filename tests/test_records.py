"""Rows between rules: numbers as written, columns that readers rely on, files that are whole."""

from typing import NamedTuple

import pandas as pd
import pytest

from pipeline_lib.errors import PipelineError
from pipeline_lib.records.audits import Audit
from pipeline_lib.records.columns import read_columns
from pipeline_lib.records.predictions import REQUIRED, Prediction
from pipeline_lib.records.rows import write_rows
from pipeline_lib.reporting.audits import read_audit
from pipeline_lib.reporting.metrics import read_predictions
from pipeline_lib.reporting.predictions import by_video, check_same_videos, read_by_video


class Row(NamedTuple):
    name: str
    count: int
    value: float


def test_floats_have_the_format_and_everything_else_is_as_it_is(tmp_path):
    rows = [Row("a, b", 1234567, 2 / 3), Row("", 0, 1e-9), Row("é", -1, float("nan"))]
    write_rows(tmp_path / "rows.csv", Row._fields, rows)
    lines = (tmp_path / "rows.csv").read_bytes().decode().split("\r\n")
    assert lines == ["name,count,value", '"a, b",1234567,0.666667', ",0,1e-09", "é,-1,nan", ""]
    write_rows(tmp_path / "rows.csv", Row._fields, rows[:1], number=".2f")
    assert (tmp_path / "rows.csv").read_text().splitlines()[1] == '"a, b",1234567,0.67'


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    def rows():
        yield Row("first", 1, 0.5)
        raise KeyboardInterrupt

    write_rows(tmp_path / "rows.csv", Row._fields, [])
    with pytest.raises(KeyboardInterrupt):
        write_rows(tmp_path / "rows.csv", Row._fields, rows())
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]
    assert (tmp_path / "rows.csv").read_text().splitlines() == ["name,count,value"]


def test_readers_find_what_writers_wrote(tmp_path):
    audit = Audit(*range(len(Audit._fields)))
    write_rows(tmp_path / "audit.csv", Audit._fields, [audit])
    assert read_audit(tmp_path / "audit.csv") == audit._asdict()
    write_rows(tmp_path / "predictions.csv", Prediction._fields, [Prediction("007", 3, 4, 0.5)], number=".6f")
    (row,) = read_predictions(tmp_path / "predictions.csv").to_dict("records")
    assert row == {"video": "007", "label": 3, "prediction": 4, "loss": 0.5, "selected": ""}
    assert REQUIRED == ("video", "label", "prediction", "loss")


def test_columns_are_read_as_they_were_written(tmp_path):
    rows = [Row('a, "b"\nc', 1, 0.5), Row("", -2, float("nan"))]
    write_rows(tmp_path / "rows.csv", Row._fields, rows)
    found = read_columns(tmp_path / "rows.csv")
    assert found == {"name": ('a, "b"\nc', ""), "count": ("1", "-2"), "value": ("0.5", "nan")}
    write_rows(tmp_path / "rows.csv", Row._fields, [])
    assert read_columns(tmp_path / "rows.csv") == {"name": (), "count": (), "value": ()}


@pytest.mark.parametrize("content", [b"", b"a,b\n1\n", b"a,b\n1,2,3\n", b"a\n\xff\n", None])
def test_what_is_no_table_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(PipelineError, match=r"rows\.csv: not a table"):
        read_columns(tmp_path / "rows.csv")


def test_a_class_that_is_no_whole_number_is_named(tmp_path):
    (tmp_path / "p.csv").write_text("video,label,prediction,loss\na,1,x,0.5\n")
    for read in (read_predictions, read_by_video):
        with pytest.raises(PipelineError, match=r"p\.csv: .*'x'"):
            read(tmp_path / "p.csv")


def test_predictions_of_a_table_and_of_a_file_are_the_same(tmp_path):
    (tmp_path / "p.csv").write_text("video,label,prediction,loss,selected\n007,1,1,0.5,clean\nb,2,1,0.5,lp\n")
    table, found = read_predictions(tmp_path / "p.csv"), read_by_video(tmp_path / "p.csv")
    same = by_video(table)
    assert same.path == found.path == str(tmp_path / "p.csv")
    assert list(same.selected) == list(found.selected) == ["clean", "lp"]
    assert same.videos.equals(found.videos)
    assert (found.videos.name, found.videos.tolist(), found.correct.tolist()) == ("video", ["007", "b"], [True, False])
    assert by_video(found) is found
    plain = by_video(pd.DataFrame({"video": [1, 2], "label": 0, "prediction": 0}))
    assert (plain.path, list(plain.selected), plain.videos.dtype) == ("predictions", [], object)


def test_files_of_different_clips_are_named_with_the_first_difference(tmp_path):
    rows = {"a": ["x,1", "y,2"], "turned": ["y,2", "x,1"], "less": ["y,2"], "other": ["y,2", "x,3"]}
    for name, lines in rows.items():
        text = "\n".join(["video,label,prediction,loss", *(f"{line},1,0.5" for line in lines)])
        (tmp_path / f"{name}.csv").write_text(text + "\n")
    a, turned, less, other = (read_by_video(tmp_path / f"{name}.csv") for name in rows)
    check_same_videos(a, a)
    check_same_videos(a, turned)
    for first, second in ((a, less), (less, a)):
        with pytest.raises(PipelineError, match=r"less\.csv lacks 1 videos, first x"):
            check_same_videos(first, second)
    with pytest.raises(PipelineError, match=r"a\.csv and .*other\.csv give video x different labels"):
        check_same_videos(a, other)
    for lines, trouble in (([], "no clips"), (["x,1", "x,1"], "video x occurs twice")):
        (tmp_path / "bad.csv").write_text(
            "\n".join(["video,label,prediction,loss", *(f"{one},1,0.5" for one in lines)])
        )
        with pytest.raises(PipelineError, match=rf"bad\.csv: {trouble}; a summary needs"):
            read_by_video(tmp_path / "bad.csv")
