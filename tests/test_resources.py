"""The printed numbers: schema, counts, and agreement with each other."""

from pathlib import Path

import pandas as pd
import pytest

from pipeline_lib.reporting.tables import read_paper

FOLDER = Path(__file__).parents[1] / "resources" / "paper"
FILES = sorted(path for path in FOLDER.glob("*.csv") if path.name != "claims.csv")
COLUMNS = ["table", "row", "column", "value", "unit", "source"]
CELLS = {
    "multibn_single": 7 * 7,
    "multibn_branches": 3 * 5,
    "multibn_white_box": 5 * 7,
    "multibn_hmdb51": 6 * 7,
    "multibn_black_box": 5 * 6,
    "multibn_cifar10": 6 * 7,
    "multibn_draft_resnext101": 8 * 7,
    "multibn_draft_wide_resnet50": 4 * 7,
    "multibn_draft_branches": 3 * 5,
    "multibn_draft_transfer": 12 * 3,
    "multibn_draft_detector": 5 * 6,
    "multibn_draft_strong": 4 * 5,
    "multibn_draft_stronger": 4 * 5,
    "multibn_draft_detector_wide_resnet50": 5 * 6,
    "multibn_logs": 25 * (7 + 6) - 2 - 3,  # two runs without union, one that stopped after ROA
    "multav_table1": 7 * 6,
    "oudefend_table1": 5 * 9,
    "oudefend_ablation": 1,
    "halftone": 12 * 7,
    "framing": 4 * 4,
}
UNITS = {"percent", "million_parameters", "gray_levels", "pixel_range", "steps", "pixels", "videos"}
AVERAGES = {"mean": True, "avg_all": True, "acc_all": True, "avg_adv": False, "acc_adv": False}  # is clean a part?
WRONG_AVERAGES = {("multibn_white_box", "MSD", "mean"): 34.54}  # printed 34.6
WRONG_LOGS = {("wideresnet_multi_testlist03b", "roa")}


@pytest.fixture(scope="module")
def printed() -> pd.DataFrame:
    """Values as text, with the printed decimals."""
    files = [pd.read_csv(path, dtype=str, keep_default_na=False) for path in FILES]
    return pd.concat(files, ignore_index=True)


@pytest.fixture(scope="module")
def values(printed: pd.DataFrame) -> dict[tuple[str, str], dict[str, float]]:
    """(table, row) -> column -> value."""
    cells: dict[tuple[str, str], dict[str, float]] = {}
    for cell in printed.to_dict("records"):
        cells.setdefault((cell["table"], cell["row"]), {})[cell["column"]] = float(cell["value"])
    return cells


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_has_the_schema(path: Path) -> None:
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert table.columns.tolist() == COLUMNS
    assert not (table == "").any(axis=None)
    assert not (table != table.apply(lambda column: column.str.strip())).any(axis=None)
    assert table["value"].astype(float).notna().all()
    assert set(table["unit"]) <= UNITS


def test_every_cell_is_there_once(printed: pd.DataFrame) -> None:
    assert not printed.duplicated(["table", "row", "column"]).any()
    assert printed["table"].value_counts().to_dict() == CELLS


def test_percents_are_percents(printed: pd.DataFrame) -> None:
    assert printed[printed["unit"] == "percent"]["value"].astype(float).between(0, 100).all()


def test_read_paper_gives_numbers_and_keeps_the_row_none(printed: pd.DataFrame) -> None:
    paper = read_paper(FOLDER)
    assert paper["value"].dtype == float
    assert len(paper) == len(printed)
    assert set(paper[paper["table"] == "framing"]["row"]) == {"None", "RF", "BF", "AF"}


