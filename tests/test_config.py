"""The configuration: what is resolved, and the errors that stop before any job."""

import copy
import re

import pytest
import yaml

from configured import CONFIG, ROOT, SCHEMA, resolved
from pipeline_lib.configuration.config import check_weight_files
from pipeline_lib.configuration.targets import split_target, views
from pipeline_lib.entries.fields import fields
from pipeline_lib.entries.methods import METHODS, SUMMARIES
from pipeline_lib.errors import PipelineError

LONG = CONFIG["figures"]["iterations_pgd"]["attack"]
TARGETED = CONFIG["attacks"]["pgd"] | {"goal": {"method": "next_class"}}


def changed(path: str, value: object) -> dict:
    """The default configuration with one value set, by its dotted path."""
    config = copy.deepcopy(CONFIG)
    *parents, last = path.split(".")
    entry = config
    for name in parents:
        entry = entry[name]
    entry[last] = value
    return config


def test_attack_entry_becomes_plain_typed_data():
    attack = resolved(CONFIG)["attacks"]["roa"]
    assert attack["method"] == "pipeline_lib.attacks.ascent:Ascent"
    assert attack["perturbation"]["step_size"] == 120 / 255
    assert type(attack["perturbation"]["epsilon"]) is float
    assert list(attack) == ["method", "perturbation", "region", "start", "steps"]


def test_seeds_may_be_text_as_the_command_line_gives_them():
    assert resolved(changed("seeds", [0, "1"])) == resolved(changed("seeds", [0, 1]))


def test_models_carry_their_attacks_and_seeds():
    plan = resolved(changed("models.at_af.seeds", [3, 5]))
    assert plan["models"]["at_af-s5"]["seed"] == 5
    assert plan["models"]["at_af-s5"]["defense"]["attack"] == plan["attacks"]["af"]
    assert plan["models"]["at_af-s5"]["initial"] == "standard-s0"  # `standard` has no seed 5


def test_a_model_starts_from_the_same_seed_where_there_is_one():
    plan = resolved(changed("seeds", [0, 1]))
    assert plan["models"]["at_af-s1"]["initial"] == "standard-s1"


def test_a_model_starts_from_a_file_of_weights():
    plan = resolved(changed("models.standard.initial", {"file": "weights/r3d.pth"}))
    assert plan["models"]["standard-s0"]["initial"] == {"file": "weights/r3d.pth"}
    assert plan["models"]["avg-s0"]["initial"] == "standard-s0"


@pytest.mark.parametrize("name", ["standard", "surrogate", "at_af"])  # started from, a source, in a row
def test_missing_weights_of_used_models_are_named(name, tmp_path):
    plan = resolved(changed(f"models.{name}.initial", {"file": str(tmp_path / "w.pth")}))
    with pytest.raises(PipelineError, match=rf"config: models\.{name}\.initial\.file: there is no file .*w\.pth"):
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


def test_training_carries_its_augmentation():
    plan = resolved(changed("training.scratch.augmentation", {"method": "crop_and_flip"}))
    entry = plan["models"]["standard-s0"]["training"]["augmentation"]
    assert entry == {"method": "pipeline_lib.clips.augmentation:CropAndFlip"}


