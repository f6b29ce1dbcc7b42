"""Errors of the configuration: each names the entry, the key and the known names, before any job."""

import pytest

from configured import CONFIG, changed, resolved
from pipeline_lib.errors import PipelineError

LONG = CONFIG["figures"]["iterations_pgd"]["attack"]
TARGETED = CONFIG["attacks"]["pgd"] | {"goal": {"method": "next_class"}}

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
        r"models.avg: unknown key 'netwrok'; known: defense, initial, members, network.*; did you mean network\?",
    ),
    "unknown method": (
        "attacks.pgd.method",
        "pdg",
        r"attacks.pgd.method: unknown method 'pdg', and no 'module:Class' of your own; known: .*ascent",
    ),
    "unknown field": (
        "attacks.pgd.stepz",
        3,
        r"attacks.pgd.stepz: unknown key; known: goal, keep, momentum, perturbation, precision, region",
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
        r"models.avg.network: unknown network 'tony'; known: backbone",
    ),
    "unknown training": ("models.avg.training", "x", r"models.avg.training: unknown training 'x'; known: finetune"),
    "unknown attack": (
        "models.at_af.defense.attack",
        "a",
        r"models.at_af.defense.attack: unknown attack 'a'; known: af",
    ),
    "unknown initial": ("models.avg.initial", "x", r"models.avg.initial: unknown model 'x'; known: at_af"),
    "initial in a circle": ("models.standard.initial", "avg", "circular reference"),
    "selector in a circle": (
        "models.multibn.selector_initial",
        "multibn",
        "selector_initial: circular reference: multibn",
    ),
    "selector of a model without one": (
        "models.avg.selector_initial",
        "standard",
        "models.avg.selector_initial: this defense has no selection module",
    ),
    "unknown selector": ("models.multibn.selector_initial", "x", "models.multibn.selector_initial: unknown model 'x'"),
    "warm-up": ("models.multibn.defense.selector_warm_up", 2, "selector_warm_up.* a fraction from 0 to 1"),
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
    "unknown column": (
        "studies.multav.rows.Mine",
        {"x": "avg"},
        "unknown column 'x'; known: af, clean, l2, linf, roa, spa",
    ),
    "neither method nor base": ("attacks.mine", {"steps": 3}, "attacks.mine: expected an entry with 'method'"),
    "sweep of nothing": ("attacks.mine", {"base": "pgd", "sweep": {}}, "attacks.mine.sweep"),
    "sweep of no values": ("attacks.mine", {"base": "pgd", "sweep": {"steps": []}}, "attacks.mine.sweep.steps"),
    "sweep of an entry": ("attacks.mine", {"base": "pgd", "sweep": {"region": [{}]}}, "attacks.mine.sweep.region.0"),
    "swept field": (
        "attacks.mine",
        {"base": "pgd", "sweep": {"stepz": [3]}},
        "attacks.mine_3.stepz: unknown key; known: goal, keep, momentum, perturbation",
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
    "study like a table of our own": (
        "studies.audit",
        CONFIG["studies"]["multav"],
        "studies.audit: this name is reserved, as are audit, claims, front, opening",
    ),
    "figure like a page of our own": (
        "figures.opening",
        next(iter(CONFIG["figures"].values())),
        "figures.opening: this name is reserved",
    ),
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
