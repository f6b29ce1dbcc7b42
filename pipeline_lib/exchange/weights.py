"""Published weights: the checkpoint of this workflow, and beside it the same weights as safetensors."""

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from pipeline_lib.errors import PipelineError
from pipeline_lib.models import checkpoint, safetensors
from pipeline_lib.provenance.fingerprints import file_digest

OF = "sha256_of_checkpoint"
LEARNED = ".learned.pt"  # of universal attacks


def write_safetensors(weights: Path) -> Path:
    """Writes the weights of a checkpoint beside it; the metadata has its entry and classes as JSON."""
    content, output = checkpoint.load(weights), weights.with_suffix(safetensors.ENDING)
    plain = {key: content[key] for key in ("entry", "classes", "parameters") if key in content}
    metadata = {key: json.dumps(value, sort_keys=True, ensure_ascii=False) for key, value in plain.items()}
    safetensors.write(output, content["state"], {"format": "pt", OF: file_digest(weights)} | metadata)
    return output


def require_weights(file: Path, name: str) -> None:
    """Raises PipelineError for a file that is no checkpoint or learned pattern, or for other weights beside it.

    name: of the file, for messages. Nothing of the file is run.
    """
    with file.open("rb") as opened:
        if opened.read(2) != b"PK":
            raise PipelineError(f"{name}: a pickle or another file, no checkpoint: it is not loaded")
    if file.name.endswith(LEARNED):
        checkpoint.read(file, "no learned pattern of this workflow, or holding more than tensors and plain values")
        return
    content, beside = checkpoint.load(file), file.with_suffix(safetensors.ENDING)
    checkpoint.check_finite(content["state"], file)
    if beside.exists():
        tensors, metadata = safetensors.read(beside)
        if metadata.get(OF) != file_digest(file) or not same(tensors, content["state"]):
            raise PipelineError(f"{name}: the weights in {beside.name} are others than those of the checkpoint")


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)
