"""The README of a published folder, made from its list and its records."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline_lib.entries.phrases import Phrases
from pipeline_lib.exchange.jobs import Record, records_in

KINDS = {"train": "models", "attack": "adversarial sets"}
USE = """## Use

Check it, with the workflow or without:

    python -m pipeline_lib.exchange verify FOLDER
    sha256sum -c SHA256SUMS

Weights in a configuration: `initial: {file: FOLDER/DATASET/models/MODEL.safetensors}`. Everything, in a clone of the
workflow with one's own clips of the same data set, after which the same configuration makes only what is not here:

    python -m pipeline_lib.exchange merge results FOLDER

An adversarial set is the difference to the clean clips, which are not here: it applies to clips with the checksums in
`DATASET/clips`. The workflow's documentation has its format ("Adversarial sets"), with a reader that needs only h5py
and numpy.
"""


def readme(content: Mapping[str, Any], folder: Path) -> str:
    """The text. content: of `published.json`. folder: with the files and records."""
    records = [record for record in records_in(folder).values() if any_output(folder, record)]
    parts = [
        f"# {content['title']}",
        "",
        f"License of these files: {content['license']}. That of the workflow: MIT.",
        "",
    ]
    parts += [
        "The videos or images belong to the makers of the data sets, whose terms apply; they are not included.",
        "",
    ]
    parts += ["## Contents", "", *contents(folder, records), "", "## Clips", "", *clips(content), "", USE]
    versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    parts += ["## Made by", "", f"Commit {content['commit'] or 'unknown'} of the workflow; {versions}.", ""]
    return "\n".join(parts)


def any_output(folder: Path, record: Record) -> bool:
    return any((folder / output["path"]).exists() for output in record["outputs"].values())


def contents(folder: Path, records: list[Record]) -> Iterator[str]:
    """A line for each result: where it is, what it is made by in words, and its identity."""
    phrases = Phrases()
    for record in records:
        files = [output["path"] for output in record["outputs"].values() if (folder / output["path"]).exists()]
        entry = record["made_of"]["settings"].get("entry", {})
        words = phrases(entry["defense"]) if record["rule"] == "train" else phrases(entry) if "method" in entry else ""
        about = f": {words}" if words else ""
        yield f"- `{files[0]}` ({record['rule']}){about}; identity {record['identity'][:16]}"


def clips(content: Mapping[str, Any]) -> list[str]:
    """A line for each split."""
    lines = [
        f"- {dataset}, {split}: {one['clips']} clips of {' x '.join(map(str, one['shape']))}, {len(one['classes'])} "
        f"classes; checksum {one['checksum']}"
        for dataset, splits in content["clips"].items()
        for split, one in splits.items()
    ]
    return lines or ["The clips were not there when this was published."]
