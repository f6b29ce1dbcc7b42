"""Masking sheets: the verdict on planted numbers, what a sheet is made of, and what is refused."""

import copy
from pathlib import Path

import pandas as pd
import pytest

from configured import CONFIG, resolved
from pipeline_lib.errors import PipelineError
from pipeline_lib.reporting.audits import AUDIT_COLUMNS, MASKED
from pipeline_lib.reporting.figures.masking import as_written, draw_masking
from pipeline_lib.reporting.masking import (
    COLUMNS,
    LEFT_BY_AN_UNBOUNDED_ATTACK,
    NO_SIGN,
    above,
    build_masking,
    masking_numbers,
    signs_of_masking,
    signs_without_bpda_or_eot,
    verdict,
)
from pipeline_lib.reporting.metrics import wilson

# An honest sheet of a robust model: 400 clips.
HONEST = {"clean": 90.0, "white_box": 50.0, "eot": 48.0, "transfer": 85.0}
BOUNDS, STEPS = [80.0, 50.0, 10.0, 0.0], [55.0, 50.0, 49.0]


def row(part: str, percent: float, value: float | None = None, n: int = 400, zero: float = 0.0) -> dict:
    low, high = wilson(percent, n)
    return dict(zip(COLUMNS, (part, "pgd", value, percent, low, high, n, 1, zero), strict=True))


def sheet(bounds: list[float] = BOUNDS, steps: list[float] = STEPS, n: int = 400, **forms: float) -> pd.DataFrame:
    rows = [row(part, percent, n=n) for part, percent in (HONEST | forms).items()]
    rows += [row("bound", percent, i + 1, n) for i, percent in enumerate(bounds)]
    return pd.DataFrame(rows + [row("steps", percent, 10 * i + 10, n) for i, percent in enumerate(steps)])


def zero_gradients(part: str, fraction: float) -> pd.DataFrame:
    table = sheet(without_bpda=50.0)
    table.loc[table["part"] == part, "zero_gradients"] = fraction
    return table


@pytest.mark.parametrize(
    ("table", "sign"),
    [
        (sheet(transfer=30.0), "transfer is stronger than white-box (30.0 against 48.0 %)"),
        (sheet(bounds=[80.0, 50.0, 20.0]), "20.0 % is left at the largest bound"),
        (sheet(bounds=[50.0, 80.0, 0.0]), "a larger bound makes the accuracy rise (50.0 against 80.0 %)"),
        (sheet(steps=[30.0, 35.0, 45.0]), "more steps make the accuracy rise (30.0 against 45.0 %)"),
        (zero_gradients("white_box", 0.011), "1.1 % of an attack's first gradients are zero"),
        (zero_gradients("bound", 0.5), "50.0 % of an attack's first gradients are zero"),
    ],
)
def test_each_sign_of_masking_is_found_alone(table, sign):
    assert list(signs_of_masking(table)) == [sign]
    assert verdict(table) == MASKED


@pytest.mark.parametrize(
    ("table", "sign"),
    [
        (sheet(without_bpda=88.0), "BPDA makes the attack stronger (88.0 against 50.0 %)"),
        (sheet(eot=20.0), "EOT makes the attack stronger (50.0 against 20.0 %)"),
    ],
)
def test_an_attack_that_bpda_or_eot_makes_stronger(table, sign):
    assert list(signs_without_bpda_or_eot(table)) == [sign]
    assert list(signs_of_masking(table)) == []
    assert verdict(table) == f"masked but for {sign.partition(' ')[0]}"


@pytest.mark.parametrize(
    "table",
    [
        sheet(),
        sheet(without_bpda=52.0),  # above, but within the intervals
        sheet(transfer=46.0),
        sheet(bounds=[100.0, 1.5]),  # 0.7 to 3.2 %
        sheet(bounds=[50.0, 53.0, 0.0], steps=[50.0, 53.0]),
        zero_gradients("white_box", 0.01),
        zero_gradients("without_bpda", 1.0),  # of course: its own accuracy is what counts
        zero_gradients("transfer", 1.0),  # another model's
        zero_gradients("clean", 1.0),  # no attack
        sheet(transfer=30.0, n=20),  # few clips prove little
    ],
)
def test_an_honest_sheet_has_no_sign(table):
    assert verdict(table) == NO_SIGN


