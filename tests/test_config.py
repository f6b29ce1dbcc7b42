"""The configuration: what is resolved, and the errors that stop before any job."""

import functools
import re

import pytest
import yaml

from configured import CONFIG, ROOT, changed, resolved, stacked
from pipeline_lib.configuration.initial_weights import check_weight_files
from pipeline_lib.configuration.styles import STYLES
from pipeline_lib.configuration.targets import split_target, views
from pipeline_lib.errors import PipelineError
from planning import laid_over
from readme import blocks


def test_attack_entry_becomes_plain_typed_data():
    attack = resolved(CONFIG)["attacks"]["roa"]
    assert attack["method"] == "pipeline_lib.attacks.ascent:Ascent"
    assert attack["perturbation"]["step_size"] == 120 / 255
    assert type(attack["perturbation"]["epsilon"]) is float
    assert list(attack) == ["method", "perturbation", "region", "start", "steps"]


def test_seeds_may_be_text_as_the_command_line_gives_them():
    assert resolved(changed("seeds", [0, "1"])) == resolved(changed("seeds", [0, 1]))


def test_models_carry_their_attacks_and_seeds():
    plan = resolved(changed("models.max.seeds", [3, 5]))
    assert plan["models"]["max-s5"]["seed"] == 5
    assert plan["models"]["max-s5"]["defense"]["attacks"][0] == plan["attacks"]["pgd"]
    assert plan["models"]["max-s5"]["initial"] == "standard-s0"  # `standard` has no seed 5


def test_a_model_starts_from_the_same_seed_where_there_is_one():
    plan = resolved(changed("seeds", [0, 1]))
    assert plan["models"]["at_af-s1"]["initial"] == "standard-s1"


def test_a_model_starts_from_a_file_of_weights():
    plan = resolved(changed("models.standard.initial", {"file": "weights/r3d.pth"}))
    assert plan["models"]["standard-s0"]["initial"] == {"file": "weights/r3d.pth"}
    assert plan["models"]["avg-s0"]["initial"] == "standard-s0"


@pytest.mark.parametrize(
    ("name", "key"),  # started from, a source, in a row, a selection module
    [("standard", "initial"), ("surrogate", "initial"), ("at_af", "initial"), ("multibn", "selector_initial")],
)
def test_missing_weights_of_used_models_are_named(name, key, tmp_path):
    plan = resolved(changed(f"models.{name}.{key}", {"file": str(tmp_path / "w.pth")}))
    with pytest.raises(PipelineError, match=rf"config: models\.{name}\.{key}\.file: there is no file .*w\.pth"):
        check_weight_files(plan)
    (tmp_path / "w.pth").touch()
    check_weight_files(plan)


def test_weights_that_no_study_and_no_figure_needs_may_be_missing():
    unused = {"network": "tiny", "training": "scratch", "defense": {"method": "standard"}, "initial": {"file": "no"}}
    check_weight_files(resolved(changed("models.unused", unused)))


def test_a_network_carries_its_normalization():
    entry = {"method": "channel_normalization", "mean": ["114.7748/255", 0.4, 0], "std": ["1/255"] * 3}
    network = resolved(changed("networks.tiny.normalization", entry))["models"]["avg-s0"]["network"]
    assert network["normalization"] == {
        "method": "pipeline_lib.networks.normalization:ChannelNormalization",
        "mean": [114.7748 / 255, 0.4, 0.0],
        "std": [1 / 255] * 3,
    }


def targets(cells: list[dict]) -> list[str]:
    return [cell["target"] for cell in cells]


def test_rows_become_targets():
    rows = resolved(changed("seeds", [0, 1]))["studies"]["multibn_white_box"]["rows"]
    assert targets(rows["AT-AF"]["clean"]) == ["at_af-s0", "at_af-s1"]
    assert targets(rows["MultiBN-manual"]["roa"]) == ["multibn_manual-s0-physical", "multibn_manual-s1-physical"]
    assert split_target("multibn_manual-s1-physical") == ("multibn_manual-s1", "physical")
    assert split_target("at_af-s0") == ("at_af-s0", None)


def test_an_attack_names_attacks_above_it():
    plan = resolved(changed("attacks.msd", {"method": "steepest", "attacks": ["pgd", "roa"], "steps": 5}))
    assert plan["attacks"]["msd"]["attacks"] == [plan["attacks"]["pgd"], plan["attacks"]["roa"]]


def test_the_files_of_a_data_set_have_a_decoder():
    videos = resolved(CONFIG)["datasets"]["synthetic"]
    assert videos["decoder"] == {
        "method": "pipeline_lib.clips.videos:VideoFiles",
        "sampling": videos["sampling"],
        "size": 32,
    }
    entry = {"root": "/data", "lists": {"method": "cifar10"}, "images": {"method": "cifar10_records"}}
    images = resolved(changed("datasets.mine", entry | {"size": 24, "note": ""}))["datasets"]["mine"]
    assert images["decoder"] == {"method": "pipeline_lib.clips.images:Cifar10Records", "size": 24}


