# Everything that rules ask: the resolved configuration, paths, wildcards, and what each job depends on.
import json
import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.main_snakefile).resolve().parent))

from pipeline_lib.configuration.config import check_structure, check_weight_files, resolve_config, without_nulls
from pipeline_lib.configuration.entries import CLEAN, STORAGES
from pipeline_lib.configuration.studies import used_cells, used_models
from pipeline_lib.configuration.targets import split_target, views
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs import warm
from pipeline_lib.jobs.costs import memory_mb, minutes, passes
from pipeline_lib.jobs.devices import gpus_per_job, oversubscription
from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.provenance.fingerprints import canonical, fingerprint
from pipeline_lib.entries.building import build

ROOT = Path(workflow.main_snakefile).resolve().parent
ROOT = ROOT if (ROOT / "pipeline_lib").is_dir() else ROOT.parent
SCHEMA = yaml.load((ROOT / "workflow/schemas/config.schema.yaml").read_text(), yaml.CSafeLoader)

try:
    CONFIG = without_nulls(config)
    check_structure(CONFIG, SCHEMA)
    PLAN = resolve_config(CONFIG)
    check_weight_files(PLAN)
except PipelineError as error:
    raise WorkflowError(str(error)) from None

RESULTS = config["results"]
GPUS = gpus_per_job(config["device"])
TRAINING_GPUS = gpus_per_job(config["device"], config.get("gpus", 1))
# Snakemake opens it when it makes the report.
OPENING_PAGE = str(Path(RESULTS, "tables", "opening.rst").absolute())
LIMIT = workflow.global_resources.get("gpu")
ALLOWED = getattr(LIMIT, "value", LIMIT)
# Snakemake would lower a rule's request to the limit without a word.
if workflow.is_main_process and ALLOWED is not None and ALLOWED < TRAINING_GPUS:
    raise WorkflowError(f"config: gpus is {TRAINING_GPUS}, but only --resources gpu={ALLOWED} is allowed: give more")
TARGETS = [f"{name}-{branch}" if branch else name for name, model in PLAN["models"].items() for branch in views(model)]

if not workflow.is_main_process:  # a cluster's job, whose Snakemake is one of its own
    warm.forget()


onstart:
    if workflow.is_main_process:
        warm.start()
        warn_of_waiting()


def warn_of_waiting():
    """A cluster gives out its GPUs itself."""
    warning = oversubscription(ALLOWED, config["device"], config.get("gpu_share", 1))
    if warning and workflow.local_exec:
        LOGGER.warning(warning)


wildcard_constraints:
    dataset="|".join(PLAN["datasets"]),
    split="train|test",
    model="|".join(PLAN["models"]),
    source="|".join(TARGETS),
    target="|".join(TARGETS),
    attack="|".join(PLAN["attacks"]),
    study="|".join(PLAN["studies"]),
    figure="[a-z][a-z0-9_]*",


def plain(entry):
    """Plain data in canonical order: Snakemake compares parameters as text."""
    return json.loads(canonical(entry))


def code(script, *entries):
    """The fingerprint of a job's code: its adapter and the methods that its entries name."""
    return fingerprint(ROOT / "workflow/scripts" / script, *entries)


def model_entry(name):
    """What a model depends on besides its input files."""
    return plain({key: value for key, value in PLAN["models"][name].items() if key != "initial"})


def clip_entry(dataset):
    """What a clip store depends on."""
    entry = PLAN["datasets"][dataset]
    tolerate = entry["decoding"].get("tolerate", [])
    return plain({key: entry.get(key) for key in ("root", "lists", "decoder")} | {"tolerate": tolerate})


def cores(gpus):
    """What a job with a network keeps busy: its threads; on GPUs those of one process each, and one that reads ahead."""
    return gpus * (config["threads"] + 1) if gpus else config["threads"]


def decoded_shape(dataset):
    """Frames, height and width of a data set's clips."""
    entry = PLAN["datasets"][dataset]
    frames = entry["sampling"]["frames"] if "sampling" in entry else 1
    return frames, entry["size"], entry["size"]


