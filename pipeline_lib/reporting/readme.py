"""What each file below the folder of results is, for a person who opens the folder."""

FILES = {
    "To read": {
        "report.html": "the report, in one file that works offline",
        "tables/STUDY.md, .csv, .tex, .html": "a study's table; in CSV a row for each cell",
        "tables/differences/STUDY.*": "which rows of a study differ, by exact paired tests",
        "tables/claims.*": "statements of the papers: which hold here (if the studies have any of their tables)",
        "tables/audit.*": "how well each attack has converged, and where gradients are masked",
        "figures/NAME.png, .pdf": "a figure; NAME.csv are its numbers and NAME.html its page, where its kind has them",
        "partial/STUDY-partial.*": "a table of what was there, after a failed run or on request (partial/README.md)",
        "summary.json": "all numbers of the tables, and the claims",
        "tables/front.rst, opening.rst": "the first page of the report, as text",
    },
    "To compute with": {
        "DATASET/clips/SPLIT.h5": "the clips (HDF5): uint8 (T, H, W, 3), label, name, status, frame numbers",
        "DATASET/models/MODEL.pt, .csv": "weights; a row for each epoch. A model's name ends in its seed",
        "DATASET/adversarial/SOURCE/ATTACK.h5": "the adversarial set: (adversarial - clean) mod 256, of the clips",
        "DATASET/adversarial/SOURCE/ATTACK.audit.csv, .trace.csv": "its audit; loss and accuracy by iteration",
        "DATASET/adversarial/SOURCE/ATTACK.learned.pt": "what an attack on all clips has learned, e.g. a border",
        "DATASET/predictions/TARGET/SOURCE/ATTACK.csv": "a row for each clip: label, prediction, loss",
        "DATASET/predictions/TARGET/clean.csv": "the same without an attack",
        "DATASET/unions/STUDY/*.csv": "the same for the union of a study's attacks (`union: cascade`)",
        "DATASET/checks/TARGET.*": "is this model robust? The verdict, with its reasons",
        "DATASET/features/SOURCE/ATTACK.csv": "distances between features of clean and adversarial clips, by stage",
        "DATASET/feature_maps/SOURCE/ATTACK/STAGE-CLIP.npz": "what a stage makes of one clip and its attacked one",
        "DATASET/rendered, downloaded": "files of data sets that are rendered or downloaded",
    },
    "Of the workflow": {
        "config.yaml": "the whole configuration of the last run, with the command that plans the same work",
        "run.json": "its versions, machine and commit",
        "identities, DATASET/identities": "what each result is made of, which plans follow: copy them, too",
        "logs, DATASET/logs": "a log for each job; logs/used.csv: what each asked for and used",
        ".workflow.lock": "held by the run that works here",
        ".runs": "states of trainings and sets, and finished models of earlier configurations; may be deleted",
    },
}


def readme() -> str:
    """The text of README.md in the folder of results, a table for each kind of files."""
    head = "# Results\n\nSOURCE is the model that an adversarial set was made on, TARGET the one that was tested on it."
    sections = (
        f"## {title}\n\n| file | what it is |\n|---|---|\n"
        + "".join(f"| `{path}` | {meaning} |\n" for path, meaning in files.items())
        for title, files in FILES.items()
    )
    return "\n\n".join([head, *sections])
