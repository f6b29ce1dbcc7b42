"""Downloading the archive of a data set, from a server on this machine instead of the internet."""

import hashlib
import tarfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from pipeline_lib.clips.archives import Cifar10Archive
from pipeline_lib.errors import PipelineError


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "batches.meta.txt").write_text("airplane\n")
    with tarfile.open(tmp_path / "cifar.tar.gz", "w:gz") as file:
        file.add(tmp_path / "batches.meta.txt", "cifar-10-batches-bin/batches.meta.txt")
    return tmp_path / "cifar.tar.gz"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_archive_is_checked_and_unpacked(archive: Path, server: str, tmp_path: Path) -> None:
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    Cifar10Archive(url=f"{server}/cifar.tar.gz", md5=md5).download(tmp_path / "out")
    found = [path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert found == [Path("cifar-10-batches-bin/batches.meta.txt")]


def test_another_archive_is_refused(archive: Path, server: str, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"cifar\.tar\.gz could not be downloaded with md5 c32a1d4a.*as `root`"):
        Cifar10Archive(url=f"{server}/cifar.tar.gz").download(tmp_path / "out")
    assert not (tmp_path / "out/cifar-10-batches-bin").exists()


def test_an_archive_that_is_not_there_is_named(server: str, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"none\.tar\.gz could not be downloaded"):
        Cifar10Archive(url=f"{server}/none.tar.gz").download(tmp_path / "out")