def clips(dataset, split):
    return f"{RESULTS}/{dataset}/clips/{split}.h5"


def weights(dataset, model):
    return f"{RESULTS}/{dataset}/models/{model}.pt"


def history(dataset, model):
    return f"{RESULTS}/{dataset}/models/{model}.csv"


def prediction(dataset, target, source, attack):
    """Predictions of a target on the clean clips, or on the set of an attack made on a source."""
    name = CLEAN if attack == CLEAN else f"{source}/{attack}"
    return f"{RESULTS}/{dataset}/predictions/{target}/{name}.csv"


def adversarial(dataset, source, attack, ending):
    return f"{RESULTS}/{dataset}/adversarial/{source}/{attack}.{ending}"


def data_root(dataset):
    """The folder with a data set's files and lists."""
    return PLAN["datasets"][dataset].get("root") or f"{RESULTS}/{dataset}/{made_folder(dataset)}"


def made_folder(dataset):
    """The folder that a rule makes for a data set without a root."""
    return "rendered" if "render" in PLAN["datasets"][dataset] else "downloaded"


def list_files(dataset, split):
    """The lists of a data set that is given by its root; an error now rather than in a job if they are missing."""
    lists, root = build(PLAN["datasets"][dataset]["lists"]), Path(data_root(dataset))
    try:
        lists.class_names(root)
        return [str(path) for path in lists.list_files(root, split)]
    except PipelineError as error:
        raise WorkflowError(f"config: datasets.{dataset}.root: {error}") from None


def decode_inputs(wildcards):
    """The rendered or downloaded folder, or the lists of a data set that is given by its root."""
    if "root" in PLAN["datasets"][wildcards.dataset]:
        return list_files(wildcards.dataset, wildcards.split)
    return data_root(wildcards.dataset)


def initial_weights(wildcards):
    """The weights that a model starts from, if any: another model's or a file's."""
    initial = PLAN["models"][wildcards.model]["initial"]
    if isinstance(initial, dict):
        return [initial["file"]]
    return [weights(wildcards.dataset, initial)] if initial else []


def selection_clips(wildcards):
    """The test clips where a model's epoch is selected on them, as the authors did."""
    training = PLAN["models"][wildcards.model]["training"]
    return [clips(wildcards.dataset, "test")] if training.get("select_on") == "test" else []


def learned_entry(attack):
    """What a universal attack is learned with: all but how its sets are stored."""
    return plain({key: value for key, value in PLAN["attacks"][attack].items() if key != "storage"})


def source_weights(wildcards):
    return weights(wildcards.dataset, split_target(wildcards.source)[0])


def learned_pattern(wildcards):
    """What a universal attack learned on its source."""
    if "learning" not in PLAN["attacks"][wildcards.attack]:
        return []
    return adversarial(wildcards.dataset, wildcards.source, wildcards.attack, "learned.pt")


def target_weights(wildcards):
    return weights(wildcards.dataset, split_target(wildcards.target)[0])


def training_memory(wildcards, attempt):
    entry = PLAN["models"][wildcards.model]
    return memory_mb(
        entry["network"],
        decoded_shape(wildcards.dataset),
        entry["training"]["batch_size"],
        attempt,
        max(1, TRAINING_GPUS),
    )


def training_minutes(wildcards, attempt):
    entry = PLAN["models"][wildcards.model]
    shape = decoded_shape(wildcards.dataset)
    return minutes(
        entry["training"]["epochs"] * passes(entry["defense"], shape),
        shape,
        attempt,
    )


def attack_minutes(wildcards, attempt):
    shape = decoded_shape(wildcards.dataset)
    return minutes(passes(PLAN["attacks"][wildcards.attack], shape), shape, attempt)


def learning_memory(wildcards, attempt):
    batch_size = PLAN["attacks"][wildcards.attack]["learning"].get("batch_size", 32)
    network = PLAN["models"][split_target(wildcards.source)[0]]["network"]
    return memory_mb(network, decoded_shape(wildcards.dataset), batch_size, attempt)


