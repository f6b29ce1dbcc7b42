"""Records of identities: one readable JSON file for each job, which binds what the results are made of to their bytes.

Paths in a record are relative to the folder of results, so that the folder may be moved. A record has a digest of its
own, so that a damaged one counts as none.
"""

import contextlib
import hashlib
import json
import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline_lib.errors import PipelineError
from pipeline_lib.provenance.descriptions import FORMAT
from pipeline_lib.provenance.file_facts import result_facts
from pipeline_lib.provenance.repository import commit

SEAL = "sha256"  # of everything else in a record
FFMPEG = "pipeline_lib.ffmpeg_binary"
# Recorded if loaded by the job: name of the module -> name of the distribution.
LIBRARIES = {"torch": "torch", "torchvision": "torchvision", "numpy": "numpy", "h5py": "h5py", "PIL": "pillow"}


def read_record(path: Path) -> dict[str, Any] | None:
    """A record, without its digest; None if there is none, or if it is damaged."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    seal = record.pop(SEAL, None)
    return record if seal == _digest(record) else None


def sealed(record: Mapping[str, Any]) -> str:
    """The text of a record, with a digest of all that it contains."""
    plain = json.loads(json.dumps(record))
    return json.dumps({**plain, SEAL: _digest(plain)}, indent=1, ensure_ascii=False) + "\n"


def _digest(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def record_of(identity: Mapping[str, Any], results: Path) -> dict[str, Any]:
    """The record of a job that has made its results.

    identity: from `plain_identity`. Outputs have the facts of the present files, inputs those in the records of the
    jobs that made them.
    """
    inputs = {
        name: [file | {"bytes": recorded_bytes(results, file)} for file in files]
        for name, files in identity["inputs"].items()
    }
    outputs = {
        name: {"path": path, "bytes": result_facts(results / path)} for name, path in identity["outputs"].items()
    }
    made_of = {key: identity[key] for key in ("settings", "code", "sources")} | {"inputs": inputs}
    head = {"format": FORMAT, "identity": identity["identity"], "rule": identity["rule"]}
    return head | {"made_of": made_of, "outputs": outputs, "versions": versions(), "commit": commit()}


def recorded_bytes(results: Path, file: Mapping[str, str]) -> dict[str, Any] | None:
    """Size and digest of an input file, from the record of the job that made it; None if it has none."""
    record = read_record(results / file["record"])
    return bytes_in(record, file["output"]) if record else None


def require_recorded_bytes(identity: Mapping[str, Any], results: Path) -> None:
    """Raises PipelineError if an input file of a job is not the one that the record of its own job describes.

    The plan compares the same, but a file may be damaged or exchanged since. Files without a record are not compared.
    """
    for file in (file for files in identity["inputs"].values() for file in files):
        expected = recorded_bytes(results, file)
        if expected and result_facts(results / file["path"]) != expected:
            raise PipelineError(
                f"{results / file['path']} is not the file that {results / file['record']} describes: it was damaged, "
                "removed or exchanged after it was made. Run again, and it is made again"
            )


def bytes_in(record: Mapping[str, Any], output: str) -> dict[str, Any] | None:
    """Size and digest of an output in a record, by its name."""
    return record.get("outputs", {}).get(output, {}).get("bytes")


def versions() -> dict[str, str]:
    """Versions of Python, and of the libraries and the ffmpeg that this process has loaded."""
    loaded = {"python": platform.python_version()}
    for module, name in LIBRARIES.items():
        if module in sys.modules:
            loaded[name] = getattr(sys.modules[module], "__version__", None) or metadata.version(name)
    if FFMPEG in sys.modules:
        with contextlib.suppress(PipelineError):  # loaded, but not found
            loaded["ffmpeg"] = sys.modules[FFMPEG].ffmpeg_version()
    return loaded
