"""Facts about files, for comparison: digests of results, and of files given by the user."""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

from pipeline_lib.errors import PipelineError
from pipeline_lib.provenance.content_digests import DIGESTS
from pipeline_lib.provenance.fingerprints import file_digest

WHOLE_BYTES = 1_000_000
WITH_CHECKSUM = (".h5", ".pt")
END_BYTES = 4096
OF_SNAKEMAKE = ".snakemake_timestamp"  # a file that Snakemake puts into folders


def result_facts(path: Path) -> dict[str, Any] | None:
    """Size and digest of a result, cheap to compute; None if it does not exist.

    Of a file larger than WHOLE_BYTES with a checksum of its own, which its readers compare, the digest covers both
    ends: a clip store has its seal, which covers the content, at the beginning, and a checkpoint its checksum at the
    end. Of a folder it covers all names and sizes.
    """
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            return _folder_facts(path)
        size = found.st_size
        if size <= WHOLE_BYTES or path.suffix not in WITH_CHECKSUM:
            return {"size": size, "sha256": file_digest(path)}
        return {"size": size, "sha256_of_ends": _digest_of_ends(path, size)}
    except FileNotFoundError:
        return None


def _digest_of_ends(path: Path, size: int) -> str:
    with path.open("rb") as file:
        first = file.read(END_BYTES)
        file.seek(size - END_BYTES)
        return hashlib.sha256(first + file.read()).hexdigest()


def _folder_facts(folder: Path) -> dict[str, Any]:
    sizes = sorted((path, entry.st_size) for path, entry in _files_below(str(folder), ""))
    listing = "".join(f"{path}\0{size}\n" for path, size in sizes)
    total = sum(size for _, size in sizes)
    return {"files": len(sizes), "size": total, "sha256_of_names_and_sizes": _sha256(listing)}


def _files_below(folder: str, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files_below(entry.path, f"{prefix}{entry.name}/")
            elif entry.name != OF_SNAKEMAKE:
                yield prefix + entry.name, entry.stat()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def content_facts(path: Path) -> dict[str, Any]:
    """Size and digest of a file given by the user. Raises PipelineError if it cannot be read."""
    try:
        found = path.stat()
        path.open("rb").close()
    except OSError as error:
        raise PipelineError(f"{path} cannot be read: {error.strerror}") from None
    place = str(path.absolute())
    return {"size": found.st_size, "sha256": DIGESTS.of({place: found})[place]}


def listed_facts(folder: Path, paths: Iterable[str]) -> dict[str, Any]:
    """Number, size and digest of listed files below a folder, by name and content.

    A path may continue below a file: it is then a record of this file. A file that does not exist, or that cannot be
    read, has no content.
    """
    names: dict[str, set[str]] = {}
    for path in paths:
        parent, _, name = path.rpartition("/")
        names.setdefault(parent, set()).add(name)
    files = [file for parent in sorted(names) for file in _listing(folder, parent, names[parent])]
    head = f"{folder.absolute()}/"
    contents = DIGESTS.of({head + path: found for path, found in files if found})
    listing = "".join(f"{path}\0{contents.get(head + path)}\n" for path, _ in files)
    sizes = [found.st_size for _, found in files if found]
    return {"files": len(sizes), "size": sum(sizes), "sha256_of_names_and_contents": _sha256(listing)}


def _listing(folder: Path, parent: str, names: set[str]) -> list[tuple[str, os.stat_result | None]]:
    """Path and state of files in one folder."""
    try:
        with os.scandir(folder / parent) as entries:
            found = {entry.name: entry.stat() for entry in entries if entry.name in names}
    except NotADirectoryError:  # records of one file
        return [(parent, (folder / parent).stat())]
    except FileNotFoundError:
        found = {}
    prefix = f"{parent}/" if parent else ""
    return [line for name in sorted(names) for line in _lines(folder, prefix + name, found.get(name))]


def _lines(folder: Path, path: str, found: os.stat_result | None) -> list[tuple[str, os.stat_result | None]]:
    """A listed file, or the files of a listed folder (a video as a folder of frames)."""
    if found is None or not stat.S_ISDIR(found.st_mode):
        return [(path, found)]
    return sorted(_files_below(str(folder / path), f"{path}/"), key=itemgetter(0))
