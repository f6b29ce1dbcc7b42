"""What tables state about their numbers: from records of jobs, in words."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from configured import CONFIG, resolved
from pipeline_lib.entries.phrases import Phrases, given_fields, plain_words
from pipeline_lib.jobs.recording import write_record
from pipeline_lib.provenance.fingerprints import canonical
from pipeline_lib.provenance.origins import origins_of
from pipeline_lib.reporting.cells import measure
from pipeline_lib.reporting.facts import CLEAN_CLIPS, Facts, facts_of
from pipeline_lib.reporting.statements import UNKNOWN, statements_of
from pipeline_lib.reporting.table_files import write_table
from pipeline_lib.reporting.tables import build_table, read_long, read_table
from test_tables import KINDS, PAPER, layout_of

ASCENT = "pipeline_lib.attacks.ascent:Ascent"
PGD = {
    "method": ASCENT,
    "perturbation": {
        "method": "pipeline_lib.attacks.perturbations:AdditiveLinf",
        "epsilon": 8 / 255,
        "step_size": 4 / 255,
    },
    "start": {"method": "pipeline_lib.attacks.starts:UniformNoise", "radius": 8 / 255},
    "steps": 3,
}
PGD_WORDS = (
    "PGD ascent: perturbation additive linf (epsilon 8/255, step size 4/255), steps 3, region all pixels, "
    "start uniform noise (radius 8/255), goal untargeted, restarts 1, keep last"
)
EVALUATION = {"seed": 5, "precision": "fp32", "batch_size": 4}
DIGEST = "ab" * 32


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (8 / 255, "8/255"),
        (1.6 / 255, "1.6/255"),
        (0.2, "0.2"),  # 51/255 as well
        (1.0, "1"),
        (1 / 3, "85/255"),
        (0.0123456789, "0.0123457"),
        (5, "5"),
        (True, "yes"),
    ],
)
def test_long_fractions_of_gray_levels_are_written_as_such(value, words):
    assert plain_words(value) == words


def test_an_entry_is_written_with_its_defaults_and_names_of_those_it_contains():
    assert Phrases()(PGD) == PGD_WORDS
    average = {"method": "pipeline_lib.defenses.multi_perturbation:Average", "attacks": [PGD, None]}
    named = Phrases(shown=given_fields, names={canonical(PGD): "pgd"})
    assert named(average) == "average: attacks [pgd, clean]"
    branches = {"method": "multibn_manual", "branches": {"clean": [], "lp": [PGD]}}
    assert named(branches) == "multibn manual: branches {clean [], lp [pgd]}"
    assert Phrases(names={canonical(PGD): "pgd"})(average) == "average: attacks [pgd, clean], clean yes"


def test_every_entry_of_the_embedded_configuration_has_words_with_its_epsilon():
    plan = resolved(CONFIG)
    for entry in plan["attacks"].values():
        words = Phrases()(entry)
        assert ("epsilon" in words) == ('"epsilon"' in canonical(entry))
        assert not any(digits in words for digits in ("0313", "01568", "{'", "None"))
    for entry in plan["models"].values():
        assert Phrases(shown=given_fields)(entry["defense"])


def record(folder: Path, name: str, rule: str, settings: Any, sources: Any = None, **inputs: str) -> dict[str, str]:
    """Writes a record; the input of each name is the file of another one."""
    files = {key: [{"path": path, "record": f"identities/{path}.json"}] for key, path in inputs.items()}
    made_of = {"settings": settings, "code": "c", "sources": sources or {}, "inputs": files}
    write_record(folder / f"identities/{name}.json", {"identity": f"id {name}", "rule": rule, "made_of": made_of})
    return {"path": name, "record": f"identities/{name}.json"}


@pytest.fixture
def made(tmp_path: Path) -> tuple[dict[str, Any], Facts]:
    """A table of two rows, a model that goes on from a file and one trained on PGD from it, of two seeds each."""
    lists = {"method": "pipeline_lib.clips.splits:Ucf101", "split": 2}
    training = {"epochs": 4, "batch_size": 8, "learning_rate": 0.05}
    standard, trained = {"method": "standard"}, {"method": "adversarial_training", "attack": PGD}
    plain = {"network": {"method": "resnet_3d", "depth": 10}, "training": training, "defense": standard, "seed": 0}
    for split in ("train", "test"):
        record(tmp_path, f"data/clips/{split}.h5", "decode", {"split": split, "entry": {"lists": lists}})
    clips, test = "data/clips/train.h5", "data/clips/test.h5"
    rows: dict[str, dict[str, list[str]]] = {label: {"clean": [], "pgd": []} for label in ("Standard", "AT")}
    files = []
    layout = layout_of(tmp_path, {label: {"clean": ["1110", "1111"], "pgd": ["0110", "1000"]} for label in rows})
    for seed in (0, 1):
        first, second = f"data/models/standard-s{seed}.pt", f"data/models/at-s{seed}.pt"
        record(tmp_path, first, "train", {"entry": plain}, {"initial": {"size": 1, "sha256": DIGEST}}, clips=clips)
        record(tmp_path, second, "train", {"entry": plain | {"defense": trained}}, clips=clips, initial=first)
        for row, weights in zip(layout["rows"], (first, second), strict=True):
            names = {column: str(Path(paths[seed]).relative_to(tmp_path)) for column, paths in row["cells"].items()}
            found = {"branch": None, "evaluation": EVALUATION, "entry": PGD}
            files += [
                record(tmp_path, names["clean"], "predict_clean", {"branch": None}, clips=test, weights=weights),
                record(tmp_path, names["pgd"], "attack", found, clips=test, weights=weights),
            ]
    return layout, facts_of(layout, origins_of({"inputs": {"predictions": files}}, str(tmp_path)))


def test_records_are_followed_to_attack_model_and_data(made):
    layout, facts = made
    (fact, other) = facts["AT", "pgd"]
    assert fact.attack == f"{PGD_WORDS}; white-box; stored on the 8-bit lattice; seed 5, passes in fp32"
    assert fact.model == other.model
    assert "at; network resnet 3d: depth 10; defense adversarial training: attack pgd; trained 4 epochs" in fact.model
    assert "on data/clips/train (batch size 8, learning rate 0.05, optimizer sgd)" in fact.model
    assert "initial weights of standard (defense standard; trained 4 epochs on data/clips/train" in fact.model
    assert f"initial weights from a file with SHA-256 {DIGEST}" in fact.model
    assert fact.data == "data, split test; lists ucf101 (split 2)"
    assert facts["Standard", "clean"][0].attack == CLEAN_CLIPS
    lists = statements_of(layout, facts).lists
    assert [label for label, _ in lists["Columns"]] == ["clean", "pgd"]
    assert [label for label, _ in lists["Rows"]] == ["Standard", "AT"]
    assert all(text.endswith("; seeds 0, 1") for _, text in lists["Rows"])


def test_every_form_of_a_table_states_attack_model_and_data(made, tmp_path):
    layout, facts = made
    paths = {kind: tmp_path / "out" / f"t.{ending}" for kind, ending in KINDS.items()}
    write_table(build_table(layout, PAPER), layout, facts, measure(layout), **paths)
    for kind, path in paths.items():
        text = path.read_text().replace("\\", "")
        for stated in (
            "epsilon 8/255, step size 4/255), steps 3",
            "white-box",
            DIGEST,
            "trained 4 epochs",
            "split test",
        ):
            assert stated in text, f"{kind}: {stated}"
        assert UNKNOWN not in text


def test_the_csv_has_a_row_for_each_seed_below_the_pooled_one(made, tmp_path):
    layout, facts = made
    table = build_table(layout, PAPER)
    paths = {kind: tmp_path / "out" / f"t.{ending}" for kind, ending in KINDS.items()}
    write_table(table, layout, facts, measure(layout), **paths)
    pd.testing.assert_frame_equal(read_table(paths["csv"]), table.round(4))
    found = read_long(paths["csv"])
    cell = found[(found["row"] == "AT") & (found["column"] == "pgd")]
    assert cell["seed"].tolist() == ["", "0", "1"]
    assert cell["measured"].tolist() == [37.5, 50, 25]
    assert cell["identity"].iloc[0] == " ".join(cell["identity"].iloc[1:])
    summary = found[(found["row"] == "AT") & (found["column"] == "union")]
    assert summary["measured"].tolist() == [37.5, 50, 25]
    assert summary["attack"].tolist() == ["", "", ""]
    assert summary["model"].nunique() == 1


def test_a_column_or_row_with_several_attacks_or_models_names_their_places(made):
    layout, facts = made
    swapped = dict(facts) | {("AT", "pgd"): facts["Standard", "clean"]}
    lists = statements_of(layout, swapped).lists
    assert [label for label, _ in lists["Columns"]] == ["clean", "pgd (Standard)", "pgd (AT)"]
    assert [label for label, _ in lists["Rows"]] == ["Standard", "AT (clean)", "AT (pgd)"]


def test_tables_without_records_say_so(made, tmp_path):
    layout, facts = made
    paths = {kind: tmp_path / "out" / f"t.{ending}" for kind, ending in KINDS.items()}
    write_table(build_table(layout, PAPER), layout, **paths)
    assert all(UNKNOWN in paths[kind].read_text() for kind in ("markdown", "latex", "html"))
    assert read_long(paths["csv"])["identity"].eq("").all()
    partly = statements_of(layout, dict(facts) | {("AT", "pgd"): [None, None]})
    assert partly.notes == ["There is no record of what was measured in: AT / pgd."]


def test_labels_that_look_like_numbers_stay_as_they_are_written(made, tmp_path):
    labels = {"table": "1", "row": "007", "column": "10", "seeds": "3", "flag": "1.0", "worst_flag": "2.0"}
    build_table(made[0], PAPER).assign(**labels).to_csv(tmp_path / "t.csv", index=False)
    found = read_long(tmp_path / "t.csv")
    assert {name: set(found[name]) for name in labels} == {name: {label} for name, label in labels.items()}
