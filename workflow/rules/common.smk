# What the rules share: the resolved configuration, the paths, and what each kind of job reads, asks for and depends on.
import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.main_snakefile).resolve().parent
ROOT = ROOT if (ROOT / "pipeline_lib").is_dir() else ROOT.parent
sys.path.insert(0, str(ROOT))

from pipeline_lib.configuration import parameters
from pipeline_lib.configuration.config import check_weight_files, read_config
from pipeline_lib.configuration.inputs import Inputs
from pipeline_lib.configuration.layouts import Layouts
from pipeline_lib.configuration.parameters import plain
from pipeline_lib.configuration.paths import Paths
from pipeline_lib.configuration.patterns import pattern_of
from pipeline_lib.configuration.requests import Requests, cores
from pipeline_lib.configuration.structure import with_defaults
from pipeline_lib.configuration.targets import all_targets, split_target
from pipeline_lib.configuration.yaml_files import checked_config
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs import warm
from pipeline_lib.jobs.devices import check_limit, gpus_per_job, oversubscription
from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.provenance.fingerprints import fingerprint

LIMIT = workflow.global_resources.get("gpu")
ALLOWED = getattr(LIMIT, "value", LIMIT)

try:
    SCHEMA = yaml.load((ROOT / "workflow/schemas/config.schema.yaml").read_text(), yaml.CSafeLoader)
    # Jobs have what the main process checked.
    FILES = workflow.configfiles if workflow.is_main_process else []
    config.update(checked_config(config, FILES, workflow.config_settings.config))
    config.update(with_defaults(config, SCHEMA))
    PLAN = read_config(config, SCHEMA)
    check_weight_files(PLAN)
    TRAINING_GPUS = gpus_per_job(config["device"], config["gpus"])
    if workflow.is_main_process:
        check_limit(ALLOWED, TRAINING_GPUS)
except PipelineError as error:
    raise WorkflowError(str(error)) from None

GPUS = gpus_per_job(config["device"])
CORES, TRAINING_CORES = (cores(gpus, config["threads"]) for gpus in (GPUS, TRAINING_GPUS))
BATCH_SIZE = config["evaluation"]["batch_size"]
PATHS = Paths(config["results"])
INPUTS = Inputs(PLAN, PATHS)
LAYOUTS = Layouts(PLAN, PATHS, config["note"])
REQUESTS = Requests(plan=PLAN, batch_size=BATCH_SIZE, training_processes=max(1, TRAINING_GPUS))

if not workflow.is_main_process:  # a cluster's job, whose Snakemake is one of its own
    warm.forget()


onstart:
    if workflow.is_main_process:
        warm.start()
        warning = oversubscription(ALLOWED, config["device"], config["gpu_share"])
        if warning and workflow.local_exec:  # a cluster gives out its GPUs itself
            LOGGER.warning(warning)


TARGETS = pattern_of(all_targets(PLAN["models"]))


wildcard_constraints:
    dataset=pattern_of(PLAN["datasets"]),
    split="train|test",
    model=pattern_of(PLAN["models"]),
    source=TARGETS,
    target=TARGETS,
    attack=pattern_of(PLAN["attacks"]),
    study=pattern_of(PLAN["studies"]),
    figure="[a-z][a-z0-9_]*",


def code(script, *entries):
    """The fingerprint of a job's code: its adapter and the methods that its entries name."""
    return fingerprint(ROOT / "workflow/scripts" / script, *entries)


def raw_data(wildcards):
    """What a split is decoded from; an error now rather than in a job if it is missing."""
    try:
        return INPUTS.raw_data(wildcards.dataset, wildcards.split)
    except PipelineError as error:
        raise WorkflowError(str(error)) from None


RESULTS = PATHS.results
clips, adversarial, prediction, history = PATHS.clips, PATHS.adversarial, PATHS.prediction, PATHS.history


def prediction_of(shown, cell):
    return prediction(shown["dataset"], **cell)


