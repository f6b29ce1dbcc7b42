"""Clip stores are read from a copy on the machine's own disk, made once and compared; else from where they are."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline_lib.jobs import local_copies
from pipeline_lib.jobs.local_copies import local_copy, use_local_copies


@pytest.fixture
def store(tmp_path) -> Path:
    path = tmp_path / "results/train.h5"
    path.parent.mkdir()
    path.write_bytes(os.urandom(5000))
    return path


def test_a_copy_is_made_once_and_again_for_another_version(store, tmp_path, monkeypatch):
    monkeypatch.setattr(local_copies, "PIECE", 1024)
    copy = local_copy(store, tmp_path / "node")
    assert copy.parent == tmp_path / "node"
    assert (copy.suffix, copy.read_bytes()) == (".h5", store.read_bytes())
    written = copy.stat().st_mtime_ns
    assert local_copy(store, tmp_path / "node") == copy
    assert copy.stat().st_mtime_ns == written
    store.write_bytes(b"another")
    other = local_copy(store, tmp_path / "node")
    assert other.read_bytes() == b"another"
    assert sorted((tmp_path / "node").glob("*.h5*")) == [other]


def test_the_inputs_of_a_job_become_their_copies_in_a_folder_with_variables(store, tmp_path, monkeypatch):
    monkeypatch.setenv("NODE", str(tmp_path / "node"))
    inputs = SimpleNamespace(clips=str(store), test=[str(store)], weights="model.pt")
    use_local_copies(inputs, "$NODE/clips")
    copy = local_copy(store, tmp_path / "node/clips")
    assert vars(inputs) == {"clips": str(copy), "test": [str(copy)], "weights": "model.pt"}
    untouched = SimpleNamespace(clips=str(store), test=[])
    use_local_copies(untouched, "")
    assert untouched.clips == str(store)


@pytest.mark.parametrize("trouble", ["no folder", "full", "damaged"])
def test_without_a_good_copy_the_original_is_read(store, tmp_path, trouble, monkeypatch, caplog):
    node = tmp_path / "node"
    if trouble == "no folder":
        node.write_text("a file")
    elif trouble == "full":
        monkeypatch.setattr(local_copies, "_copy", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    else:
        monkeypatch.setattr(local_copies, "file_digest", lambda path: "another")
    assert local_copy(store, node) == store
    assert trouble == "no folder" or not list(node.glob("*.h5*"))
