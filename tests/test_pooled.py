"""Studies of several data sets, such as official splits: their test clips are counted together."""

import json
from copy import deepcopy

import pandas as pd
import pytest
import yaml

import faulty
from configured import CONFIG, resolved
from pipeline_lib.configuration.captions import figure_caption
from pipeline_lib.configuration.figures import figure_inputs
from pipeline_lib.configuration.layouts import Layouts
from pipeline_lib.configuration.paths import Paths
from pipeline_lib.configuration.studies import used_cells
from pipeline_lib.errors import PipelineError
from pipeline_lib.reporting.cells import measure
from pipeline_lib.reporting.clusters import effective_clips, videos_of
from pipeline_lib.reporting.facts import Fact, together
from pipeline_lib.reporting.partial_layouts import partial_layout
from pipeline_lib.reporting.pooled import one_text, read_pooled
from pipeline_lib.reporting.tables import build_table
from test_partial import lacking
from test_tables import PAPER, layout_of, write_predictions

SPLITS = ["synthetic", "second"]


def split_config(**of_second: object) -> dict:
    """One study of two data sets, the second one with some other keys."""
    config = deepcopy(CONFIG)
    config["datasets"]["second"] = config["datasets"]["synthetic"] | of_second
    config["figures"] = {}
    kept = {key: config["studies"]["multibn_white_box"][key] for key in ("title", "columns", "summaries")}
    rows = {"AT-PGD": "at_pgd", "MultiBN-manual": config["studies"]["multibn_white_box"]["rows"]["MultiBN-manual"]}
    config["studies"] = {"both": kept | {"dataset": SPLITS, "beside": "worst_case", "rows": rows}}
    config["claims"], config["seeds"] = [], [0, 1]
    return config


def pooled_layout(folder) -> dict:
    """Two seeds on two data sets: 1110 and 10 for the first seed, 0000 and 11 for the second one."""
    cells = {"AT": {"clean": ["1110", "10", "0000", "11"], "pgd": ["1000", "00", "0000", "01"]}}
    layout = layout_of(folder, cells, datasets=["a", "b"], dataset="a + b")
    layout["rows"][0]["seeds"] = [0, 1]
    return layout


def test_a_number_is_of_the_clips_of_all_data_sets(tmp_path):
    cells = measure(pooled_layout(tmp_path)).rows["AT"]
    assert [one.percent for one in cells["clean"].by_seed.values()] == pytest.approx([100 * 4 / 6, 100 * 2 / 6])
    assert {one.n for one in cells["clean"].by_seed.values()} == {6}
    assert cells["union"].cell.measured == pytest.approx(100 * (1 / 6 + 1 / 6) / 2)


def test_a_clip_that_two_splits_test_is_one_video_with_two_answers(tmp_path):
    paths = [write_predictions(tmp_path / f"{name}.csv", correct) for name, correct in (("a", "1110"), ("b", "01"))]
    pooled = read_pooled(paths, ["split_1", "split_2"])
    names = pooled.videos
    assert names.is_unique
    assert pooled.path == f"{paths[0]} + {paths[1]}"
    assert len(names) == 6
    single = pd.read_csv(paths[0], dtype={"video": str})["video"]
    assert set(videos_of(names)) == set(single)  # the second file has the first two names again
    correct = pd.Series(pooled.correct, names)
    assert 4 <= effective_clips(correct) < 6
    for path, selected in zip(paths, (["a", "b", "a", "b"], ["c", "d"]), strict=True):
        pd.read_csv(path).assign(selected=selected).to_csv(path, index=False)
    assert read_pooled(paths, ["split_1", "split_2"]).selected == ["a", "b", "a", "b", "c", "d"]
    assert read_pooled(paths[:1], ["split_1"]).videos.tolist() == single.tolist()


def test_a_clips_number_and_data_set_both_leave_its_name():
    assert videos_of(pd.Index(["v.avi#clip=2#of=split_1", "w.avi#t=1,2&clip=3#of=s"])).tolist() == [
        "v.avi",
        "w.avi#t=1,2",
    ]


def test_each_seed_has_a_file_for_each_data_set():
    plan = resolved(split_config())
    layouts = Layouts(plan, Paths("out"), "")
    (row, branches) = layouts.studies["both"]["rows"]
    name = "predictions/at_pgd-s{}/at_pgd-s{}/pgd.csv"
    assert row["cells"]["pgd"] == [f"out/{one}/{name.format(seed, seed)}" for seed in (0, 1) for one in SPLITS]
    assert [path.split("/")[1] for path in branches["worst"]["pgd"]["audits"]] == SPLITS * 2
    assert {dataset for dataset, _ in used_cells(plan)} == set(SPLITS)
    assert layouts.datasets == sorted(SPLITS)
    assert {dataset for dataset, _ in layouts.trained} == set(SPLITS)
    assert {path.split("/")[1] for path in layouts.study_files("both")} == set(SPLITS)
    assert {path.split("/")[1] for path in figure_inputs(plan, Paths("out"), "chart_both")} == {*SPLITS, "tables"}
    assert figure_caption(plan, "chart_both").count("Data set synthetic + second, test clips") == 1