def test_an_interval_that_touches_a_limit_is_not_above_it():
    assert not above({"low": 50.0}, {"high": 50.0})
    table = sheet(bounds=[50.0, 2.0])
    table.loc[table["measured"] == 2.0, "low"] = LEFT_BY_AN_UNBOUNDED_ATTACK
    assert verdict(table) == NO_SIGN


def test_the_weaker_of_both_white_box_attacks_is_no_reference_for_transfer():
    """EOT found what transfer found: nothing is masked but for EOT."""
    assert verdict(sheet(white_box=70.0, transfer=40.0, eot=35.0)) == "masked but for EOT"


def test_a_verdict_names_only_the_forms_that_ran():
    assert verdict(sheet(without_bpda=88.0, eot=20.0)) == "masked but for BPDA and EOT"


def test_a_masked_sheet_stays_masked_whatever_bpda_does():
    assert verdict(sheet(without_bpda=88.0, transfer=30.0)) == MASKED


def files(folder: Path, name: str, correct: int, zero: float) -> dict[str, str]:
    """Predictions of 10 clips, and an audit."""
    clips = pd.DataFrame({"video": [f"v{i}" for i in range(10)], "label": 0, "loss": 1.0})
    clips.assign(prediction=[int(i >= correct) for i in range(10)]).to_csv(folder / f"{name}.csv", index=False)
    pd.DataFrame([dict.fromkeys(AUDIT_COLUMNS, 1.0) | {"zero_gradients": zero}]).to_csv(folder / f"{name}.audit.csv")
    return {"predictions": str(folder / f"{name}.csv"), "audits": str(folder / f"{name}.audit.csv")}


def test_predictions_and_audits_of_all_seeds_become_a_sheet(tmp_path):
    seeds = [files(tmp_path, "s0", 4, 0.0), files(tmp_path, "s1", 6, 0.3)]
    paths = {key: [seed[key] for seed in seeds] for key in ("predictions", "audits")}
    layout = [
        {"part": "clean", "attack": "clean", "value": None, **paths, "audits": []},
        {"part": "white_box", "attack": "pgd", "value": None, **paths},
        {"part": "bound", "attack": "pgd_1", "value": 1.0, **paths},
    ]
    built = build_masking(layout)
    assert built["measured"].tolist() == [50.0] * 3
    assert built.loc[0, ["low", "high", "n", "seeds"]].tolist() == [wilson(40, 10)[0], wilson(60, 10)[1], 10, 2]
    assert built["zero_gradients"].tolist()[1:] == [0.3, 0.3]
    assert pd.isna(built["zero_gradients"][0])
    assert masking_numbers(built)["verdict"].tolist() == [MASKED] * 3
    thirds = masking_numbers(built.assign(measured=100 / 3, low=200 / 3, high=100 / 9))
    assert thirds.loc[0, ["measured", "low", "high"]].tolist() == [33.3333, 66.6667, 11.1111]


def test_the_figure_prints_the_numbers_and_the_verdict_with_its_signs():
    figure = draw_masking(sheet(without_bpda=88.0), "Halftone")
    forms, bounds, steps = figure.axes
    assert [text.get_text() for text in forms.texts] == ["90.0", "50.0", "48.0", "85.0", "88.0"]
    assert "with BPDA" in [tick.get_text() for tick in forms.get_yticklabels()]
    assert bounds.lines[0].get_ydata().tolist() == BOUNDS
    assert steps.lines[0].get_ydata().tolist() == STEPS
    words = figure.get_supxlabel().replace("\n", " ")
    assert words == "Verdict: masked but for BPDA. BPDA makes the attack stronger (88.0 against 50.0 %)."


def test_values_are_labeled_as_users_write_them():
    assert [as_written(value) for value in (2 / 255, 16 / 255, 1.04, 1.0, 0.5, 160.0, 1000)] == [
        "2/255",
        "16/255",
        "1.04",
        "1",
        "0.5",
        "160",
        "1000",
    ]