def test_a_decoder_is_given_the_size_and_the_sampling_of_its_data_set():
    entry = {"root": "/data", "lists": {"method": "class_folders"}, "size": 24}
    sampling = {"sampling": {"method": "linspace", "frames": 5}}
    frames = {"decoder": {"method": "frame_folders", "convert": "true"}}
    decoder = resolved(changed("datasets.mine", entry | sampling | frames))["datasets"]["mine"]["decoder"]
    assert decoder == {
        "method": "pipeline_lib.clips.frame_folders:FrameFolders",
        "convert": True,
        "sampling": {"method": "pipeline_lib.clips.sampling:Linspace", "frames": 5},
        "size": 24,
    }
    with pytest.raises(PipelineError, match=r"datasets\.mine\.decoder: `images` is the decoder"):
        resolved(changed("datasets.mine", entry | frames | {"images": {"method": "image_files"}}))
    with pytest.raises(PipelineError, match=r"datasets\.mine\.decoder\.sampling: missing"):
        resolved(changed("datasets.mine", entry | frames))
    with pytest.raises(PipelineError, match=r"datasets\.mine\.lists: .*class Sgd|class SGD.* has no class_names"):
        resolved(changed("datasets.mine", entry | sampling | {"lists": {"method": "sgd"}}))


def test_training_carries_its_augmentation():
    plan = resolved(changed("training.scratch.augmentation", {"method": "crop_and_flip"}))
    entry = plan["models"]["standard-s0"]["training"]["augmentation"]
    assert entry == {"method": "pipeline_lib.clips.augmentation:CropAndFlip"}


def test_the_examples_of_the_documentation_resolve():
    guide = [*(ROOT / "docs/configuration").glob("*.md"), ROOT / "config/README.md"]
    examples = [yaml.safe_load(block) for page in sorted(guide) for block in blocks(page, "yaml")]
    given = functools.reduce(laid_over, examples, {})
    for study in given["studies"].values():
        study["dataset"] = "synthetic"
    # A sheet is a file beside the configuration; and the demo has other models.
    given["style"] = [style for style in given["style"] if style in STYLES]
    given["figures"]["maps"] |= {"dataset": "synthetic", "rows": {"Mult": "at_multav_linf", "Add": "at_pgd"}}
    plan = resolved(stacked("demo", given=given))
    assert plan["attacks"]["pgd_bound_16_255"]["start"]["radius"] == 16 / 255
    matrix = plan["studies"]["multibn_transfer"]["rows"]
    assert matrix["PGD, inference BN roa"]["target_clean"][0]["source"] == "multibn_manual-s0-clean"
    assert plan["studies"]["framing"]["rows"]["AF"]["W2"][0]["attack"] == "universal_2"
    assert plan["studies"]["framing"]["rows"]["None"]["W2"][0]["attack"] == "clean"


def test_a_sweep_resolves_to_what_one_would_write_by_hand():
    plan = resolved(changed("attacks.pgd_steps", {"base": "pgd", "sweep": {"steps": [1, 7]}}))
    by_hand = resolved(changed("attacks.by_hand", CONFIG["attacks"]["pgd"] | {"steps": 7}))
    assert plan["attacks"]["pgd_steps_7"] == by_hand["attacks"]["by_hand"]
    assert "pgd_steps" not in plan["attacks"]


def test_a_loss_stands_beside_the_fields_of_its_attack():
    entry = {"base": "pgd", "loss": {"method": "adaptive", "type": "lp"}, "sweep": {"loss.weight": [0, "1/2"]}}
    attacks = resolved(changed("attacks.aimed", entry))["attacks"]
    loss = {"method": "pipeline_lib.defenses.adaptive:Adaptive", "type": "lp"}
    assert attacks["aimed_0"] == attacks["pgd"] | {"loss": loss | {"weight": 0.0}}
    assert attacks["aimed_1_2"]["loss"]["weight"] == 0.5


def test_the_usual_storage_is_as_if_nothing_was_said_and_another_stands_beside_the_fields():
    """So that a set's job has the parameters that it had without the key."""
    plan = resolved(changed("attacks.kept", {"base": "pgd", "sweep": {"storage": ["lattice", "float32"]}}))
    attacks = plan["attacks"]
    assert attacks["kept_lattice"] == attacks["pgd"] == resolved(CONFIG)["attacks"]["pgd"]
    assert attacks["kept_float32"] == attacks["pgd"] | {"storage": "float32"}


def test_storage_is_nothing_that_a_model_or_another_attack_depends_on():
    """Its worst case has the storage of the attack, and is left out here."""
    config = changed("studies.multibn_white_box.beside", "nothing")
    plain = resolved(config)
    config["attacks"]["pgd"]["storage"] = "float32"
    plan = resolved(config)
    assert plan["models"] == plain["models"]
    assert plan["attacks"]["msd"] == plain["attacks"]["msd"]
    assert plan["attacks"]["pgd"] == plain["attacks"]["pgd"] | {"storage": "float32"}


