"""Configuration files laid over each other: what they extend, tables taken by name, a choice of studies."""

from pathlib import Path

import pytest
import yaml

from configured import CONFIG, SCHEMA, resolved, stacked
from pipeline_lib.configuration.stacking import effective_config
from pipeline_lib.errors import PipelineError

MINE = {"datasets": {"mine": {"root": "data", "lists": {"method": "ucf101"}, "size": 32}}}
MINE["datasets"]["mine"]["sampling"] = {"method": "uniform_stride", "frames": 8}


@pytest.fixture
def files(tmp_path):
    """Writes configuration files below a folder that holds a small `config.yaml` and `demo.yaml`; returns the stack."""
    write(tmp_path / "shipped/config.yaml", {"extends": [], "a": 0, "list": [0], "studies": {}})
    write(tmp_path / "shipped/demo.yaml", {"a": 1, "studies": {"demo": {"title": "Demo"}}})

    def stack(given: dict | None = None, **contents: dict) -> dict:
        paths = [write(tmp_path / f"own/{name}.yaml", content) for name, content in contents.items()]
        named = [path for path in paths if not path.stem.startswith("below")]
        return effective_config(tmp_path / "shipped", named, given or {})

    return stack


def write(path: Path, content: dict) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_the_demo_runs_where_nothing_else_is_named(files):
    assert files() == {"extends": [], "a": 1, "list": [0], "studies": {"demo": {"title": "Demo"}}}
    assert files({"a": 2})["a"] == 2
    assert files({"extends": "config"}) == {"extends": [], "a": 0, "list": [0], "studies": {}}


def test_a_configuration_of_ones_own_has_nothing_of_the_demo(files):
    assert files(own={"list": [1, 2]}) == {"extends": [], "a": 0, "list": [1, 2], "studies": {}}


def test_files_are_laid_over_what_they_extend_and_over_each_other(files):
    assert files(own={"extends": "demo", "b": 1})["a"] == 1
    both = {"one": {"a": 5, "b": {"x": 1, "y": 1}}, "two": {"b": {"y": 2}, "a": None}}
    assert files(**both) == {"extends": [], "a": None, "list": [0], "studies": {}, "b": {"x": 1, "y": 2}}
    assert files({"b": {"x": "7"}}, **both)["b"] == {"x": 7, "y": 2}  # inside braces, Snakemake passes text


def test_each_file_is_laid_once_at_its_first_place(files):
    """As bases of a class: what extends a file is above it, in whichever order both are named."""
    assert files(one={"extends": "demo", "a": 5}, two={"extends": "demo", "c": 1})["a"] == 5
    assert files(below={"a": 7, "b": 7}, own={"extends": ["below.yaml", "demo"], "b": 8}) == {
        **{"extends": [], "a": 1, "list": [0], "b": 8},
        "studies": {"demo": {"title": "Demo"}},
    }


def test_what_cannot_be_extended(files):
    with pytest.raises(PipelineError, match=r"extends: there is no .*dmeo\.yaml; known: config, demo, or the path"):
        files(own={"extends": "dmeo"})
    with pytest.raises(PipelineError, match=r"own\.yaml: extends itself: .*own\.yaml <- .*below\.yaml <- .*own\.yaml"):
        files(below={"extends": "own.yaml"}, own={"extends": "below.yaml"})
    with pytest.raises(PipelineError, match="extends: expected the name of a configuration, or a list of them, got 3"):
        files(own={"extends": 3})


def test_the_effective_configuration_stands_alone(files, tmp_path):
    """The report is made with it: nothing that an overlay removed comes back."""
    effective = files(own={"a": None, "extends": "demo", "studies": {"demo": None}})
    again = effective_config(tmp_path / "shipped", [write(tmp_path / "config.json", effective)], {})
    assert again == effective
    assert again["studies"] == {"demo": None}


def test_a_module_passes_a_mapping(tmp_path):
    shipped = Path(write(tmp_path / "shipped/config.yaml", {"extends": [], "a": 0, "b": 0}).parent)
    write(tmp_path / "shipped/demo.yaml", {"a": 1})
    assert effective_config(shipped, [], {}, {"b": 2}) == {"extends": [], "a": 0, "b": 2}
    assert effective_config(shipped, [], {}, {"extends": "demo"})["a"] == 1
    assert effective_config(shipped, [], {}, {})["a"] == 1


def test_a_study_takes_a_table_by_name():
    own = stacked("small", given=MINE | {"studies": {"mine": {"base": "multibn_branches_table", "dataset": "mine"}}})
    demo = resolved(CONFIG)["studies"]["multibn_branches"]
    plan = resolved(own)
    assert list(plan["studies"]) == ["mine"]
    assert plan["studies"]["mine"] == demo | {"dataset": "mine", "datasets": ["mine"], "paper": []}
    assert {figure.partition("_")[0] for figure in plan["figures"]} == {"chart", "training"}


