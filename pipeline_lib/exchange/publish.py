"""Publishing results: a folder or tar for a data repository or a model hub, with the checksums of clips only."""

import csv
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline_lib.configuration.jobs import Jobs
from pipeline_lib.errors import PipelineError
from pipeline_lib.exchange.choosing import Chosen, chosen, makers
from pipeline_lib.exchange.package import FORMAT, LIST, README, SUMS, is_tar, write_list, write_tar
from pipeline_lib.exchange.readme import readme
from pipeline_lib.exchange.weights import write_safetensors
from pipeline_lib.provenance.descriptions import below
from pipeline_lib.provenance.fingerprints import file_digest
from pipeline_lib.provenance.records import versions
from pipeline_lib.provenance.repository import commit


@dataclass(frozen=True, kw_only=True)
class Texts:
    """What is stated about the published files: `license`, under which the makers publish them, and `title`."""

    license: str
    title: str


def publish(jobs: Jobs, output: Path, texts: Texts, parts: Sequence[str], only: Sequence[str] = ()) -> Chosen:
    """Writes the chosen results of a configuration into a new folder or tar.

    Raises:
        PipelineError: `output` exists, or there is nothing to publish.
    """
    if output.exists():
        raise PipelineError(f"{output}: exists already; give another name or move it away")
    found = chosen(jobs, parts, only)
    with whole(output) as folder:
        for path in found.files:
            copy_below(jobs, path, folder)
            if path.endswith(".pt") and "/models/" in path:
                copied = folder / below(jobs.paths.results, path)
                write_safetensors(copied)
        for job in makers(jobs, found.files):
            if Path(job.record).is_file():
                copy_below(jobs, job.record, folder)
        clips = clips_of(jobs, found.files, folder)
        content = {"format": FORMAT, "title": texts.title, "license": texts.license, "commit": commit()}
        content |= {"versions": versions(), "clips": clips, "files": {}}
        (folder / README).write_text(readme(content, folder), encoding="utf-8")
        write_list(folder, content | {"files": listed(folder)})
    return found


@contextmanager
def whole(output: Path) -> Iterator[Path]:
    """A new folder that becomes `output`, itself or as a tar, on success; nothing is left otherwise."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as temporary:
        folder = Path(temporary, "published")
        folder.mkdir()
        yield folder
        if is_tar(output):
            made = Path(temporary, output.name)
            write_tar(folder, made)
            made.rename(output)
        else:
            folder.rename(output)


def copy_below(jobs: Jobs, path: str, folder: Path) -> None:
    """Copies a result to its place below a folder."""
    target = folder / below(jobs.paths.results, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def clips_of(jobs: Jobs, files: Sequence[str], folder: Path) -> dict[str, dict[str, Any]]:
    """Facts of the clip stores behind the files, by data set and split; writes each clip's checksum as CSV."""
    from pipeline_lib.clips.store import Clips

    found: dict[str, dict[str, Any]] = {}
    stores = {path for job in makers(jobs, files) if job.rule == "decode" for path in job.outputs.values()}
    for path in sorted(path for path in stores if Path(path).exists()):
        store, name = Clips(Path(path)), below(jobs.paths.results, path)
        dataset, split = name.split("/")[0], Path(name).stem
        rows = zip(store.videos, store.labels, store.crc32, strict=True)
        write_checksums(folder / dataset / "clips" / f"{split}.csv", rows, store.classes)
        found.setdefault(dataset, {})[split] = {
            "checksum": store.checksum,
            "clips": len(store),
            "shape": [*store.shape],
            "classes": store.classes,
        }
    return found


def write_checksums(path: Path, rows: Any, classes: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("video", "label", "class", "crc32"))
        writer.writerows((video, int(label), classes[int(label)], f"{int(crc32):08x}") for video, label, crc32 in rows)


def listed(folder: Path) -> Mapping[str, dict[str, Any]]:
    """Size and SHA-256 of every file of a folder but the lists themselves."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (LIST, SUMS))
    return {
        path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": file_digest(path)}
        for path in files
    }
