"""One flipped bit anywhere in a file: the same content is read, or one message names the file and what to do."""

import random
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from pipeline_lib.clips.adversarial_store import AdversarialClips, compressed_delta, write_adversarial
from pipeline_lib.clips.store import Clips
from pipeline_lib.errors import PipelineError
from pipeline_lib.models import checkpoint
from pipeline_lib.models.trained import load_model, new_network
from stores import flip, write


def content_of_store(path: Path) -> Any:
    clips = Clips(path)
    columns = [clips.labels, clips.status, clips.index, clips.read(range(len(clips)))]
    return clips.shape, clips.videos, clips.classes, clips.checksum, [column.tobytes() for column in columns]


def make_set(path: Path) -> Path:
    clean = Clips(write(path.with_name("clean.h5")))
    frames = clean.read(range(12))
    changed = frames ^ np.random.default_rng(1).integers(0, 4, frames.shape, np.uint8)
    chunks = [compressed_delta(new, old) for new, old in zip(changed, frames, strict=True)]
    crc32 = np.array([zlib.crc32(frame.tobytes()) for frame in changed], np.uint32)
    write_adversarial(path, clean, chunks, crc32, {"attack": "pgd"})
    return path


def content_of_set(path: Path) -> Any:
    clips = AdversarialClips(path, Clips(path.with_name("clean.h5")))
    return clips.videos, clips.storage, clips.margin, clips.read(range(12)).tobytes()


def make_model(path: Path) -> Path:
    entry = tiny.model_entry(tiny.STANDARD)
    checkpoint.save(path, new_network(entry, 2)[0], entry=entry, classes=tiny.CLASSES)
    return path


def content_of_model(path: Path) -> Any:
    model = load_model(path, torch.device("cpu"))
    state = {name: tensor.numpy().tobytes() for name, tensor in model.network.state_dict().items()}
    return state, model.classes, model.entry


KINDS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], Any]]] = {
    "clips.h5": (write, content_of_store),
    "set.h5": (make_set, content_of_set),
    "model.pt": (make_model, content_of_model),
}


def flip_bits(folder: Path, kind: str, flips: int, seed: int) -> int:
    """How many of the flips were found; each of the others changed nothing that is read."""
    make, content_of = KINDS[kind]
    path, chosen, found = make(folder / kind), random.Random(seed), 0
    expected = content_of(path)
    for number in range(flips):
        offset, bit = chosen.randrange(path.stat().st_size), chosen.randrange(8)
        flip(path, offset, bit)
        try:
            assert content_of(path) == expected, f"flip {number}: bit {bit} of byte {offset} is not seen"
            message = None
        except PipelineError as error:
            message = str(error)
        if message is not None:
            found += 1
            assert message.startswith(str(path))
            assert len(re.findall(r"Delete (it|the file)|Move it away", message)) == 1, message
        flip(path, offset, bit)
    assert content_of(path) == expected
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_no_flipped_bit_is_silent_or_a_traceback(tmp_path, kind):
    """Nothing reads the last bits of a compressed clip."""
    assert flip_bits(tmp_path, kind, 150, seed=0) >= 145


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_of_very_many_flipped_bits_none_is_silent(tmp_path, kind):
    assert flip_bits(tmp_path, kind, 700, seed=1) >= 690


def test_a_folder_in_the_place_of_a_tensor_is_refused(tmp_path):
    """torch reads whatever is in memory there, for files without our checksum too."""
    weights = {"weight": torch.arange(1000.0)}
    torch.save(weights, tmp_path / "foreign.pth")
    content = bytearray((tmp_path / "foreign.pth").read_bytes())
    (tmp_path / "own.pt").write_bytes(content)
    assert torch.equal(checkpoint.load_foreign(tmp_path / "own.pt")["weight"], weights["weight"])
    content[content.rindex(b"/data/0") - len("foreign") - 8] |= 0x10
    (tmp_path / "foreign.pth").write_bytes(content)
    with pytest.raises(PipelineError, match=r"foreign\.pth: foreign/data/0 is damaged"):
        checkpoint.load_foreign(tmp_path / "foreign.pth")


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_off_anywhere_is_named(tmp_path, kind):
    make, content_of = KINDS[kind]
    whole = make(tmp_path / kind).read_bytes()
    for size in [0, 1, 8, 100, *range(200, len(whole), len(whole) // 12), len(whole) - 1]:
        (tmp_path / kind).write_bytes(whole[:size])
        with pytest.raises(PipelineError, match=rf"^{tmp_path}/{kind}"):
            content_of(tmp_path / kind)
