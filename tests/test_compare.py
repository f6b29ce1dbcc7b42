"""The file of all numbers, and several of them side by side: what they state, and what is refused."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline_lib.errors import PipelineError
from pipeline_lib.reporting.compare import differing, laid_out, main, names_of, side_by_side, text_of
from pipeline_lib.reporting.metrics import read_predictions, wilson
from pipeline_lib.reporting.summary import build_summary, clips_digest, write_summary
from pipeline_lib.reporting.table_files import write_table
from pipeline_lib.reporting.tables import build_table
from test_audit_table import audit_entry
from test_tables import KINDS, PAPER, layout_of
from test_worst_tables import with_worst

ATTACK = {"method": "ascent", "perturbation": {"epsilon": 0.1, "step_size": 0.05}, "steps": 3}
ENTRIES = {"attacks": {"pgd": ATTACK}, "models": {"plain-s0": {"seed": 0}, "plain-s1": {"seed": 1}}}


@pytest.fixture
def summary(tmp_path: Path) -> dict[str, Any]:
    rows = {"None": {"clean": ["1110" * 10, "1" * 40], "pgd": ["0" * 40, "1" + "0" * 39]}}
    layout = layout_of(tmp_path, rows, title="A study")
    row = layout["rows"][0]
    for column, source in (("clean", {"attack": "clean", "source": None}), ("pgd", {"attack": "pgd"})):
        targets = [f"plain-s{seed}" for seed in (0, 1)]
        row.setdefault("entries", {})[column] = [{"target": one, "source": one} | source for one in targets]
    (tmp_path / "audits").mkdir()
    row["audits"] = {"pgd": [audit_entry(tmp_path / "audits", zero_gradients=1.0)["audit"]]}
    paths = {kind: tmp_path / f"t.{ending}" for kind, ending in KINDS.items()}
    write_table(build_table(layout, PAPER), layout, **paths)
    return build_summary({"study": layout}, {"study": paths["csv"]}, ENTRIES)


def record(summary: dict[str, Any], column: str) -> dict[str, Any]:
    (found,) = [one for one in summary["records"] if one["column"] == column]
    return found


def test_a_record_states_how_a_number_was_measured(summary: dict[str, Any]) -> None:
    clean, pgd, mean = (record(summary, column) for column in ("clean", "pgd", "mean"))
    assert (clean["measured"], clean["n"], clean["seeds"]) == (87.5, 40, [0, 1])
    assert clean["sd"] == pytest.approx(17.6777)
    assert (clean["flags"], clean["constant"], clean["chance"]) == ([], 10, 10)
    assert (clean["identity"], clean["worst"]) == (None, None)
    assert pgd["entries"][1] == {"target": "plain-s1", "source": "plain-s1", "attack": "pgd"}
    assert pgd["flags"] == ["not above a constant answer", "masked gradient"]
    assert not pgd["best"]
    assert mean["entries"] == []
    assert summary["attacks"] == {"pgd": ATTACK}
    assert summary["claims"] == []
    assert summary["studies"]["study"]["columns"] == ["clean", "pgd"]


def test_a_record_has_its_worst_case_with_the_flags_of_both(tmp_path: Path) -> None:
    """Of sizes and cells that are not computed there is no record."""
    rows = {"None": {"clean": ["1" * 40], "pgd": ["1" * 20 + "0" * 20]}, "AT": {"clean": ["1" * 40]}}
    rows["Guess"] = {"clean": ["0" * 40]}
    layout = with_worst(tmp_path, rows, {"None": ["1" + "0" * 39]}, title="A study")
    (tmp_path / "size.csv").write_text("parameters\n1500000\n")
    for row in layout["rows"]:
        row["history"] = str(tmp_path / "size.csv")
    layout["rows"][2]["entries"] = {"clean": [{"attack": "clean", "source": None, "target": "plain-s0"}]}
    audits = [audit_entry(tmp_path, **facts)["audit"] for facts in ({"zero_gradients": 1.0}, {"box_excess": 1.0})]
    layout["rows"][0]["audits"], layout["rows"][0]["worst"]["pgd"]["audits"] = {"pgd": audits}, audits
    paths = {kind: tmp_path / f"t.{ending}" for kind, ending in KINDS.items()}
    write_table(build_table(layout, PAPER), layout, **paths)
    found = build_summary({"study": layout}, {"study": paths["csv"]}, ENTRIES)
    places = [(one["row"], one["column"]) for one in found["records"]]
    columns = ("clean", "pgd", "mean", "union")
    assert places == [*(("None", column) for column in columns), ("AT", "clean"), ("Guess", "clean")]
    assert found["records"][-1]["flags"] == ["not above a constant answer", "model has learned nothing"]
    pgd, faults = record(found, "pgd"), ["bound broken", "masked gradient"]
    low, high = (round(limit, 4) for limit in wilson(2.5, 40))
    flags = ["not above a constant answer", *faults]
    assert pgd["worst"] == {"measured": 2.5, "low": low, "high": high, "weak": True, "flags": flags}
    assert pgd["flags"] == faults


def test_the_written_summary_reads_back(summary: dict[str, Any], tmp_path: Path) -> None:
    write_summary(summary, tmp_path / "s.json")
    assert json.loads((tmp_path / "s.json").read_text()) == summary
    assert sum(line.startswith('  {"study"') for line in (tmp_path / "s.json").read_text().splitlines()) == 4
    text = (tmp_path / "s.json").read_text()
    assert text.startswith('{\n "format": 1,\n "attacks": {\n  "pgd"')
    assert text.count('"records"') == 1
    write_summary(summary | {"models": {"größer": {}}}, tmp_path / "s.json")
    assert '"größer"' in (tmp_path / "s.json").read_text(encoding="utf-8")
    write_summary(summary | {"records": []}, tmp_path / "s.json")
    assert json.loads((tmp_path / "s.json").read_text())["records"] == []


def test_the_digest_of_clips_depends_on_names_and_labels_and_not_on_their_order(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("video,label,prediction,loss\na,0,1,0.5\nb,1,1,0.5\n")
    table = read_predictions(tmp_path / "p.csv")
    digest = clips_digest(table)
    assert digest == hashlib.sha256(b"a\0" + b"0\nb\0" + b"1\n").hexdigest()[:16]
    assert clips_digest(table.iloc[::-1].assign(prediction=0)) == digest
    assert clips_digest(table.assign(label=[0, 2])) != digest
    assert clips_digest(table.assign(video=["a", "c"])) != digest


def compared(capsys, folder: Path, *summaries: dict[str, Any], options: tuple[str, ...] = ()) -> tuple[int, str, str]:
    paths = []
    for index, summary in enumerate(summaries):
        path = folder / f"run{index}" / "summary.json"
        path.parent.mkdir(exist_ok=True)
        write_summary(summary, path)
        paths.append(str(path))
    status = main([*paths, *options])
    out, err = capsys.readouterr()
    return status, out, err


def test_runs_are_laid_side_by_side(summary: dict[str, Any], tmp_path: Path, capsys) -> None:
    other = copy.deepcopy(summary)
    for one in other["records"]:
        one["row"] = "Own"
    page = tmp_path / "page.html"
    status, out, err = compared(capsys, tmp_path, summary, other, options=("--html", str(page)))
    assert (status, err) == (0, "")
    header = next(line for line in out.splitlines() if line.startswith("| model"))
    assert [cell.strip() for cell in header.split("|")[2:4]] == ["clean, run0/summary", "clean, run1/summary"]
    assert sum(line.startswith(("| None", "| Own")) for line in out.splitlines()) == 2
    assert "1.2†‡ [0.0, 12.9] sd 1.8" in out
    assert "A study" in page.read_text()
    assert "<title>Results side by side</title>" in page.read_text()


CHANGES = {
    "other clips": (("studies", "study", "clips"), "0", "study study: .* were measured on different clips"),
    "other columns": (
        ("studies", "study", "columns"),
        ["clean"],
        "have different columns: .*'pgd'.*'clean'",
    ),
    "other bound": (
        ("attacks", "pgd", "perturbation", "epsilon"),
        0.2,
        "column pgd: .* have different attacks: perturbation.epsilon 0.1 and 0.2",
    ),
    "more steps": (("attacks", "pgd", "steps"), 20, "column pgd: .* have different attacks: steps 3 and 20"),
    "no study in common": (("studies",), {}, "no study in common"),
    "other format": (("format",), 0, "run1/summary.json: no summary of results of format 1 .its format: 0"),
}


@pytest.mark.parametrize(("place", "value", "message"), CHANGES.values(), ids=CHANGES)
def test_what_is_not_comparable_is_refused_in_one_sentence(summary, tmp_path, capsys, place, value, message) -> None:
    other = copy.deepcopy(summary)
    part = other
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    page = tmp_path / "page.html"
    status, out, err = compared(capsys, tmp_path, summary, other, options=("--html", str(page)))
    assert (status, out, err.count("\n"), page.exists()) == (2, "", 1, False)
    assert pd.Series([err]).str.contains(message).all(), err


def test_a_source_that_is_another_model_has_to_be_the_same(summary, tmp_path, capsys) -> None:
    runs = [copy.deepcopy(summary) for _ in range(2)]
    for run in runs:
        for entry in record(run, "pgd")["entries"]:
            entry["target"] = "robust-s0"
    assert compared(capsys, tmp_path, *runs)[0] == 0
    runs[1]["models"]["plain-s1"] = {"seed": 5}
    status, _, err = compared(capsys, tmp_path, *runs)
    assert status == 2
    assert "have different attacks: source.seed 1 and 5" in err


def test_an_attack_that_only_one_run_has_is_named(summary) -> None:
    other = copy.deepcopy(summary)
    record(other, "pgd")["entries"][1]["source"] = "plain-s0"
    with pytest.raises(PipelineError, match=r"a and b have different attacks: attack null and \{\"method\""):
        side_by_side({"a": summary, "b": other})
    with pytest.raises(PipelineError, match="b and a have different attacks: attack {.*} and null$"):
        side_by_side({"b": other, "a": summary})


def test_the_order_of_keys_makes_no_other_attack(summary) -> None:
    turned = {**summary, "attacks": {"pgd": dict(reversed(ATTACK.items()))}}
    assert side_by_side({"a": summary, "b": turned})["study"].shape == (1, 8)


def test_the_first_key_that_differs_is_named() -> None:
    assert differing({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}}) == "b.c 2 and 3"
    assert differing({"a": 1}, {"a": 1, "d": 2}) == "d null and 2"
    assert differing({"a": {"b": 1}}, {"a": 5}) == 'a {"b": 1} and 5'
    assert differing(5, {"a": 1}) == 'attack 5 and {"a": 1}'


def test_numbers_that_a_run_lacks_are_empty(summary) -> None:
    other = copy.deepcopy(summary)
    for one in other["records"]:
        one["row"] = "Own"
    found = laid_out("study", {"a": summary, "b": other})
    assert found.index.tolist() == ["None", "Own"]
    assert found.loc["None", ["clean, b", "pgd, b"]].tolist() == found.loc["Own", ["clean, a", "pgd, a"]].tolist()
    assert found.loc["Own", "clean, a"] == ""


def test_marks_of_a_number(summary) -> None:
    clean = record(summary, "clean") | {"sd": None}
    interval = f"[{clean['low']:.1f}, {clean['high']:.1f}]"
    low = "not above a constant answer"
    nothing = "model has learned nothing"
    marked = ((), (low,), ("masked gradient",), (low, nothing))
    texts = {flags: text_of(clean | {"flags": list(flags)}) for flags in marked}
    assert texts == {
        (): f"87.5 {interval}",
        (low,): f"87.5\u2021 {interval}",
        ("masked gradient",): f"87.5\u2020 {interval}",
        (low, nothing): f"87.5\u2021 {interval} \u00a7",
    }


def test_runs_are_named_by_the_shortest_ending_that_no_other_has() -> None:
    assert names_of(["/x/a.json", "/x/b.json"]) == ["a", "b"]
    assert names_of(["/x/s.json", "/y/s.json"]) == ["x/s", "y/s"]
    assert names_of(["/r/x/z/s.json", "/r/y/z/s.json", "/r/y/t.json"]) == ["x/z/s", "y/z/s", "r/y/t"]


def test_files_that_are_no_summaries_and_one_file_are_refused(summary, tmp_path, capsys) -> None:
    write_summary(summary, tmp_path / "a.json")
    (tmp_path / "b.json").write_text("[1, 2")
    good, bad = str(tmp_path / "a.json"), str(tmp_path / "b.json")
    given = ((good, bad), (good, str(tmp_path / "none.json")), (good, str(tmp_path)), (good,), (good, good))
    words = ("b.json: no summary", "none.json: no summary", "no summary", "name at least two files", "is given twice")
    for files, word in zip(given, words, strict=True):
        assert main(list(files)) == 2
        assert word in capsys.readouterr().err
