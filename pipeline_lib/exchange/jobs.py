"""The jobs whose results are in a folder, by their records; tables, figures and the report are left out.

Those are made of the others in seconds, by the next run, and differ with each configuration.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline_lib.errors import PipelineError
from pipeline_lib.provenance.descriptions import FORMAT
from pipeline_lib.provenance.file_facts import result_facts
from pipeline_lib.provenance.records import bytes_in, read_record

Record = Mapping[str, Any]
# From the first to the last: what the results of a rule are made of is before it.
RULES = (
    *("render", "download", "decode", "train", "learn", "attack"),
    *("predict_clean", "predict_transfer", "union", "features", "feature_maps", "check"),
)


def records_in(folder: Path) -> dict[str, Record]:
    """The records of a folder of results by their paths below it, in the order of `RULES`.

    Raises:
        PipelineError: no record; one that is damaged, of another version, or that has paths outside of the folder.
    """
    found = {path.relative_to(folder).as_posix(): _read(path) for path in sorted(folder.glob("*/identities/**/*.json"))}
    if not found:
        raise PipelineError(f"{folder}: no results of this workflow: there is no record in */identities")
    known = {path: record for path, record in found.items() if record["rule"] in RULES}
    return dict(sorted(known.items(), key=lambda one: RULES.index(one[1]["rule"])))


def _read(path: Path) -> Record:
    record = read_record(path)
    if record is None:
        raise PipelineError(f"{path}: this record is damaged: remove it with the results that it describes")
    if record.get("format") != FORMAT:
        raise PipelineError(f"{path}: a record of format {record.get('format')}, this version reads format {FORMAT}")
    for name in [one["path"] for one in record["outputs"].values()]:
        if not is_inside(name):
            raise PipelineError(f"{path}: the path {name!r} is not below the folder of results")
    return record


def is_inside(name: str) -> bool:
    """Whether a path is one below a folder, in plain form."""
    parts = name.split("/")
    return bool(name) and not name.startswith("/") and not {"", ".", ".."} & {*parts} and "\\" not in name


def files_of(folder: Path, record: Record) -> Iterator[tuple[str, str]]:
    """Name and path (below the folder) of the outputs that are there.

    Raises:
        PipelineError: one that is not the file that its record describes.
    """
    for name, output in record["outputs"].items():
        path = folder / output["path"]
        found = result_facts(path)
        if found is not None and found != bytes_in(record, name):
            raise PipelineError(
                f"{path} is not the file that its record describes: it was damaged or exchanged. Get it again, or run "
                "the workflow there"
            )
        if found is not None:
            yield name, output["path"]