ERRORS = {
    "attack of itself": (
        "attacks.msd",
        {"method": "steepest", "attacks": ["pgd", "msd"], "steps": 5},
        r"attacks.msd.attacks\[1\]: unknown attack 'msd'; known: af, .*roa",
    ),
    "unknown section": ("attack", {}, "top level: unknown key 'attack'; known: attacks"),
    "unknown key": (
        "models.avg.netwrok",
        "tiny",
        r"models.avg: unknown key 'netwrok'; known: defense, initial, network",
    ),
    "unknown method": ("attacks.pgd.method", "pdg", r"attacks.pgd.method: unknown method 'pdg'; known: .*ascent"),
    "unknown field": (
        "attacks.pgd.stepz",
        3,
        r"attacks.pgd.stepz: unknown key; known: goal, keep, perturbation, precision, region",
    ),
    "nested field": ("attacks.pgd.perturbation.eps", 3, r"attacks.pgd.perturbation.eps: unknown key; known: epsilon"),
    "missing field": ("attacks.pgd.perturbation", {"method": "additive_linf", "epsilon": 1}, "step_size: missing"),
    "wrong type": ("attacks.pgd.steps", "five", r"attacks.pgd.steps: expected an integer, got 'five'"),
    "boolean for a number": ("attacks.pgd.steps", True, r"attacks.pgd.steps: expected an integer, got True"),
    "bad fraction": ("attacks.pgd.perturbation.epsilon", "8/0", "epsilon: expected a number or a fraction"),
    "no entry": ("attacks.pgd.region", 3, "attacks.pgd.region: expected an entry with 'method', got 3"),
    "unknown network": (
        "models.avg.network",
        "tony",
        r"models.avg.network: unknown network 'tony'; known: r3d_18",
    ),
    "unknown training": ("models.avg.training", "x", r"models.avg.training: unknown training 'x'; known: finetune"),
    "unknown attack": (
        "models.at_af.defense.attack",
        "a",
        r"models.at_af.defense.attack: unknown attack 'a'; known: af",
    ),
    "unknown initial": ("models.avg.initial", "x", r"models.avg.initial: unknown model 'x'; known: at_af"),
    "initial in a circle": ("models.standard.initial", "avg", "circular reference"),
    "initial without file": ("models.avg.initial", {}, r"models.avg.initial: 'file' is a required property"),
    "unknown key of initial": (
        "models.avg.initial",
        {"file": "a.pth", "path": "b.pth"},
        "models.avg.initial: unknown key 'path'; known: file",
    ),
    "file of initial": ("models.avg.initial", {"file": 3}, r"models.avg.initial.file: 3 is not of type 'string'"),
    "initial": ("models.avg.initial", ["standard"], r"models.avg.initial: \['standard'\] is not of type"),
    "normalization": (
        "networks.tiny.normalization",
        {"method": "channel_normalization", "mean": [0, 0, 0]},
        r"networks.tiny.normalization.std: missing \(list\[float\]\)",
    ),
    "unknown model": (
        "studies.multav.rows.Mine",
        "mine",
        r"studies.multav.rows.Mine.clean: unknown model 'mine'; known",
    ),
    "no branch": ("studies.multav.rows.Mine", "avg/lp", "model 'avg' has no branch 'lp'; known: none"),
    "unknown branch": ("studies.multav.rows.Mine", "multibn_manual/x", "no branch 'x'; known: clean, lp, physical"),
    "branch not chosen": ("studies.multav.rows.Mine", "multibn_manual", "choose one, as in multibn_manual/clean"),
    "unknown column": ("studies.multav.rows.Mine", {"x": "avg"}, "unknown column 'x'; known: af, clean, linf"),
    "neither method nor base": ("attacks.mine", {"steps": 3}, "attacks.mine: expected an entry with 'method'"),
    "sweep of nothing": ("attacks.mine", {"base": "pgd", "sweep": {}}, "attacks.mine.sweep"),
    "sweep of no values": ("attacks.mine", {"base": "pgd", "sweep": {"steps": []}}, "attacks.mine.sweep.steps"),
    "sweep of an entry": ("attacks.mine", {"base": "pgd", "sweep": {"region": [{}]}}, "attacks.mine.sweep.region.0"),
    "swept field": (
        "attacks.mine",
        {"base": "pgd", "sweep": {"stepz": [3]}},
        "attacks.mine_3.stepz: unknown key; known: goal, keep, perturbation",
    ),
    "sweep as a column": ("studies.multav.columns.x", "swept", "columns.x: unknown attack 'swept'"),
    "storage": (
        "attacks.pgd.storage",
        "float16",
        r"attacks.pgd.storage: expected one of \['lattice', 'float32'\], got 'float16'",
    ),
    "swept storage": (
        "attacks.mine",
        {"base": "pgd", "sweep": {"storage": ["lattice", "uint8"]}},
        r"attacks.mine_uint8.storage: expected one of \['lattice', 'float32'\], got 'uint8'",
    ),
    "storage of a part": (
        "models.at_pgd.defense.attack",
        CONFIG["attacks"]["pgd"] | {"storage": "float32"},
        "models.at_pgd.defense.attack.storage: unknown key",
    ),
    "loss": ("attacks.pgd_20.loss", {"method": "adaptive"}, r"attacks.pgd_20.loss.type: missing \(str\)"),
    "loss in a defense": (
        "attacks.msd.loss",
        {"method": "adaptive", "type": "lp"},
        "models.msd.defense.attack: attack 'msd' has a loss of its own",
    ),
    "goal in trades": (
        "attacks.trades.goal",
        {"method": "next_class"},
        "models.trades.defense.attack: trades maximizes a divergence, and this attack has a goal",
    ),
    "goal in wrapped trades": (
        "models.trades.defense",
        {
            "method": "transformed",
            "transform": {"method": "halftone"},
            "defense": {
                "method": "trades",
                "attack": {"method": "expectation", "attack": TARGETED},
            },
        },
        "models.trades.defense.attack: trades maximizes a divergence, and this attack has a goal",
    ),
    "learning in a defense": (
        "attacks.msd",
        {"method": "universal_framing", "width": 1, "learning": {"method": "adam"}},
        "models.msd.defense.attack: attack 'msd' has to be learned on a trained model first",
    ),
    "restarts in a figure of iterations": (
        f"attacks.{LONG}.restarts",
        4,
        rf"figures.iterations_pgd.attack: attack '{LONG}' has restarts: a trace would show all runs as one",
    ),
    "unknown data set": (
        "studies.multav.dataset",
        "x",
        "studies.multav.dataset: unknown dataset 'x'; known: shapes, synthetic",
    ),
    "unknown column attack": ("studies.multav.columns.x", "x", r"columns.x: unknown attack 'x'; known: .*clean"),
    "reserved name": ("attacks.clean", CONFIG["attacks"]["pgd"], "reserved for clips without an attack"),
    "bad name": ("attacks.My-Attack", CONFIG["attacks"]["pgd"], "My-Attack"),
    "root and render": ("datasets.synthetic.root", "/data", "datasets.synthetic: give either 'root'"),
    "sampling and images": (
        "datasets.synthetic.images",
        {"method": "image_files"},
        r"datasets.synthetic: give either 'sampling', which frames of a video are its clip, or 'images'",
    ),
    "field of sampling": ("datasets.synthetic.sampling.frame", 8, r"datasets.synthetic.sampling.frame: unknown key"),
    "augmentation": (
        "training.scratch.augmentation",
        {"method": "crop_and_flip", "pading": 4},
        r"training.scratch.augmentation.pading: unknown key; known: padding",
    ),
    "decoding": ("datasets.synthetic.decoding", {"deadlin": 3}, "decoding.deadlin: unknown key; known: .*deadline"),
    "own module": ("attacks.pgd.method", "no_such_module:X", "no file for the Python module 'no_such_module'"),
    "own class": ("attacks.pgd.method", "pipeline_lib.jobs.logs:X", "has no class 'X'"),
    "transform out of range": (
        "models.shapes_halftone.defense.transform",
        {"method": "bit_depth", "bits": 9},
        r"models.shapes_halftone.defense.transform.bits: 9 must be from 1 to 8",
    ),
    "number out of range": ("attacks.pgd.steps", 0, "attacks.pgd.steps: 0 must be at least 1"),
    "fraction out of range": ("attacks.pgd.perturbation.epsilon", "-4/255", "epsilon: -0.0156.* must be above 0"),
    "negative seed": ("seeds", [-1], "seeds.0"),
    "device": ("device", "tpu", "device: 'tpu' is not one of"),
}