def seeds_of(row):
    return targets_seeds([cell["target"] for cells in row.values() for cell in cells], PLAN["models"])


from pipeline_lib.configuration.targets import seeds_of as targets_seeds
from pipeline_lib.configuration.studies import used_models
from pipeline_lib.configuration.entries import CLEAN

study_audits, study_layout = LAYOUTS.study_audits, LAYOUTS.studies.__getitem__


def used_datasets():
    return LAYOUTS.datasets


def perturbation_files(wildcards):
    """What a figure of perturbations shows: the clean clips, and each attack's set with the source's predictions."""
    figure = PLAN["perturbations"][wildcards.figure]
    dataset, source, attacks = (figure[key] for key in ("dataset", "source", "attacks"))
    return {
        "clips": clips(dataset, "test"),
        "adversarial": [adversarial(dataset, source, attack, "h5") for attack in attacks],
        "predictions": [prediction(dataset, source, source, attack) for attack in attacks],
    }


def iteration_curves(name):
    """Label and trace of every curve of an iterations figure."""
    figure = PLAN["iterations"][name]
    return [
        (label, adversarial(figure["dataset"], cell["source"], cell["attack"], "trace.csv"))
        for label, cell in figure["rows"].items()
    ]


def sweep_layout(name):
    """A figure of sweeps as its builder wants it: for each panel, row, value and seed the file with the predictions."""
    figure = PLAN["sweeps"][name]
    panels = {
        label: panel | {"rows": {row: sweep_curve(figure, curve) for row, curve in panel["rows"].items()}}
        for label, panel in figure["panels"].items()
    }
    return {"dataset": figure["dataset"], "panels": panels}


def sweep_curve(figure, curve):
    """The predictions of one row of a panel, value by value, and the row's seeds."""
    files = [[prediction_of(figure, cell) for cell in cells] for cells in curve]
    return {"seeds": seeds_of(dict(enumerate(curve))), "cells": files}


def sweep_files(name):
    curves = [curve for panel in sweep_layout(name)["panels"].values() for curve in panel["rows"].values()]
    return sorted({path for curve in curves for files in curve["cells"] for path in files})


def feature_curves(name):
    """Label and file of every curve of a figure of features."""
    figure = PLAN["features"][name]
    return [
        (label, f"{RESULTS}/{figure['dataset']}/features/{cell['source']}/{cell['attack']}.csv")
        for label, cell in figure["rows"].items()
    ]


def masking_layout(name):
    """A masking sheet as its builder wants it: for each part its predictions and audits, one file for each seed."""
    sheet = PLAN["masking"][name]
    return [
        {key: part[key] for key in ("part", "attack", "value")}
        | {
            "predictions": [prediction(sheet["dataset"], **cell) for cell in part["cells"]],
            "audits": [
                adversarial(sheet["dataset"], cell["source"], cell["attack"], "audit.csv")
                for cell in part["cells"]
                if cell["attack"] != CLEAN
            ],
        }
        for part in sheet["parts"]
    ]


def masking_files(name):
    return sorted({path for part in masking_layout(name) for key in ("predictions", "audits") for path in part[key]})


def figures():
    stems = [f"chart_{name}" for name in PLAN["studies"]]
    stems += [f"perturbations_{name}" for name in PLAN["perturbations"]]
    stems += [f"iterations_{name}" for name in PLAN["iterations"]]
    stems += [f"sweep_{name}" for name in PLAN["sweeps"]]
    stems += [f"features_{name}" for name in PLAN["features"]]
    stems += [f"masking_{name}" for name in PLAN["masking"]]
    stems += [f"training_{dataset}" for dataset in used_datasets()]
    pages = [f"{RESULTS}/figures/clips_{name}.html" for name in PLAN["perturbations"]]
    return [f"{RESULTS}/figures/{stem}.{ending}" for stem in stems for ending in ("png", "pdf")] + pages
