"""What jobs read, where it depends on the configuration; and what they depend on besides files."""

import re
import shutil
from pathlib import Path

import pytest

from configured import CONFIG, resolved
from pipeline_lib.clips.synthetic import SyntheticActions, planned, write_lists
from pipeline_lib.configuration import parameters
from pipeline_lib.configuration.inputs import Inputs
from pipeline_lib.configuration.paths import Paths
from pipeline_lib.errors import PipelineError
from planning import copy_project, plan, pretend_finished

GIVEN = {"lists": {"method": "cifar10"}, "images": {"method": "cifar10_records"}, "size": 32, "note": ""}
FRAMING = {"method": "universal_framing", "learning": {"method": "adam"}, "width": 1, "storage": "float32"}


def inputs(root: Path = Path("data"), **changes: dict) -> Inputs:
    datasets = {"given": GIVEN | {"root": str(root)}, "loaded": GIVEN | {"download": {"method": "cifar10_archive"}}}
    sections = {"datasets": datasets, "attacks": {"framing": FRAMING}} | changes
    merged = {name: CONFIG[name] | section for name, section in sections.items()}
    return Inputs(resolved(CONFIG | merged), Paths("out"))


def test_data_lie_in_the_given_folder_or_in_the_one_that_a_rule_makes():
    found = {name: inputs().data_root(name) for name in ("given", "synthetic", "loaded")}
    assert found == {"given": "data", "synthetic": "out/synthetic/rendered", "loaded": "out/loaded/downloaded"}
    assert inputs().raw_data("loaded", "train") == ["out/loaded/downloaded"]


