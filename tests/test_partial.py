"""Partial tables: what is there, the rest `not computed`, and never a table that could be taken for the whole one."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from faulty import CONFIG, TABLES, output, start
from pipeline_lib.jobs.recording import write_record
from pipeline_lib.provenance.availability import NOT_MADE, Availability
from pipeline_lib.provenance.comparison import OTHER_BYTES, OTHER_PLAN, Comparison
from pipeline_lib.provenance.descriptions import Description, Identities
from pipeline_lib.provenance.origins import Origins
from pipeline_lib.provenance.records import record_of
from pipeline_lib.reporting.cells import measure
from pipeline_lib.reporting.failures import Failures
from pipeline_lib.reporting.partial import main
from pipeline_lib.reporting.partial_audits import write_partial_audit
from pipeline_lib.reporting.partial_layouts import no_error, partial_layout
from pipeline_lib.reporting.partial_tables import marked, texts, with_sizes, without, write_partial
from pipeline_lib.reporting.tables import table_of
from pipeline_lib.reporting.worst_cases import WORST_COLUMNS, WORST_NUMBERS
from test_audit_table import audit_entry
from test_tables import KINDS, PAPER, layout_of, visible
from test_worst_tables import ROWS, WORST, with_worst

HALF = "11100000" * 5


def lacking(*names):
    """Why a file cannot be used: those whose names contain one of these are not there."""
    return lambda path: NOT_MADE if any(name in path for name in names) else None


def written(folder, layout, reason, error=no_error) -> dict[str, str]:
    found = partial_layout(layout, reason, error)
    write_partial(found, PAPER, Origins(str(folder), {}), folder)
    return {kind: visible((folder / f"study-partial.{ending}").read_text()) for kind, ending in KINDS.items()}


def measured_in(text: str, name: str = "measured") -> dict[tuple[str, str], str]:
    """The pooled numbers of a CSV."""
    rows = csv.DictReader(text.splitlines())
    return {(row["row"], row["column"]): row[name] for row in rows if not row["seed"]}


def test_what_is_not_computed_is_stated_in_each_format_and_never_empty_or_zero(tmp_path):
    texts = written(tmp_path, layout_of(tmp_path, ROWS), lacking("2pgd0"))  # row AT, column pgd
    found = measured_in(texts["csv"])
    assert {key for key, value in found.items() if value == "not computed"} == {
        ("AT", column) for column in ("pgd", "mean", "union")
    }
    assert found["AT", "clean"] == "75.0"
    assert found["None", "mean"] == "62.5"
    for kind in ("markdown", "latex", "html"):
        assert "(partial: 3 of 4 cells)" in texts[kind]
        assert "PARTIAL: 3 of 4 cells are computed" in texts[kind]
        assert texts[kind].count("not computed") == 3
    assert re.search(r"\| AT +\| 75\.0 \[[^|]*\| not computed *\| not computed *\| not computed *\|", texts["markdown"])
    assert r"\label{tab:study-partial}" in texts["latex"]
    with pytest.raises(ValueError, match="not computed"):
        float(found["AT", "pgd"])
    assert {row["table"] for row in csv.DictReader(texts["csv"].splitlines())} == {"study-partial"}


def test_a_table_of_nothing_says_so(tmp_path):
    texts = written(tmp_path, layout_of(tmp_path, ROWS), lacking(""))
    assert set(measured_in(texts["csv"]).values()) == {"not computed"}
    for kind in ("markdown", "latex", "html"):
        assert "PARTIAL: 0 of 4 cells are computed; there is nothing yet." in texts[kind]


def test_a_whole_table_has_the_numbers_of_the_study(tmp_path):
    found = partial_layout(layout_of(tmp_path, ROWS), lacking())
    assert (found.cells, found.planned, found.absent, found.missing) == (4, 4, set(), [])


def test_a_row_keeps_the_seeds_with_the_most_columns_and_states_which_it_lacks(tmp_path):
    seeds = {"None": {"clean": [HALF, HALF, HALF], "pgd": [HALF, HALF, HALF]}}
    layout = layout_of(tmp_path, seeds)
    found = partial_layout(layout, lacking("pgd1", "clean2", "pgd2"))
    assert found.layout["rows"][0]["seeds"] == [0]
    assert (found.cells, found.absent) == (2, set())
    texts = written(tmp_path, layout, lacking("pgd1", "clean2", "pgd2"))
    assert "None has seed 0, not yet 1, 2." in texts["markdown"]
    failed = "rule train: the training loss is nan in epoch 2, step 9"
    because = written(tmp_path, layout, lacking("1.csv"), lambda path: failed)
    assert f"None has seeds 0, 2, not yet 1 ({failed})." in because["markdown"]
    assert found.missing[0].reason == NOT_MADE
    only_clean = partial_layout(layout, lacking("pgd"))
    assert only_clean.layout["rows"][0]["seeds"] == [0, 1, 2]
    assert {column for _, column in only_clean.absent} == {"pgd", "mean", "union"}


def test_a_worst_case_that_is_not_there_is_in_no_summary(tmp_path):
    """The union of a row without its worst case would be that of the ordinary attack: too high."""
    layout = with_worst(tmp_path, ROWS, WORST)
    texts = written(tmp_path, layout, lacking("AT 0.csv"))
    worst = measured_in(texts["csv"], "worst")
    assert {key for key, value in worst.items() if value == "not computed"} == {
        ("AT", column) for column in ("pgd", "mean", "union")
    }
    assert worst["None", "union"] == "25.0"
    of_seeds = [row for row in csv.DictReader(texts["csv"].splitlines()) if row["seed"] and row["row"] == "AT"]
    assert {row["worst"] for row in of_seeds} == {""}
    assert "50.0 [35.2, 64.8] \u2192 not computed" in texts["markdown"]
    nothing = written(tmp_path, layout, lacking("AT 0.csv", "None 0.csv"))
    assert set(measured_in(nothing["csv"], "worst").values()) == {"not computed", ""}
    assert "(partial: 4 of 6 cells)" in nothing["html"]


def test_a_transfer_column_needs_the_audit_of_its_source(tmp_path):
    layout = layout_of(tmp_path, ROWS)
    (tmp_path / "of_source.csv").touch()
    layout["rows"][1]["source_audits"] = {"clean": [], "pgd": [str(tmp_path / "of_source.csv")]}
    found = partial_layout(layout, lacking("of_source"))
    assert ("AT", "pgd") in found.absent
    assert found.layout["rows"][1]["source_audits"] == {"clean": []}


def test_a_size_that_is_not_there_is_stated(tmp_path):
    layout = layout_of(tmp_path, ROWS)
    for row, name in zip(layout["rows"], ("a.csv", "b.csv"), strict=True):
        (tmp_path / name).write_text("parameters\n1500000\n")
        row["history"] = str(tmp_path / name)
    found = measured_in(written(tmp_path, layout, lacking("b.csv"))["csv"])
    assert found["None", "parameters"] == "1.5"
    assert found["AT", "parameters"] == "not computed"


def test_what_belongs_to_a_cell_is_kept_with_its_seeds(tmp_path):
    layout = layout_of(tmp_path, {"None": {"clean": [HALF] * 3, "pgd": [HALF] * 3}})
    row = layout["rows"][0]
    row["entries"] = {"clean": ["c0", "c1", "c2"], "pgd": ["p0", "p1", "p2"]}
    row["selectors"] = {"clean": ["h0", "h1", "h2"], "pgd": ["h0"]}
    row["history"] = str(tmp_path / "sizes.csv")
    found = partial_layout(layout, lacking("pgd1", "pgd2", "h1")).layout["rows"][0]
    assert (found["seeds"], found["entries"]) == ([0], {"clean": ["c0"], "pgd": ["p0"]})
    assert (found["selectors"], found["history"]) == ({"clean": ["h0", "h2"], "pgd": ["h0"]}, row["history"])
    kept = partial_layout(layout, lacking("pgd", "sizes"))
    found = kept.layout["rows"][0]
    assert (found["entries"], found["history"]) == ({"clean": ["c0", "c1", "c2"]}, None)
    assert found["selectors"] == {"clean": ["h0", "h1", "h2"]}
    assert [one.column for one in kept.missing] == ["pgd"] * 3 + ["parameters"]
    assert kept.missing[-1].path == row["history"]
    assert ("None", None) in kept.absent


def test_the_note_counts_cells_and_seeds_with_the_errors_behind_them(tmp_path):
    layout = layout_of(tmp_path, {"None": {"clean": [HALF] * 3, "pgd": [HALF] * 3}}, title="A study")
    found = partial_layout(layout, lacking("1.csv", "2.csv"), lambda path: path[-5])
    assert texts(found) == {
        "name": "study-partial",
        "title": "A study (partial: 2 of 2 cells)",
        "note": "PARTIAL: 2 of 2 cells are computed; bold and marks compare only these, and no number is final. "
        "None has seed 0, not yet 1, 2 (1) (2). For orientation.",
    }


def test_sizes_that_are_not_there_are_first_in_their_rows(tmp_path):
    layout = layout_of(tmp_path, ROWS, columns=["clean", "pgd", *(f"c{i}" for i in range(40))])
    for row in layout["rows"]:
        row["history"] = f"{row['label']}.csv"
    found = partial_layout(layout, lacking("AT.csv"))
    printed = pd.concat([PAPER, pd.DataFrame([("printed", "AT", "parameters", 33.0)], columns=PAPER.columns)])
    plain = {**layout, "rows": [{**row, "history": None} for row in layout["rows"]]}
    table = table_of(plain, printed, measure(plain))
    sized = with_sizes(table, found, printed)
    place = sized.index[sized["column"] == "parameters"].tolist()
    pd.testing.assert_frame_equal(sized.drop(index=place).reset_index(drop=True), table)
    (record,) = sized.loc[place].to_dict("records")
    assert place == [(table["row"] == "None").sum()]
    assert (record["row"], record["paper"], record["seeds"], record["flag"]) == ("AT", 33.0, "", "")
    assert not record["best"]
    assert pd.isna([record[name] for name in ("n", "measured", "low", "high", "difference")]).all()
    assert marked(sized, found)["absent"].tolist().count(True) == 1


def test_a_summary_without_one_of_its_worst_cases_has_none(tmp_path):
    numbers = measure(with_worst(tmp_path, ROWS, WORST))
    assert set(numbers.worst["AT"]) == {"pgd", "mean", "union"}
    kept = without(numbers, {("AT", "union"), ("AT", "clean")})
    assert {row: set(cells) for row, cells in kept.worst.items()} == {
        "None": {"pgd", "mean", "union"},
        "AT": {"pgd", "mean"},
    }


def test_a_table_none_of_whose_worst_cases_are_there_has_their_columns(tmp_path):
    layout = with_worst(tmp_path, ROWS, WORST)
    found = partial_layout(layout, lacking("AT 0.csv", "None 0.csv"))
    table = table_of(found.layout, PAPER, measure(found.layout))
    shown = marked(table, found)
    assert shown.columns.tolist()[-2 - len(WORST_COLUMNS) :] == ["absent", "worst_absent", *WORST_COLUMNS]
    assert shown[list(WORST_NUMBERS)].isna().all(axis=None)
    assert not shown[["weak", "worst_best"]].any(axis=None)
    assert (shown["worst_flag"] == "").all()
    assert shown["worst_absent"].tolist() == [False, True, True, True] * 2


class Made:
    """Three jobs in a row, each with a file: clips, weights, predictions."""

    def __init__(self, folder: Path, **code: str) -> None:
        self.results, names = f"{folder}/results", ("clips", "weights", "predictions")
        self.jobs = {}
        for before, name in zip((None, *names), names, strict=False):
            path = f"{self.results}/{name}.csv"
            inputs = {} if before is None else {before: f"{self.results}/{before}.csv"}
            record = f"{self.results}/identities/{name}.json"
            made = {"settings": {}, "inputs": inputs, "outputs": {name: path}, "record": record}
            self.jobs[path] = Description(rule=name, code=code.get(name, "1"), **made)
        self.identities = Identities(self.jobs.get)
        self.availability = Availability(Comparison(self.results, self.identities))

    def path(self, name: str) -> str:
        return f"{self.results}/{name}.csv"

    def write(self) -> None:
        Path(self.results).mkdir()
        for path, job in self.jobs.items():
            Path(path).write_text(job.rule)
            write_record(Path(job.record), record_of(self.identities.plain(job, self.results), Path(self.results)))


def test_results_are_used_only_if_all_behind_them_are_those_of_the_configuration(tmp_path):
    Made(tmp_path).write()
    names = ("clips", "weights", "predictions")
    assert [Made(tmp_path).availability.reason(Made(tmp_path).path(name)) for name in names] == [None] * 3
    other = Made(tmp_path, weights="2")
    assert [other.availability.reason(other.path(name)) for name in names] == [None, OTHER_PLAN, OTHER_PLAN]
    assert other.availability.first(other.path("predictions")).rule == "weights"
    Path(other.path("clips")).write_text("changed")
    damaged = Made(tmp_path)
    assert damaged.availability.reason(damaged.path("predictions")) == OTHER_BYTES
    assert damaged.availability.first(damaged.path("predictions")).rule == "clips"
    Path(damaged.path("clips")).unlink()  # as one does to save disk
    thin = Made(tmp_path)
    assert [thin.availability.reason(thin.path(name)) for name in names] == [NOT_MADE, None, None]


def test_sets_that_are_not_made_are_in_the_audit_as_not_computed(tmp_path):
    sets = [audit_entry(tmp_path, attack="a", end_loss=float("nan")), audit_entry(tmp_path, attack="b")]
    Path(sets[1]["audit"]).rename(tmp_path / "b.csv")
    sets[1]["audit"] = str(tmp_path / "b.csv")
    for number, lacks in enumerate((("b.csv",), ("",))):
        write_partial_audit(sets, lacking(*lacks), "About.", tmp_path)
        rows = list(csv.DictReader((tmp_path / "audit-partial.csv").read_text().splitlines()))
        assert [row["attack"] for row in rows] == ["a", "b"]
        assert {value for key, value in rows[1].items() if key not in sets[1]} == {"not computed"}
        assert rows[0]["verdict"] == ("not computed" if number else "not finite")
        text = (tmp_path / "audit-partial.md").read_text()
        assert f"### audit (partial: {1 - number} of 2 sets)" in text
        assert f"PARTIAL: {1 - number} of 2 sets are made" in text
        assert text.count("not computed") > 20 * (1 + number)


def test_a_set_of_several_clips_of_a_video_needs_its_predictions(tmp_path):
    entry = audit_entry(tmp_path, end_loss=1 / 3) | {"clips_by_video": 2, "predictions": "p.csv"}
    for lacks, verdict, loss in (("p.csv", "not computed", "not computed"), ("q.csv", "ok", "0.333333")):
        write_partial_audit([entry], lacking(lacks), "About.", tmp_path)
        (row,) = csv.DictReader((tmp_path / "audit-partial.csv").read_text().splitlines())
        assert (row["verdict"], row["end_loss"]) == (verdict, loss)


def test_bad_input_is_named_with_status_2(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["--configfile", "none.yaml"]) == 2
    assert capsys.readouterr().err == "error: --configfile none.yaml: there is no such file\n"
    assert list(tmp_path.iterdir()) == []


def partial(folder: Path, *given: str) -> str:
    command = [sys.executable, "-m", "pipeline_lib.reporting.partial", "--configfile", str(CONFIG), "--config"]
    done = subprocess.run([*command, "results=results", *given], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_job_behind_a_file_is_looked_for_once(tmp_path):
    """Twice asked for its error, and once for the job that comes first."""
    made = Made(tmp_path)
    made.write()
    Path(made.path("predictions")).unlink()
    asked: list[str] = []

    class Counted(Availability):
        def first(self, path: str) -> Description | None:
            asked.append(path)
            return super().first(path)

    failures = Failures(Counted(made.availability.comparison), tmp_path)
    paths = [made.path("predictions"), made.path("weights")]
    assert [failures.error(path) for path in (*paths, *paths)] == [None] * 4  # no job has left a log
    first = failures.first(paths[0])
    assert first is not None
    assert made.path("predictions") in first.outputs.values()
    assert asked == paths[:1]  # the other file is there


@pytest.mark.slow
def test_a_failed_row_does_not_keep_the_others_from_their_table(tmp_path):
    run = start(tmp_path, "--keep-going", given=("training={finetune: {learning_rate: 1e30}}",))
    assert run.wait(600) == 1
    assert "faults: 4 of 8 cells\n" in output(tmp_path)
    made = tmp_path / "results/partial"
    assert not (tmp_path / "results/tables").exists()
    found = measured_in((made / "faults-partial.csv").read_text())
    assert {row for (row, _), value in found.items() if value == "not computed"} == {"AT"}
    assert {row for (row, _), value in found.items() if value != "not computed"} == {"Standard"}
    readme = (made / "README.md").read_text()
    assert "- tiny/train/at_pgd-s0, for 7 files; its last log is results/tiny/logs/train/at_pgd-s0.log" in readme
    assert "; it failed: rule train: the training loss is nan in epoch 1" in readme
    assert "AT / pgd: results/tiny/predictions/at_pgd-s0/at_pgd-s0/pgd.csv: not made yet: rule train: " in readme
    assert partial(tmp_path).startswith("faults: 4 of 8 cells\n")  # at any learning rate
    # Of another configuration nothing is used but what is the same in both.
    other = partial(tmp_path, "attacks={pgd: {perturbation: {epsilon: 128/255}}}")
    assert other.startswith("faults: 3 of 8 cells\n")
    assert measured_in((made / "faults-partial.csv").read_text())["Standard", "pgd"] == "not computed"
    # The whole table, once it is made, has the same numbers.
    partial(tmp_path)
    before = measured_in((made / "faults-partial.csv").read_text())
    run = start(tmp_path, files=TABLES[:1])
    assert run.wait(600) == 0, output(tmp_path)[-3000:]
    whole = measured_in((tmp_path / "results/tables/faults.csv").read_text())
    assert {key: value for key, value in before.items() if value != "not computed"}.items() <= whole.items()