def learning_minutes(wildcards, attempt):
    epochs = PLAN["attacks"][wildcards.attack]["learning"].get("epochs", 60)
    return minutes(epochs, decoded_shape(wildcards.dataset), attempt)


def source_memory(wildcards, attempt):
    return evaluation_memory(wildcards.dataset, wildcards.source, attempt)


def target_memory(wildcards, attempt):
    return evaluation_memory(wildcards.dataset, wildcards.target, attempt)


def evaluation_memory(dataset, target, attempt):
    network = PLAN["models"][split_target(target)[0]]["network"]
    return memory_mb(network, decoded_shape(dataset), config["evaluation"]["batch_size"], attempt)


def study_layout(name):
    """A study as the table's builder wants it: for each row, column and seed the file with the predictions."""
    study = PLAN["studies"][name]
    rows = [
        {
            "label": label,
            "seeds": seeds_of(row),
            "cells": {column: [prediction_of(study, cell) for cell in cells] for column, cells in row.items()},
            "audits": {column: white_box_audits(study, cells) for column, cells in row.items()},
            "history": row_history(study, row),
        }
        for label, row in study["rows"].items()
    ]
    note = f"{PLAN['datasets'][study['dataset']]['note']} {config.get('note', '')}".strip()
    layout = {key: study[key] for key in ("title", "dataset", "paper", "summaries", "types")}
    return layout | {
        "name": name,
        "note": note,
        "columns": study["columns"],
        "rows": rows,
    }


def row_history(study, row):
    """The history of a row's first model, which tells its size, if the study shows sizes."""
    first = next(cell["target"] for cells in row.values() for cell in cells)
    return history(study["dataset"], split_target(first)[0]) if study["parameters"] else None


def prediction_of(shown, cell):
    """The predictions of a cell of a study or figure."""
    return prediction(shown["dataset"], cell["target"], cell["source"], cell["attack"])


def white_box_audits(study, cells):
    """The audits of sets that were made on the target itself; that of a source says nothing of another target."""
    made = [cell for cell in cells if cell["attack"] != CLEAN and cell["source"] == cell["target"]]
    return [adversarial(study["dataset"], cell["source"], cell["attack"], "audit.csv") for cell in made]


def seeds_of(row):
    models = {split_target(cell["target"])[0] for cells in row.values() for cell in cells}
    return sorted({PLAN["models"][model]["seed"] for model in models})


def study_files(name):
    """All predictions that a study's table needs, the audits of its white-box sets, and histories if it shows sizes."""
    rows = study_layout(name)["rows"]
    histories = {row["history"] for row in rows if row["history"]}
    predictions = {path for row in rows for cells in row["cells"].values() for path in cells}
    return sorted(predictions | histories | {*study_audits(name)})


def study_audits(name):
    """The audits of a study's white-box sets."""
    rows = study_layout(name)["rows"]
    return sorted({path for row in rows for audits in row["audits"].values() for path in audits})


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


def stored_sets():
    """Data set, source, attack and storage of every audited set."""
    return [(*item, PLAN["attacks"][item[2]].get("storage", STORAGES[0])) for item in audited_sets()]


def audited_sets():
    """Data set, source and attack of every adversarial set that the studies and figures use."""
    cells = {(dataset, cell["source"], cell["attack"]) for dataset, cell in used_cells(PLAN)}
    return sorted(item for item in cells if item[2] != CLEAN)


def used_datasets():
    return sorted({study["dataset"] for study in PLAN["studies"].values()})


def trained_histories():
    """Data set and model of every training behind the studies."""
    return [(dataset, model) for dataset in used_datasets() for model in used_models(PLAN, dataset)]


def tables():
    names = [*PLAN["studies"], "audit"]
    return [f"{RESULTS}/tables/{name}.{ending}" for name in names for ending in ("csv", "md", "tex", "html")]


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
