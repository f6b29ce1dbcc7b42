"""Claims of the papers: the shipped ones against printed numbers and configurations, and the errors of others."""

from functools import cache
from pathlib import Path

import pytest

from configured import ROOT, resolved, stacked
from pipeline_lib.configuration.claim_cells import (
    GivenClaims,
    given_claims,
    is_computed,
    read_printed,
    resolve_claims,
    studies_of,
)
from pipeline_lib.configuration.claims import COLUMNS, claim_files, read_claims
from pipeline_lib.configuration.layouts import Layouts
from pipeline_lib.configuration.paths import Paths
from pipeline_lib.errors import PipelineError
from pipeline_lib.reporting.claims import FAILS, HOLDS, printed_outcome

FOLDER = ROOT / "resources/paper"
SHIPPED = given_claims(["paper"], FOLDER)
PAPER_SCALE = (
    *("multibn", "multibn_hmdb51", "multibn_draft", "multibn_sweeps"),
    *("cifar10", "multav", "oudefend", "halftone"),
)


@cache
def layouts(name: str) -> Layouts:
    written = stacked(name)
    own = {data for data, entry in written["datasets"].items() if entry and not {"render", "download"} & entry.keys()}
    config = stacked(name, given={"datasets": {data: {"root": "/data"} for data in own}})
    return Layouts(resolved(config), Paths("out"), "", SHIPPED)


def file_of(folder: Path, *lines: str) -> Path:
    """A file of claims; what a line does not give is empty."""
    path = folder / "mine.csv"
    path.write_text("\n".join([",".join(COLUMNS), *(line + "," * (12 - line.count(",")) for line in lines)]) + "\n")
    return path


def test_at_least_forty_claims_over_the_four_works() -> None:
    assert len(SHIPPED.claims) >= 40
    assert {claim.about["work"] for claim in SHIPPED.claims} == {"MultiBN", "MultAV", "OUDefend", "Halftone"}


def test_each_claim_is_computed_whole_by_a_configuration_of_its_paper() -> None:
    whole = {
        claim["id"]
        for name in PAPER_SCALE
        for claim in layouts(name).claims
        if claim["comparisons"] and all(map(is_computed, claim["comparisons"]))
    }
    assert whole == {claim.about["id"] for claim in SHIPPED.claims}


def test_the_demo_computes_claims_of_every_work() -> None:
    found = [claim for claim in layouts("demo").claims if any(map(is_computed, claim["comparisons"]))]
    assert {claim["work"] for claim in found} == {"MultiBN", "MultAV", "OUDefend", "Halftone"}
    assert {*layouts("demo").claimed} == {*studies_of(found)}


def test_each_claim_holds_on_the_printed_numbers_unless_it_is_marked_as_contradicted() -> None:
    outcomes = {claim["id"]: (printed_outcome(claim), claim["note"]) for claim in layouts("multibn").claims}
    contradicted = {name for name, (_, note) in outcomes.items() if note.startswith("Contradicted by the paper's own")}
    assert {name for name, (outcome, _) in outcomes.items() if outcome == FAILS} == contradicted
    assert contradicted == {"multav-denoise-add", "halftone-every-column"}
    assert {name for name, (outcome, _) in outcomes.items() if outcome != HOLDS} - contradicted == {
        "adaptive-canonical"
    }


def test_an_extreme_is_compared_with_all_others_that_are_printed() -> None:
    claims = {claim["id"]: claim["comparisons"] for claim in layouts("multibn").claims}
    assert {one["second"]["row"] for one in claims["multibn-union"]} == {"TRADES", "AVG", "MAX", "MSD"}
    assert all(one["relation"] == "higher" for one in claims["multibn-union"])
    assert {(one["second"]["row"], one["second"]["column"]) for one in claims["draft-transfer"][:2]} == {
        ("PGD, inference BN clean", "target_pgd"),
        ("PGD, inference BN clean", "target_roa"),
    }


def test_cells_of_two_tables_are_compared_where_both_have_the_same_clips() -> None:
    (claim,) = (claim for claim in layouts("multibn").claims if claim["id"] == "black-box-weaker")
    assert {tuple(one["studies"]) for one in claim["comparisons"]} == {("multibn_black_box", "multibn_white_box")}


