"""How many clips have which status: in the log, on the console and in the report."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline_lib.clips.outcomes import in_words, outcomes_of, part_not_ok, report
from pipeline_lib.clips.status import Status
from pipeline_lib.reporting.opening import opening_page
from stores import CLIPS, VIDEOS, write

EVALUATION = {"seed": 0, "precision": "fp32"}
WORSE = [Status.OK] * 8 + [Status.SHORT, Status.TRUNCATED, Status.FAILED, Status.SHORT]
WORDS = "8 OK, 2 SHORT (first: {8}), 1 TRUNCATED (first: {9}), 1 FAILED (first: {10})"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    clips = [replace(clip, status=status, message="why") for clip, status in zip(CLIPS, WORSE, strict=True)]
    return write(tmp_path / "clips.h5", clips, tolerate=[VIDEOS[10].path])


def test_a_store_counts_every_status_and_names_the_first(store: Path) -> None:
    found = outcomes_of(store)
    assert in_words(found) == WORDS.format(*(video.path for video in VIDEOS))
    assert part_not_ok(found) == pytest.approx(4 / 12)


def test_the_report_tells_the_outcome_of_decoding(store: Path, tmp_path: Path) -> None:
    page = opening_page([], EVALUATION, [("mine/train", store)])
    words = WORDS.format(*(video.path for video in VIDEOS)).replace("_", r"\_")
    assert f"``mine/train``: **{words}**." in page
    whole = opening_page([], EVALUATION, [("mine/test", write(tmp_path / "whole.h5"))])
    assert "``mine/test``: 12 OK." in whole
    assert "Decoded clips" not in opening_page([], EVALUATION)


@pytest.mark.parametrize(("wrong", "told"), [(1, False), (2, True)])
def test_more_than_a_tenth_that_is_not_ok_is_told_on_the_console(
    wrong: int, told: bool, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    statuses = [Status.DAMAGED] * wrong + [Status.OK] * (10 - wrong)
    with caplog.at_level("INFO", "pipeline_lib"):
        report("train clips of mine", [f"{number}.avi" for number in range(10)], statuses)
    words = f"{10 - wrong} OK, {wrong} DAMAGED (first: 0.avi)"
    assert f"train clips of mine: {words}" in caplog.text
    expected = f"train clips of mine: {wrong}0% of the clips are not OK: {words}\n" if told else ""
    assert capsys.readouterr().err == expected


def test_the_warning_is_red_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    report("clips", ["a.avi"], [Status.TRUNCATED])
    text = "clips: 100% of the clips are not OK: 1 TRUNCATED (first: a.avi)"
    assert capsys.readouterr().err == f"\033[31m{text}\033[0m\n"


def test_frames_that_are_all_there_are_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    report("clips", ["a.avi"], [Status.COMPLAINED])
    assert capsys.readouterr().err == ""