@pytest.mark.parametrize(("path", "value", "message"), ERRORS.values(), ids=ERRORS)
def test_errors_name_entry_key_and_known_names(path, value, message):
    with pytest.raises(PipelineError, match=message):
        resolved(changed(path, value))


def test_the_examples_of_the_documentation_resolve():
    text = (ROOT / "config/README.md").read_text()
    examples = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    config = copy.deepcopy(CONFIG)
    for example in examples:
        for section, entries in example.items():
            config[section] |= entries
    for study in config["studies"].values():
        study["dataset"] = "synthetic"
    plan = resolved(config)
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
    plan, plain = resolved(changed("attacks.pgd.storage", "float32")), resolved(CONFIG)
    assert plan["models"] == plain["models"]
    assert plan["attacks"]["msd"] == plain["attacks"]["msd"]
    assert plan["attacks"]["pgd"] == plain["attacks"]["pgd"] | {"storage": "float32"}


def keys_of(schema: object) -> set[str]:
    """The keys that a schema names, at any depth."""
    parts = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else []
    own = schema.get("properties", {}) if isinstance(schema, dict) else {}
    return set(own).union(*map(keys_of, parts))


def test_every_method_and_key_is_documented():
    code = re.findall(r"```.*?```|`[^`]+`", (ROOT / "config/README.md").read_text(), re.DOTALL)
    documented = set(re.findall(r"\w+", " ".join(code)))
    settings = ["pipeline_lib.training.task:Training", "pipeline_lib.clips.decode:Decoding"]
    named = {field for target in (*METHODS.values(), *settings) for field in fields(target)}
    assert (named | set(METHODS) | set(SUMMARIES) | keys_of(SCHEMA)) - documented == set()


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