def test_a_study_of_one_data_set_in_a_list_is_that_of_its_name():
    one, listed = split_config(), split_config()
    one["studies"]["both"]["dataset"], listed["studies"]["both"]["dataset"] = "synthetic", ["synthetic"]
    first, second = (Layouts(resolved(config), Paths("out"), "").studies for config in (one, listed))
    assert first == second
    assert "datasets" not in first["both"]


@pytest.mark.parametrize(
    ("datasets", "second", "message"),
    [
        (["synthetic", "synthetic"], {}, "'synthetic' is named twice"),
        (["synthetic", "third"], {}, "unknown dataset 'third'"),
        (SPLITS, {"size": 64}, "synthetic and second have different frames and size of clips"),
        ([], {}, "studies.both.dataset"),
    ],
)
def test_data_sets_that_do_not_belong_together_are_refused(datasets, second, message):
    config = split_config(**second)
    config["studies"]["both"]["dataset"] = datasets
    with pytest.raises(PipelineError, match=message):
        resolved(config)


def test_splits_of_different_classes_are_refused(tmp_path):
    config = split_config()
    for name, classes in (("synthetic", "ab"), ("second", "ac")):
        root = tmp_path / name / "ucfTrainTestlist"
        root.mkdir(parents=True)
        (root / "classInd.txt").write_text("".join(f"{i} {one}\n" for i, one in enumerate(classes, 1)))
        kept = {key: value for key, value in config["datasets"][name].items() if key not in ("render", "lists")}
        config["datasets"][name] = kept | {"root": str(tmp_path / name), "lists": {"method": "ucf101", "split": 1}}
    with pytest.raises(PipelineError, match=r"different classes \(\['a', 'b'\] and \['a', 'c'\]\)"):
        resolved(config)


def test_a_seed_that_lacks_one_data_set_is_not_there(tmp_path):
    """Half of a seed's clips would look like a number of all of them."""
    layout = pooled_layout(tmp_path)
    found = partial_layout(layout, lacking("2clean3"))  # the second seed on the second data set
    (row,) = found.layout["rows"]
    assert row["seeds"] == [0]
    assert row["cells"]["clean"] == layout["rows"][0]["cells"]["clean"][:2]
    assert cells_of(found.layout)["clean"] == pytest.approx(100 * 4 / 6)


def cells_of(layout: dict) -> dict[str, float]:
    table = build_table(layout, PAPER)
    return dict(zip(table["column"], table["measured"], strict=True))


def test_what_the_numbers_of_a_seed_are_of_names_each_data_set():
    facts = [Fact(identity=name, attack="PGD", model="a", data=f"data {name}") for name in "xy"]
    both = together(facts, ["x", "y"])
    assert both == Fact(identity="x y", attack="PGD", model="a", data="data x | data y")
    assert together([facts[0], None], ["x", "y"]) is None
    assert together(facts[:1], ["x"]) is facts[0]


def test_models_of_several_data_sets_that_are_trained_alike_are_described_once():
    texts = [f"avg; trained 4 epochs on {name}/clips/train" for name in ("a", "b")]
    assert one_text(texts, ["a", "b"]) == "avg; trained 4 epochs on {a,b}/clips/train"
    assert one_text(["clean", "clean"], ["a", "b"]) == "clean"
    assert one_text(["a, 3 files", "b, 3 files"], ["a", "b"]) == "a, 3 files | b, 3 files"
    others = ["trained on a/clips", "trained on b/clips for longer"]
    assert one_text(others, ["a", "b"]) == " | ".join(others)


@pytest.mark.slow
def test_a_workflow_trains_and_attacks_on_each_data_set_and_counts_their_clips_together(tmp_path):
    tiny = yaml.safe_load(faulty.CONFIG.read_text())["datasets"]["tiny"]
    given = {"datasets": {"other": tiny | {"render": tiny["render"] | {"seed": 1}}}}
    given |= {"studies": {"faults": {"dataset": ["tiny", "other"]}}}
    ran = faulty.finish(tmp_path, given=tuple(f"{key}={json.dumps(value)}" for key, value in given.items()))
    assert {name for name in ran if "/train/at_pgd" in name} == {"tiny/train/at_pgd-s0", "other/train/at_pgd-s0"}
    table = pd.read_csv(tmp_path / "results/tables/faults.csv", keep_default_na=False)
    pooled = table[(table["seed"] == "") & (table["row"] == table["row"].iloc[0])].set_index("column")
    single = [pd.read_csv(path) for path in sorted((tmp_path / "results").glob("*/predictions/standard-s0/clean.csv"))]
    assert len(single) == 2
    both = pd.concat(single)
    assert int(pooled["n"]["clean"]) == len(both)
    assert float(pooled["measured"]["clean"]) == pytest.approx(
        100 * (both["label"] == both["prediction"]).mean(), abs=0.05
    )
    assert len(str(pooled["identity"]["clean"]).split()) == 2