@pytest.mark.parametrize(("name", "declared"), [("a folder", True), ("{1} %d 'q\"", False), ("{}", True)])
def test_given_data_are_named_by_their_lists(tmp_path, name, declared):
    """Snakemake takes braces for wildcards."""
    root = tmp_path / name
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for name in (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"):
        (folder / name).touch()
    (folder / "batches.meta.txt").write_text("".join(f"class{number}\n" for number in range(10)))
    files = inputs(root).raw_data("given", "test")
    assert (str(folder / "test_batch.bin") in files) == declared
    assert all(Path(path).is_file() for path in files)


def test_missing_data_are_named_with_their_key(tmp_path):
    with pytest.raises(PipelineError, match=rf"config: datasets\.given\.root: .*{re.escape(str(tmp_path))}"):
        inputs(tmp_path).raw_data("given", "train")


def test_a_model_starts_from_nothing_another_model_or_a_file():
    files = {"at_roa": CONFIG["models"]["at_roa"] | {"initial": {"file": "w.pth"}}}
    found = [inputs(models=files).initial_weights("d", f"{name}-s0") for name in ("standard", "at_af", "at_roa")]
    assert found == [[], ["out/d/models/standard-s0.pt"], ["w.pth"]]


def test_a_selection_module_starts_from_nothing_another_model_or_a_file():
    multibn, found = CONFIG["models"]["multibn"], []
    for start in ({}, {"selector_initial": "shapes"}, {"selector_initial": {"file": "w.pth"}}):
        planned = inputs(models={"multibn": multibn | start})
        found.append([planned.selector_weights("d", "multibn-s0"), planned.initial_weights("d", "multibn-s0")])
    own = ["out/d/models/standard-s0.pt"]
    assert found == [[[], own], [["out/d/models/shapes-s0.pt"], own], [["w.pth"], own]]


@pytest.mark.parametrize(("select_on", "read"), [("test", ["out/d/clips/test.h5"]), ("last", []), ("held_out", [])])
def test_the_test_clips_are_read_only_where_the_epoch_is_selected_on_them(select_on, read):
    training = {"scratch": CONFIG["training"]["scratch"] | {"select_on": select_on}}
    assert inputs(training=training).selection_clips("d", "standard-s0") == read


def test_the_branches_of_a_model_have_its_weights():
    weights = {inputs().weights("d", target) for target in ("multibn-s0", "multibn-s0-lp", "multibn-s0-physical")}
    assert weights == {"out/d/models/multibn-s0.pt"}


def test_only_a_universal_attack_reads_what_it_learned():
    learned = "out/d/adversarial/standard-s0/framing.learned.pt"
    assert inputs().learned_pattern("d", "standard-s0", "framing") == [learned]
    assert inputs().learned_pattern("d", "standard-s0", "pgd") == []


def test_plain_data_have_one_order_of_keys():
    one, other = {"b": 1, "a": {"d": (1, 2), "c": None}}, {"a": {"c": None, "d": [1, 2]}, "b": 1}
    assert repr(parameters.plain(one)) == repr(parameters.plain(other))


def test_a_learned_pattern_does_not_depend_on_how_its_sets_are_stored():
    plan = inputs().plan
    whole, learned = parameters.attack_entry(plan, "framing"), parameters.learned_entry(plan, "framing")
    assert whole == learned | {"storage": "float32"}


def test_what_a_model_starts_from_is_a_file_and_no_parameter():
    plan = inputs().plan
    entry = parameters.model_entry(plan, "at_af-s0")
    assert entry | {"initial": "standard-s0", "selector_initial": None, "generator": None} == plan["models"]["at_af-s0"]
    assert not {"initial", "selector_initial", "generator"} & entry.keys()


def test_clips_depend_on_their_decoder_and_on_what_may_fail_but_not_on_how_they_are_decoded():
    given = {"deadline": 60, "tolerate": ["a.mp4"]}
    plain, tolerant = (
        parameters.clip_entry(inputs(datasets={"synthetic": CONFIG["datasets"]["synthetic"] | more}).plan, "synthetic")
        for more in ({}, {"decoding": given})
    )
    assert (plain["tolerate"], tolerant) == ([], plain | {"tolerate": ["a.mp4"]})
    assert plain["decoder"]["size"] == 32
    assert {"lists", "root"} <= plain.keys()


def test_a_data_set_is_made_by_one_method():
    plan = inputs().plan
    assert parameters.made_entry(plan, "synthetic", "render")["contrast"] == 0.22
    assert parameters.made_entry(plan, "synthetic", "download") is None


def test_leaks_between_the_lists_are_refused_while_planning(tmp_path):
    (tmp_path / "manifest.csv").write_text("path,label,split\na,x,train\na,x,test\n")
    entry = {"root": str(tmp_path), "lists": {"method": "manifest"}, "size": 32, "decoding": {}}
    entry |= {"sampling": {"method": "uniform_stride", "frames": 8}}
    with pytest.raises(PipelineError, match=r"config: datasets\.given\.root: 1 video is in the training list and in"):
        inputs(datasets={"given": entry}).raw_data("given", "train")
    allowed = inputs(datasets={"given": entry | {"allow_overlap": True}})
    assert allowed.raw_data("given", "test") == [str(tmp_path / "manifest.csv")]


@pytest.mark.slow
def test_a_replaced_video_is_decoded_again_and_only_what_depends_on_it_runs(tmp_path):
    design, root = SyntheticActions(train_per_class=2, test_per_class=1), tmp_path / "data"
    write_lists(design, root)
    videos = {split: [root / "UCF-101" / one.path for one in planned(design, split)] for split in ("train", "test")}
    for path in videos["train"] + videos["test"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    (folder := tmp_path / "project").mkdir()
    project = copy_project(folder)
    given = {"datasets": {"synthetic": {"render": None, "root": str(root)}}}
    pretend_finished(project, given)
    assert plan(project, given) == set()
    shutil.copytree(root, tmp_path / "elsewhere", copy_function=shutil.copyfile)  # with other times
    assert plan(project, {"datasets": {"synthetic": {"render": None, "root": str(tmp_path / "elsewhere")}}}) == set()
    videos["test"][0].write_text("the whole video")
    jobs = plan(project, given)
    assert {job for job in jobs if job[0] in ("decode", "train", "learn")} == {("decode", "synthetic", "test")}
    assert ("attack", "synthetic", "standard-s0", "pgd") in jobs
    assert {job[1] for job in jobs if job[0] == "attack"} == {"synthetic"}