def test_an_entry_that_names_itself_is_an_unknown_name():
    circle = {"method": "adversarial_training", "attack": "circle"}  # any method with a field that names an attack
    with pytest.raises(PipelineError, match="attacks.circle.attack: unknown attack 'circle'; known: af, "):
        resolved(changed("attacks.circle", circle))


SOFT = {"method": "multibn", "selector": "tiny", "branches": {"clean": [], "lp": ["pgd"], "physical": ["roa"]}}


def selecting(**changes: object) -> dict:
    """The default configuration with a selecting model and the table of its choices."""
    config = changed("models.soft", {"network": "tiny", "training": "scratch", "defense": SOFT})
    study = {
        "title": "Selections",
        "dataset": "synthetic",
        "columns": {"clean": "clean", "pgd": "pgd"},
        "types": {"clean": "clean", "pgd": "lp"},
        "rows": {"MultiBN": "soft"},
    }
    config["studies"]["selections"] = study | changes
    return config


def test_a_selecting_model_is_seen_as_a_whole_or_through_a_branch():
    plan = resolved(selecting())
    assert views(plan["models"]["soft-s0"]) == ["clean", "lp", "physical", None]
    assert views(plan["models"]["multibn_manual-s0"]) == ["clean", "lp", "physical"]
    assert views(plan["models"]["standard-s0"]) == [None]
    assert targets(plan["studies"]["selections"]["rows"]["MultiBN"]["pgd"]) == ["soft-s0"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"types": {"clean": "clean"}}, "selections.types.pgd: unknown column 'pgd'; known: clean"),
        ({"types": {"clean": "clean", "pgd": "l2"}}, "selections.types.pgd: unknown branch 'l2'; known: clean, lp"),
        ({"rows": {"MultiBN": "soft/lp"}}, "selections.rows.MultiBN: types compare choices of a selection module"),
        ({"rows": {"AT": "at_pgd"}}, "selections.rows.AT: types compare choices of a selection module"),
    ],
)
def test_tables_of_selections_need_selecting_models_and_their_branches(changes, message):
    with pytest.raises(PipelineError, match=re.escape(message)):
        resolved(selecting(**changes))


def test_an_attack_belongs_to_one_branch():
    branches = SOFT["branches"] | {"physical": ["pgd"]}
    with pytest.raises(
        PipelineError, match=re.escape("branches.physical[0]: this attack is already in the branch 'lp'")
    ):
        resolved(changed("models.multibn_manual.defense.branches", branches))
    wrapped = {"method": "transformed", "transform": {"method": "jpeg"}, "defense": SOFT | {"branches": branches}}
    with pytest.raises(PipelineError, match="this attack is already in the branch 'lp'"):
        resolved(changed("models.multibn.defense", wrapped))
    with pytest.raises(PipelineError, match=re.escape("branches.b[0]: clean clips are already in the branch 'a'")):
        resolved(changed("models.multibn.defense.branches", {"a": ["clean", "pgd"], "b": []}))


def test_clean_clips_may_share_a_branch_with_an_attack():
    written = {"both": ["clean", "pgd"], "physical": ["roa"]}
    plan = resolved(changed("models.shapes_multibn_gumbel.defense.branches", written))
    assert plan["models"]["shapes_multibn_gumbel-s0"]["defense"]["branches"]["both"] == [None, plan["attacks"]["pgd"]]


@pytest.mark.parametrize("where", ["training.scratch.precision", "evaluation.precision"])
def test_precision_is_one_of_three_and_fp16_is_refused_with_the_reason(where):
    for precision in ("fp32", "tf32", "bf16"):
        resolved(changed(where, precision))
    with pytest.raises(PipelineError, match=rf"{re.escape(where)}: fp16 is refused: gradients .* underflow"):
        resolved(changed(where, "fp16"))
    with pytest.raises(PipelineError, match=rf"{re.escape(where)}: unknown precision 'fp8'; known: fp32, tf32, bf16"):
        resolved(changed(where, "fp8"))


def test_precision_is_part_of_what_a_model_is():
    entry = resolved(changed("training.scratch.precision", "bf16"))["models"]["standard-s0"]
    assert entry["training"]["precision"] == "bf16"


@pytest.mark.parametrize(("key", "value"), [("gpus", 0), ("gpu_share", 0), ("gpus", "all")])
def test_numbers_of_gpus(key, value):
    with pytest.raises(PipelineError, match=key):
        resolved(changed(key, value))


def test_values_of_the_command_line_are_text_and_mean_the_same():
    written = changed("attacks.pgd.steps", "3")
    written["networks"]["tiny"]["stem_pool"] = "false"
    assert resolved(written) == resolved(CONFIG)
    with pytest.raises(PipelineError, match="attacks.pgd.steps: expected an integer, got '3.5'"):
        resolved(changed("attacks.pgd.steps", "3.5"))
