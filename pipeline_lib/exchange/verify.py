"""Checks of a published folder or tar, also against one's own clips; nothing is changed, and nothing of it is run."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline_lib.clips.adversarial_store import FORMAT as SET_FORMAT
from pipeline_lib.clips.adversarial_store import KIND as SET_KIND
from pipeline_lib.clips.hdf5 import reading
from pipeline_lib.clips.store import Clips
from pipeline_lib.errors import PipelineError
from pipeline_lib.exchange.jobs import files_of, records_in
from pipeline_lib.exchange.package import LIST, SUMS, opened, read_list
from pipeline_lib.exchange.weights import require_weights
from pipeline_lib.provenance.fingerprints import file_digest


def verify(path: Path, results: Path | None = None) -> list[str]:
    """Checks all of a published folder or tar; what was found, in sentences.

    results: a folder with one's own clips, which are compared if they are there.

    Raises:
        PipelineError: the first thing that is wrong, by name.
    """
    with opened(path) as folder:
        return verify_folder(folder, path, results)


def verify_folder(folder: Path, name: Path, results: Path | None) -> list[str]:
    """`verify` of an open folder. name: of the folder or tar, for messages."""
    content = read_list(folder, name)
    require_files(folder, name, content["files"])
    for file in sorted(content["files"]):
        if file.endswith(".pt"):
            require_weights(folder / file, f"{name}: {file}")
        if file.endswith(".h5"):
            require_set(folder / file, f"{name}: {file}", content["clips"])
    records = records_in(folder)
    described = {path for record in records.values() for _, path in files_of(folder, record)}
    found = f"{len(content['files'])} files are those that {LIST} lists, {len(described)} of them have a record"
    return [found, *(compared(folder, name, content["clips"], results) if results else ())]


def require_files(folder: Path, name: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises PipelineError unless the files are those of the list, and no others."""
    for file, facts in sorted(files.items()):
        path = folder / file
        if not path.is_file() or path.is_symlink():
            raise PipelineError(f"{name}: {file} is missing: it is truncated, get it again")
        if path.stat().st_size != facts["size"] or file_digest(path) != facts["sha256"]:
            raise PipelineError(f"{name}: {file} is damaged: its checksum is not that in {LIST}; get it again")
    there = {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()
    }
    if more := sorted(there - files.keys() - {LIST, SUMS}):
        raise PipelineError(f"{name}: {more[0]} is not in {LIST}: not a published file")


def require_set(path: Path, name: str, clips: Mapping[str, Any]) -> None:
    """Raises PipelineError for a file that is no whole set, or one of other clips than the published checksums."""
    with reading(path, SET_KIND, SET_FORMAT) as file:
        clean = file.attrs["clean"]
    known = [split["checksum"] for splits in clips.values() for split in splits.values()]
    if known and clean not in known:
        raise PipelineError(f"{name}: a set of other clips than those whose checksums are published with it")


def compared(folder: Path, name: Path, clips: Mapping[str, Any], results: Path) -> Iterator[str]:
    """A sentence for each split on one's own clips. Raises PipelineError for other clips."""
    for dataset, splits in clips.items():
        for split, published in splits.items():
            own = results / dataset / "clips" / f"{split}.h5"
            if not own.exists():
                yield f"{dataset}, {split}: not compared, there are no clips {own}"
                continue
            store = Clips(own)
            if store.checksum != published["checksum"]:
                difference = first_difference(store, folder / dataset / "clips" / f"{split}.csv")
                raise PipelineError(f"{name}: {dataset}, {split}: made of other clips than {own}: {difference}")
            yield f"{dataset}, {split}: made of the {len(store)} clips in {own}"


def first_difference(store: Clips, published: Path) -> str:
    """How one's own clips differ from published checksums, in words."""
    with published.open(newline="", encoding="utf-8") as file:
        theirs = {row["video"]: (int(row["label"]), int(row["crc32"], 16)) for row in csv.DictReader(file)}
    own = {
        video: (int(label), int(crc)) for video, label, crc in zip(store.videos, store.labels, store.crc32, strict=True)
    }
    if own.keys() != theirs.keys():
        only = sorted(own.keys() ^ theirs.keys())
        return f"{len(only)} videos are in one of them only, the first: {only[0]}"
    differing = [video for video in own if own[video] != theirs[video]]
    if not differing:
        return "the same clips in another order"
    what = "label" if own[differing[0]][1] == theirs[differing[0]][1] else "frames"
    return f"{len(differing)} of {len(own)} clips differ, the first by its {what}: {differing[0]}"
