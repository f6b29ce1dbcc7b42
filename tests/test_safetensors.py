"""Safetensors: what is written is read, as published weights are used, and damaged files are named."""

import json
import struct

import pytest
import torch

import tiny
from limits import file_size_limit
from pipeline_lib.errors import PipelineError
from pipeline_lib.exchange.weights import write_safetensors
from pipeline_lib.models import checkpoint, safetensors
from pipeline_lib.models.trained import check_initial_classes, new_network
from training_runs import trained

TENSORS = {
    "b": torch.arange(6.0).reshape(2, 3),
    "a.weight": torch.tensor([1, -2], dtype=torch.int64),
    "half": torch.tensor([[0.5]], dtype=torch.bfloat16),
    "scalar": torch.tensor(7.0),
    "empty": torch.empty(0, 4, dtype=torch.int32),
    "flags": torch.tensor([True, False, True]),
}


def test_tensors_of_all_types_come_back(tmp_path):
    safetensors.write(tmp_path / "w.safetensors", TENSORS, {"classes": '["ä"]'})
    found, metadata = safetensors.read(tmp_path / "w.safetensors")
    assert metadata == {"classes": '["ä"]'}
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert torch.equal(found[name], tensor)


def test_the_bytes_are_those_of_the_format(tmp_path):
    """Written by hand, from the description of the format."""
    path = tmp_path / "w.safetensors"
    header = b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  '
    path.write_bytes(struct.pack("<Q", len(header)) + header + struct.pack("<2f", 1.5, -2.0))
    assert safetensors.read(path)[0]["x"].tolist() == [1.5, -2.0]
    safetensors.write(path, {"x": torch.tensor([1.5, -2.0])}, {})
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    assert json.loads(content[8 : 8 + length]) == {
        "__metadata__": {},
        "x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    }
    assert content[8 + length :] == struct.pack("<2f", 1.5, -2.0)


def test_a_file_without_tensors_is_one(tmp_path):
    safetensors.write(tmp_path / "w.safetensors", {}, {"classes": "[]"})
    assert safetensors.read(tmp_path / "w.safetensors") == ({}, {"classes": "[]"})


def test_a_full_disk_names_the_size_of_the_whole_file(tmp_path):
    path = tmp_path / "w.safetensors"
    safetensors.write(path, TENSORS, {})
    size = path.stat().st_size
    with pytest.raises(PipelineError, match=f"needs {size} bytes"), file_size_limit(size - 1):
        safetensors.write(path, TENSORS, {})


def with_header(**header: object) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(8)


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
DAMAGED = {
    "empty": b"",
    "a pickle": b"\x80\x04K\x01.",
    "a long header": struct.pack("<Q", 10**12) + b"{}",
    "no JSON": struct.pack("<Q", 2) + b"{]",
    "another type": with_header(x=ENTRY | {"dtype": "F8"}),
    "a hole": with_header(x=ENTRY | {"data_offsets": [4, 8], "shape": [1]}),
    "beyond the end": with_header(x=ENTRY | {"data_offsets": [0, 16], "shape": [4]}),
    "another size": with_header(x=ENTRY | {"shape": [3]}),
    "a list": with_header(x=[1]),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_files_are_named(tmp_path, damage):
    (tmp_path / "w.safetensors").write_bytes(DAMAGED[damage])
    with pytest.raises(PipelineError, match=r"w\.safetensors: "):
        safetensors.read(tmp_path / "w.safetensors")
    with pytest.raises(PipelineError, match=r"w\.safetensors: "):
        checkpoint.load_foreign(tmp_path / "w.safetensors")


def test_published_weights_are_evaluated_as_their_checkpoint_and_only_for_their_classes(made, tmp_path):
    own = tmp_path / "theirs.pt"
    own.write_bytes((made / "plain.pt").read_bytes())
    theirs = write_safetensors(own)
    entry = tiny.model_entry(tiny.STANDARD) | {"training": tiny.TRAINING | {"epochs": 0}}
    states = []
    for number, file in enumerate((own, theirs)):
        weights = trained(tmp_path / f"{number}", entry, made / "clips.h5", initial=file)
        states.append(checkpoint.load(weights)["state"])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    fresh = new_network(entry, len(tiny.CLASSES))[0].state_dict()
    assert not all(torch.equal(fresh[name], states[1][name]) for name in fresh)
    for file in (own, theirs):
        check_initial_classes(file, tiny.CLASSES)
        with pytest.raises(PipelineError, match=rf"{file.name}: trained for 2 classes .*'Left' instead of 'Right'"):
            check_initial_classes(file, tiny.CLASSES[::-1])
        with pytest.raises(PipelineError, match="the first difference: their number"):
            check_initial_classes(file, [*tiny.CLASSES, "Up"])
    clips = tiny.write_clips(tmp_path / "clips.h5")
    safetensors.write(theirs, checkpoint.load(own)["state"], {"classes": '["Up", "Down"]'})
    with pytest.raises(PipelineError, match="a model of 0 epochs uses them as they are"):
        trained(tmp_path / "other", entry, clips, initial=theirs)
    more = entry | {"training": tiny.TRAINING | {"epochs": 1}}
    assert trained(tmp_path / "tuned", more, clips, initial=theirs).exists()  # a start like any other


@pytest.mark.parametrize("length", range(1, 9))
def test_tensors_begin_at_a_multiple_of_eight_bytes(tmp_path, length):
    safetensors.write(tmp_path / "a.safetensors", {"n" * length: torch.zeros(1)}, {})
    assert struct.unpack("<Q", (tmp_path / "a.safetensors").read_bytes()[:8])[0] % 8 == 0