def test_a_study_of_ones_own_is_named_and_compared_row_by_row(tmp_path: Path) -> None:
    line = "mine,Mine,nowhere,Networks differ,study:networks,Wide ResNet,clean,highest of column"
    found = resolve_claims(read_claims([file_of(tmp_path, line)]), layouts("demo_more").studies, {})[0]["comparisons"]
    rows = [row["label"] for row in layouts("demo_more").studies["networks"]["rows"]]
    assert [one["second"]["row"] for one in found] == [row for row in rows if row != "Wide ResNet"]
    assert all(one["studies"] == ["networks", "networks"] and one["printed"] is None for one in found)
    assert resolve_claims(read_claims([file_of(tmp_path, line)]), {}, {})[0]["comparisons"] == []


GOOD = "one,Work,Place,Words,multibn_white_box,MultiBN,union,higher,,AVG"
BAD = {
    "relation": (["one,Work,Place,Words,multibn_white_box,MultiBN,union,above,,AVG"], 2, "unknown relation 'above'"),
    "id": ([GOOD, GOOD], 3, "the id 'one' is used already"),
    "letters": ([GOOD.replace("one", "One")], 2, "id 'One'"),
    "first id": ([GOOD.replace("one,Work,Place,Words", ",,,")], 2, "the first line of a file needs an id"),
    "words": ([GOOD.replace("Words", "")], 2, "`statement` of the claim 'one' is missing"),
    "words below": (
        [GOOD, GOOD.replace("one,Work,Place", ",,")],
        3,
        "`statement` belongs in the line with the claim's",
    ),
    "fields": ([f"{GOOD},,,,,"], 2, "needs 13 fields"),
    "no margin": ([GOOD.replace("higher", "similar")], 2, "'similar' needs a `margin`"),
    "margin": ([f"{GOOD},,2"], 2, "`margin` belongs to"),
    "column of an extreme": (
        ["one,Work,Place,Words,multibn_white_box,MultiBN,union,highest of column,,,mean"],
        2,
        "`other_column` has no meaning",
    ),
    "table": ([GOOD.replace("multibn_white_box", "white_box")], 2, "there is no printed table 'white_box'"),
    "row": ([GOOD, GOOD.replace("one", "two").replace("AVG", "AVERAGE")], 3, "no row 'AVERAGE'; known: AT-AF"),
    "column": ([GOOD.replace("union", "onion")], 2, "no column 'onion'; known: af, clean"),
    "cell": (
        ["one,Work,Place,Words,oudefend_ablation; oudefend_table1,OUDefend,parameters,higher"],
        2,
        "there is no printed table 'oudefend_ablation; oudefend_table1'",
    ),
    "itself": ([GOOD.replace("AVG", "MultiBN")], 2, "compares a cell with itself only"),
    "study": (["one,Work,Place,Words,study:multibn_white_box,MultiBM,union,lowest of column"], 2, "no row 'MultiBM'"),
}


@pytest.mark.parametrize(("lines", "line", "message"), BAD.values(), ids=BAD)
def test_a_bad_line_is_one_error_with_its_file_and_number(tmp_path, lines, line, message) -> None:
    path = file_of(tmp_path, *lines)
    with pytest.raises(PipelineError) as error:
        resolve_claims(read_claims([path]), layouts("multibn").studies, SHIPPED.printed)
    assert str(error.value).startswith(f"{path}, line {line}: ")
    assert message in str(error.value)


def test_files_that_are_missing_or_no_claims_are_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"config: claims: there is no file none\.csv"):
        claim_files(["paper", "none.csv"], FOLDER)
    with pytest.raises(PipelineError, match=r"multav\.csv, line 1: columns"):
        read_claims([FOLDER / "multav.csv"])
    same = tmp_path / "same.csv"
    same.write_bytes((FOLDER / "claims.csv").read_bytes())
    with pytest.raises(
        PipelineError, match=r"same\.csv, line 2: the id 'multibn-union' is used already \(.*claims\.csv"
    ):
        read_claims(claim_files(["paper", str(same)], FOLDER))


def test_a_table_of_claims_is_made_only_for_studies_that_they_are_about() -> None:
    with_claims, without = layouts("demo"), layouts("transforms")
    assert "out/tables/claims.html" in with_claims.tables()
    assert not any("claims" in path for path in without.tables())
    assert not any("claims" in path for path in Layouts(with_claims.plan, Paths("out"), "", GivenClaims()).tables())


def test_printed_numbers_are_those_of_the_files() -> None:
    printed = read_printed(FOLDER)
    assert printed["framing"]["None", "W1"] == 85.95
    assert "claims" not in printed