def configured(**changes: object) -> dict:
    """The default configuration with a transform defense, the same attacked without BPDA, and a sheet on it."""
    config = copy.deepcopy(CONFIG)
    config["training"]["none"] = config["training"]["finetune"] | {"epochs": 0}
    for name, backward, initial in (("halftone", "bpda", "standard"), ("plain", "none", "halftone")):
        transform = {"method": "transformed", "transform": {"method": "halftone"}, "backward": backward}
        transform["defense"] = {"method": "standard"}
        config["models"][name] = {"network": "tiny", "training": "none", "initial": initial, "defense": transform}
    for steps in (1, 10):
        config["attacks"][f"steps_{steps}"] = config["attacks"]["pgd"] | {"steps": steps}
    unbounded = {"method": "additive_linf", "epsilon": 1.0, "step_size": 0.5}
    config["attacks"]["unbounded"] = config["attacks"]["pgd"] | {"perturbation": unbounded}
    config["attacks"]["eot"] = {"method": "expectation", "attack": "pgd", "samples": 2}
    entry = {"dataset": "synthetic", "target": "halftone", "attack": "pgd", "without_bpda": "plain", "eot": "eot"}
    entry |= {"transfer": "standard", "bounds": ["pgd", "unbounded"], "steps": ["steps_1", "steps_10"]}
    config["figures"]["sheet"] = {"method": "masking"} | entry | changes
    return config


def test_a_sheet_is_made_of_ordinary_cells():
    parts = resolved(configured())["figures"]["sheet"]["needs"]
    cells = [(part["part"], *part["predictions"][0].cell[1:], part["value"]) for part in parts]
    assert cells == [
        ("clean", "halftone-s0", "clean", None, None),
        ("without_bpda", "plain-s0", "pgd", "plain-s0", None),
        ("white_box", "halftone-s0", "pgd", "halftone-s0", None),
        ("eot", "halftone-s0", "eot", "halftone-s0", None),
        ("transfer", "halftone-s0", "pgd", "standard-s0", None),
        ("bound", "halftone-s0", "pgd", "halftone-s0", CONFIG_EPSILON),
        ("bound", "halftone-s0", "unbounded", "halftone-s0", 1.0),
        ("steps", "halftone-s0", "steps_1", "halftone-s0", 1),
        ("steps", "halftone-s0", "steps_10", "halftone-s0", 10),
    ]


CONFIG_EPSILON = resolved(CONFIG)["attacks"]["pgd"]["perturbation"]["epsilon"]


def test_without_options_a_sheet_has_clean_white_box_and_bounds():
    config = configured()
    for key in ("without_bpda", "eot", "transfer", "steps"):
        del config["figures"]["sheet"][key]
    parts = resolved(config)["figures"]["sheet"]["needs"]
    assert [part["part"] for part in parts] == ["clean", "white_box", "bound", "bound"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "halftoned"}, r"figures\.sheet\.target: unknown model 'halftoned'"),
        ({"attack": "pdg"}, r"figures\.sheet\.attack: unknown attack 'pdg'"),
        ({"without_bpda": "halftone"}, r"without_bpda: model 'halftone' is attacked with BPDA too"),
        ({"target": "at_pgd"}, r"without_bpda: model 'plain' has other weights than 'at_pgd': .*initial: at_pgd"),
        ({"eot": "pgd"}, r"eot: attack 'pgd' is not an expectation attack"),
        ({"transfer": "none"}, r"transfer: unknown model 'none'"),
        ({"bounds": ["unbounded", "pgd"]}, r"bounds\[1\]: attack 'pgd' has .* after 1: list them in increasing"),
        ({"bounds": ["msd"]}, r"bounds\[0\]: attack 'msd' has no value of its own"),
        ({"steps": ["steps_10", "steps_1"]}, r"steps\[1\]: attack 'steps_1' has 1 after 10"),
        ({"bounds": []}, r"figures\.sheet\.bounds"),
    ],
)
def test_what_a_sheet_cannot_be_made_of_is_named(changes, message):
    with pytest.raises(PipelineError, match=message):
        resolved(configured(**changes))
