"""Checkpoints come back as they were, have one byte image per content, and are refused when broken."""

import os
import pickle
import re
import zipfile
import zlib

import numpy as np
import pytest
import torch
from torch import nn

from limits import file_size_limit
from pipeline_lib.errors import PipelineError
from pipeline_lib.models import checkpoint
from pipeline_lib.networks.resnet import ResNet3D

ENTRY = {"method": "resnet_3d", "seed": 3, "rates": [0.1, 0.2], "initial": None}


def network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ResNet3D(depth=10, width=4, stages=1)(5)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.pt"
    checkpoint.save(path, network(), entry=ENTRY, classes=["a", "b"], step=7)
    return path


def test_round_trip(saved):
    content = checkpoint.load(saved)
    assert content.keys() == {"state", "entry", "classes", "step"}
    assert (content["entry"], content["classes"], content["step"]) == (ENTRY, ["a", "b"], 7)
    fresh = network(seed=1)
    fresh.load_state_dict(content["state"])
    assert all(torch.equal(value, network().state_dict()[key]) for key, value in fresh.state_dict().items())


def test_an_optimizer_continues_from_what_was_saved(tmp_path):
    path, first, second = tmp_path / "run.pt", network(), network()
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.1, momentum=0.9) for each in (first, second)]
    clips = torch.rand(2, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0))

    def step(net, optimizer):
        optimizer.zero_grad()
        net(clips).square().sum().backward()
        optimizer.step()

    step(first, optimizers[0])
    checkpoint.save(path, first, entry={}, optimizer=optimizers[0].state_dict())
    content = checkpoint.load(path)
    second.load_state_dict(content["state"])
    optimizers[1].load_state_dict(content["optimizer"])
    for net, optimizer in zip((first, second), optimizers, strict=True):
        step(net, optimizer)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_the_same_content_gives_the_same_bytes(saved, tmp_path):
    other = tmp_path / "another name.checkpoint"
    content = checkpoint.load(saved)
    again = network(seed=1)
    again.load_state_dict(content["state"])
    again.conv1.to(memory_format=torch.channels_last_3d)
    shuffled = {key: content["entry"][key] for key in reversed(ENTRY)}
    checkpoint.save(other, again, entry=shuffled, step=np.int64(7).item(), classes=["".join("a"), "b"])
    assert other.read_bytes() == saved.read_bytes()


def test_keys_of_several_types_give_the_same_bytes_in_any_order(tmp_path):
    for name, keys in (("a", {1: 2, "b": 3, "a": 4}), ("b", {"a": 4, "b": 3, 1: 2})):
        checkpoint.save(tmp_path / name, nn.Identity(), entry={}, keys=keys)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_comment_of_the_archive_is_the_crc32_of_what_is_before_it(saved):
    content, comment = saved.read_bytes(), zipfile.ZipFile(saved).comment
    value = zlib.crc32(content[: -len(comment)])
    assert comment == checkpoint.COMMENT_MARK + value.to_bytes(4, "little")


def test_classes_are_those_of_files_that_state_them(saved, tmp_path):
    own, foreign = tmp_path / "own.pt", tmp_path / "foreign.pt"
    checkpoint.save(own, nn.Identity(), entry={})
    torch.save({"state_dict": {}, "classes": ["a", "b"]}, foreign)
    assert [checkpoint.classes_in(path) for path in (saved, own, foreign)] == [["a", "b"], None, None]


def test_shared_and_equal_objects_give_the_same_bytes(tmp_path):
    word, row, tensor = "some words", [1, 2], torch.arange(6.0)
    variants = [
        {"words": [word, word], "rows": [row, row], "view": tensor[2:4]},
        {"words": [word, "".join(word)], "rows": [[1, 2], [1, 2]], "view": torch.tensor([2.0, 3.0])},
    ]
    images = []
    for i, extra in enumerate(variants):
        path = tmp_path / str(i)
        checkpoint.save(path, nn.Identity(), entry={}, **extra)
        images.append(path.read_bytes())
    assert images[0] == images[1]


def test_other_content_gives_other_bytes(saved, tmp_path):
    other = tmp_path / "other.pt"
    checkpoint.save(other, network(seed=1), entry=ENTRY, classes=["a", "b"], step=7)
    assert other.read_bytes() != saved.read_bytes()


def test_numpy_numbers_become_plain_ones(tmp_path):
    checkpoint.save(tmp_path / "m", nn.Identity(), entry={"loss": np.float64(0.5)})
    assert type(checkpoint.load(tmp_path / "m")["entry"]["loss"]) is float