@pytest.mark.parametrize(
    ("below", "above", "order"),
    [
        (
            ["clean", "linf", "af"],
            ["clean", "linf", "l2", "roa", "af", "spa"],
            ["clean", "linf", "l2", "roa", "af", "spa"],
        ),
        (["clean", "linf", "af"], ["l2"], ["clean", "linf", "af", "l2"]),
        (["clean", "linf", "af"], ["l2", "af"], ["clean", "linf", "l2", "af"]),
        (["clean", "linf", "af"], ["af", "spa"], ["clean", "linf", "af", "spa"]),
        (["clean", "linf", "af"], ["af", "linf"], ["clean", "af", "linf"]),
        (["a", "b", "c", "d"], ["d", "a"], ["b", "c", "d", "a"]),
        ([], ["b", "a"], ["b", "a"]),
        (["b", "a"], [], ["b", "a"]),
    ],
)
def test_rows_and_columns_come_in_the_order_of_the_file_on_top(files, below, above, order):
    one, two = (
        {"studies": {"mine": {key: dict.fromkeys(names, 1)}}} for key, names in (("columns", below), ("rows", below))
    )
    given = {"studies": {"mine": {key: dict.fromkeys(above, 2) for key in ("columns", "rows")}}}
    study = files(one=one, two=two, three=given)["studies"]["mine"]
    assert list(study["columns"]) == list(study["rows"]) == order
    assert study["rows"] == dict.fromkeys(below, 1) | dict.fromkeys(above, 2)
    base = files(
        one={"templates": one["studies"]}, two={"studies": {"own": {"base": "mine"} | given["studies"]["mine"]}}
    )
    assert list(base["studies"]["own"]["columns"]) == order


def test_keys_of_a_study_are_laid_over_its_table():
    fewer = {"base": "multibn_table", "dataset": "mine", "rows": {"MSD": None, "Mine": "at_af"}, "summaries": []}
    again = {"base": "fewer", "title": "Again"}
    studies = resolved(stacked("small", given=MINE | {"studies": {"fewer": fewer, "again": again}}))["studies"]
    assert list(studies["fewer"]["rows"])[-3:] == ["MultiBN-manual", "MultiBN", "Mine"]
    assert "MSD" not in studies["fewer"]["rows"]
    assert studies["again"] == studies["fewer"] | {"title": "Again"}


@pytest.mark.parametrize(
    ("studies", "message"),
    [
        ({"mine": {"base": "multibn"}}, "studies.mine.base: unknown table 'multibn'; known: multav_table, multibn_"),
        ({"a": {"base": "b"}, "b": {"base": "a"}}, "studies.a.base: unknown table 'a'; known: "),
    ],
)
def test_unknown_tables(studies, message):
    with pytest.raises(PipelineError, match=message):
        stacked("small", given={"studies": studies})


def test_studies_and_figures_are_chosen_by_name():
    chosen = stacked(given={"only": ["multav", "masking_shapes"]})
    plan = resolved(chosen)
    assert list(plan["studies"]) == ["multav"]
    assert list(plan["figures"]) == ["masking_shapes", "chart_multav", "training_synthetic"]
    assert stacked(given={"only": "multav"})["studies"] == chosen["studies"]
    with pytest.raises(PipelineError, match="only: unknown study or figure 'mutlav'; known: halftone"):
        stacked(given={"only": ["mutlav"]})
    with pytest.raises(PipelineError, match="only: unknown study or figure 3"):
        stacked(given={"only": 3})


def test_a_network_may_be_the_name_of_another():
    """Models name roles: changing one changes all of them."""
    mine = stacked("small", given={"networks": {"backbone": {"method": "resnet_2d", "depth": 10}}})
    models = resolved(mine)["models"]
    assert models["avg-s0"]["network"] == {"method": "pipeline_lib.networks.resnet:ResNet2D", "depth": 10}
    assert models["oudefend-s0"]["network"]["network"] == models["avg-s0"]["network"]
    for networks, message in (
        ({"backbone": "nothing"}, "networks.backbone: unknown network 'nothing'; known: backbone_denoise"),
        ({"backbone": "selector", "selector": "backbone"}, "networks.selector: unknown network 'backbone'"),
    ):
        with pytest.raises(PipelineError, match=message):
            study = {"base": "multibn_table", "dataset": "mine"}
            resolved(stacked("config", given=MINE | {"networks": networks, "studies": {"mine": study}}))


def test_a_ready_made_model_that_does_not_fit_ones_own_network_is_left_out_unless_it_is_named():
    shallow = {"networks": {"backbone": {"method": "resnet_3d", "depth": 10, "stages": 2}}}
    study = {"base": "multibn_table", "dataset": "mine"}
    models = resolved(stacked("small", given=MINE | shallow | {"studies": {"mine": study}}))["models"]
    assert "at_pgd-s0" in models
    assert "denoise_3d-s0" not in models
    with pytest.raises(PipelineError, match=r"networks.backbone_(oudefend|denoise_3d): after: unknown stage 'layer3'"):
        resolved(stacked("small", given=MINE | shallow | {"studies": {"mine": study | {"base": "oudefend_table"}}}))


def test_tables_of_every_kind_resolve_on_a_data_set_of_ones_own():
    templates = yaml.safe_load((Path(__file__).parents[1] / "config/config.yaml").read_text())["templates"]
    studies = {name: {"base": name, "dataset": "mine"} for name in templates}
    for scale in ("config", "small"):
        assert set(resolved(stacked(scale, given=MINE | {"studies": studies}))["studies"]) == set(templates)
    assert set(SCHEMA["properties"]["studies"]["additionalProperties"]["properties"]) > set(templates["multibn_table"])