def test_averages_are_those_of_their_parts(printed: pd.DataFrame, values: dict) -> None:
    averages = printed[printed["column"].isin(AVERAGES)]
    assert len(averages) == 24 + 42 + 24 + 5  # MultiBN, its draft, Halftone, OUDefend
    for cell in averages.to_dict("records"):
        cells = values[cell["table"], cell["row"]]
        clean = ["clean"] if AVERAGES[cell["column"]] else []
        attacks = [name for name in cells if name not in {*AVERAGES, "clean", "union", "parameters"}]
        recomputed = sum(cells[name] for name in [*clean, *attacks]) / (len(clean) + len(attacks))
        half_a_digit = 0.5 * 10.0 ** -len(cell["value"].partition(".")[2]) + 1e-9
        wrong = WRONG_AVERAGES.get((cell["table"], cell["row"], cell["column"]))
        if wrong is None:
            assert abs(recomputed - float(cell["value"])) <= half_a_digit, cell
        else:
            assert recomputed == pytest.approx(wrong)
            assert abs(wrong - float(cell["value"])) > half_a_digit


def test_union_is_at_most_every_column(values: dict) -> None:
    for key, cells in values.items():
        names = [name for name in ("clean", "pgd", "roa", "af", "spa") if name in cells]
        if "union" in cells:
            assert cells["union"] <= min(cells[name] for name in names), key


def test_branch_diagonal_is_multibn_manual(values: dict) -> None:
    matching = {"clean": "BN-Clean", "pgd": "BN-Lp", "spa": "BN-Lp", "roa": "BN-Physical", "af": "BN-Physical"}
    manual = values["multibn_single", "MultiBN-manual"]
    assert {name: values["multibn_branches", row][name] for name, row in matching.items()} == {
        name: manual[name] for name in matching
    }


def test_draft_branches_are_the_diagonal_of_the_transfer_matrix(values: dict) -> None:
    for row, branch in {"CleanBN": "clean", "PGDBN": "pgd", "ROABN": "roa"}.items():
        for attack in ("pgd", "roa", "af", "spa"):
            transfer = values["multibn_draft_transfer", f"{attack.upper()}, inference BN {branch}"]
            assert transfer[f"target_{branch}"] == values["multibn_draft_branches", row][attack]


def test_black_box_has_the_clean_column_of_the_white_box(values: dict) -> None:
    for row in ("TRADES", "AVG", "MAX", "MSD", "MultiBN"):
        assert values["multibn_black_box", row]["clean"] == values["multibn_white_box", row]["clean"]


def test_multav_and_oudefend_print_the_same_multiplicative_column(values: dict) -> None:
    same = {
        "R3D18 Clean": "Clean Model",
        "R3D18 Mult": "Madry",
        "R3D18+3DDenoise Mult": "Xie-A",
        "R3D18+2DDenoise Mult": "Xie-B",
    }
    for multav, oudefend in same.items():
        assert values["multav_table1", multav]["linf"] == values["oudefend_table1", oudefend]["multav_linf"]


@pytest.mark.parametrize(
    ("table", "row", "run"),
    [
        ("multibn_draft_resnext101", "3BNs_MPT", "multibn"),
        ("multibn_draft_resnext101", "Avg_MPT", "mix_avg"),
        ("multibn_draft_resnext101", "SPA_AT", "one_s5"),
        ("multibn_draft_wide_resnet50", "Clean", "wideresnet_clean_ft0_s6"),
        ("multibn_draft_wide_resnet50", "Max_MPT", "wideresnet_mix_max"),
        ("multibn_draft_strong", "3BNs_MPT", "multibn_strong"),
        ("multibn_draft_strong", "Max_MPT", "mix_max_strong"),
        ("multibn_draft_stronger", "Avg_MPT", "mix_avg_strong2"),
    ],
)
def test_draft_tables_round_the_logs(values: dict, table: str, row: str, run: str) -> None:
    for name in ("clean", "pgd", "roa", "af", "spa"):
        if name in values[table, row]:
            assert values[table, row][name] == pytest.approx(values["multibn_logs", run][name], abs=0.055 + 1e-9)


def test_logged_percents_are_fractions_of_whole_videos(values: dict) -> None:
    wrong = set()
    for (table, run), cells in values.items():
        for name in set(cells) & {"clean", "pgd", "roa", "af", "spa", "union"} if table == "multibn_logs" else ():
            correct = round(cells[name] * cells["videos"] / 100)
            if abs(100 * correct / cells["videos"] - cells[name]) > 0.005 + 1e-9:
                wrong.add((run, name))
    assert wrong == WRONG_LOGS