def test_a_failed_save_leaves_the_old_file_and_no_other(saved):
    before = saved.read_bytes()
    with pytest.raises(TypeError, match="cannot hold a set"):
        checkpoint.save(saved, network(), entry={"a": {1}})
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


@pytest.mark.parametrize("fraction", [0, 0.01, 0.5, 0.999])
def test_no_space_is_explained_wherever_it_ends(saved, fraction):
    before = saved.read_bytes()
    expected = pytest.raises(
        PipelineError, match=r"model\.pt: no space left \(File too large\); free some and run again"
    )
    with expected as error, file_size_limit(int(len(before) * fraction)):
        checkpoint.save(saved, network(seed=1), entry=ENTRY)
    assert ("the file needs" in str(error.value)) == (fraction > 0)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


@pytest.mark.parametrize("fraction", [0, 0.01, 0.5, 0.999])
def test_truncated_files_are_refused(saved, fraction):
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(len(whole) * fraction)])
    with pytest.raises(PipelineError, match=r"model\.pt: not a checkpoint"):
        checkpoint.load(saved)


def test_a_flipped_bit_in_the_weights_is_noticed(saved):
    content = bytearray(saved.read_bytes())
    at = bytes(content).index(network().state_dict()["conv1.weight"].numpy().tobytes()[:64]) + 9
    content[at] ^= 1
    saved.write_bytes(content)
    with pytest.raises(PipelineError, match=r"model\.pt"):
        checkpoint.load(saved)


class Hostile:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (self.target,)


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_hostile_files_are_refused_and_run_nothing(tmp_path, write):
    path, target = tmp_path / "model.pt", tmp_path / "owned"
    write({"state": {}, "entry": Hostile(str(target))}, path)
    with pytest.raises(PipelineError, match=r"model\.pt: not a checkpoint"):
        checkpoint.load(path)
    assert not target.exists()


def test_foreign_and_missing_files_are_named(tmp_path):
    path = tmp_path / "foreign.pt"
    torch.save({"state_dict": {}}, path)
    with pytest.raises(PipelineError, match=r"foreign\.pt: .* no 'state' and 'entry'"):
        checkpoint.load(path)
    with pytest.raises(PipelineError, match=r"nothing\.pt: there is no such checkpoint"):
        checkpoint.load(tmp_path / "nothing.pt")


WEIGHTS = {"conv1.weight": torch.arange(6.0).view(2, 3), "fc.bias": torch.tensor([0.5, -0.5])}
# Optimizers of torch before 1.0 named parameters by their address in memory.
PARAMETER = 140234567890123
KINETICS = {
    "epoch": 150,
    "arch": "resnet-18",
    "state_dict": {f"module.{name}": value for name, value in WEIGHTS.items()},
    "optimizer": {
        "state": {PARAMETER: {"momentum_buffer": torch.ones(2)}},
        "param_groups": [{"lr": 0.1, "nesterov": False, "params": [PARAMETER]}],
    },
}
FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "torch before 1.6"])


def weights_of(path) -> dict:
    """What load_foreign gives, compared with WEIGHTS to the bit."""
    state = checkpoint.load_foreign(path)
    assert state.keys() == WEIGHTS.keys()
    assert all(torch.equal(state[name], value) and state[name].device.type == "cpu" for name, value in WEIGHTS.items())
    return state


@FORMATS
@pytest.mark.parametrize(
    "content",
    [WEIGHTS, KINETICS, {"state_dict": WEIGHTS}, KINETICS["state_dict"], {"state": WEIGHTS, "entry": {}}],
    ids=["plain", "Kinetics", "state_dict", "DataParallel", "own"],
)
def test_foreign_weights_come_back(tmp_path, content, zipped):
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    weights_of(tmp_path / "w.pth")


class OldPickler(pickle.Pickler):
    """Tensors as torch 0.3 wrote them from a GPU: another constructor, and storages of torch.cuda."""

    def __init__(self, file):
        super().__init__(file, protocol=2)
        self.storages = {}

    def persistent_id(self, value):
        if not isinstance(value, torch.UntypedStorage):
            return None
        key = str(value.data_ptr())
        self.storages[key] = value
        return ("storage", torch.cuda.FloatStorage, key, "cuda:0", value.nbytes() // 4, None)

    def reducer_override(self, value):
        if not isinstance(value, torch.Tensor):
            return NotImplemented
        return torch._utils._rebuild_tensor, (value.untyped_storage(), 0, tuple(value.shape), value.stride())


def test_files_of_torch_0_3_come_back(tmp_path):
    """Written here by hand, in the format of the Kinetics files: from a GPU, with Python's pickles and raw storages."""
    path = tmp_path / "resnet-18-kinetics.pth"
    with path.open("wb") as file:
        for header in 0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}:
            pickle.dump(header, file, protocol=2)
        pickler = OldPickler(file)
        pickler.dump(KINETICS)
        pickle.dump(sorted(pickler.storages), file, protocol=2)
        for key in sorted(pickler.storages):
            values = bytes(pickler.storages[key].tolist())
            file.write((len(values) // 4).to_bytes(8, "little") + values)
    weights_of(path)


def test_a_prefix_of_some_names_only_belongs_to_them(tmp_path):
    state = {"module.weight": torch.ones(1), "fc.bias": torch.ones(1)}
    torch.save(state, tmp_path / "w.pth")
    assert checkpoint.load_foreign(tmp_path / "w.pth").keys() == state.keys()


@FORMATS
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "no weights: expected names and tensors"),
        ([torch.ones(1)], "no weights: expected names and tensors"),
        ({"state_dict": {}}, "no weights: expected names and tensors"),
        ({"epoch": 3, "weights": torch.ones(1)}, "'epoch' is not the name of a tensor"),
        ({"state_dict": {0: torch.ones(1)}}, "0 is not the name of a tensor"),
        ({"state_dict": WEIGHTS, "best": np.float64(0.5)}, r"it needs numpy\..*, which is never loaded"),
        (nn.Linear(2, 2), r"it needs torch\.nn\..*Linear, which is never loaded"),
    ],
    ids=["empty", "list", "empty state", "other values", "numbered", "numpy", "whole network"],
)
def test_files_without_weights_are_named(tmp_path, content, message, zipped):
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(PipelineError, match=rf"w\.pth: .*{message}") as raised:
        checkpoint.load_foreign(tmp_path / "w.pth")
    assert "weights_only" not in str(raised.value)  # torch's own message advises to load it all the same


@FORMATS
@pytest.mark.parametrize("fraction", [0, 0.01, 0.5, 0.98])
def test_truncated_weights_are_refused(tmp_path, fraction, zipped):
    path = tmp_path / "w.pth"
    torch.save(KINETICS, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * fraction)])
    with pytest.raises(PipelineError, match=r"w\.pth: no weights of torch, cut off"):
        checkpoint.load_foreign(path)


@FORMATS
def test_hostile_weights_are_refused_and_run_nothing(tmp_path, zipped):
    path, target = tmp_path / "w.pth", tmp_path / "owned"
    torch.save({"state_dict": WEIGHTS, "arch": Hostile(str(target))}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(PipelineError, match=r"w\.pth: no weights of torch.*it needs \w+\.mkdir"):
        checkpoint.load_foreign(path)
    assert not target.exists()


def test_other_files_are_no_weights(tmp_path):
    path = tmp_path / "w.pth"
    path.write_text("<!DOCTYPE html><title>Too many downloads</title>")
    with pytest.raises(PipelineError, match=r"w\.pth: no weights of torch.*not a file of torch"):
        checkpoint.load_foreign(path)
    with pytest.raises(PipelineError, match=r"nothing\.pth: there is no such checkpoint"):
        checkpoint.load_foreign(tmp_path / "nothing.pth")


def test_a_flipped_bit_in_zipped_weights_is_noticed(tmp_path):
    path = tmp_path / "w.pth"
    torch.save(WEIGHTS, path)
    content = bytearray(path.read_bytes())
    content[bytes(content).index(WEIGHTS["conv1.weight"].numpy().tobytes()) + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(PipelineError, match=r"w\.pth"):
        checkpoint.load_foreign(path)


def test_a_folder_in_the_place_of_a_tensor_is_named(saved):
    """torch would read memory that nothing was written to."""
    with zipfile.ZipFile(saved) as archive:
        parts = {part.filename: archive.read(part) for part in archive.infolist()}
    name = next(name for name in parts if "/data/" in name)
    with zipfile.ZipFile(saved, "w") as archive:
        for part, content in parts.items():
            info = zipfile.ZipInfo(part)
            info.external_attr = 0x10 if part == name else 0
            archive.writestr(info, content)
    with pytest.raises(PipelineError, match=rf"model\.pt: {re.escape(name)} is damaged"):
        checkpoint.load(saved)
