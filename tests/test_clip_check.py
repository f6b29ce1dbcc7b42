"""`python -m pipeline_lib.clips check`, and `read_clip`."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline_lib.clips import read_clip
from pipeline_lib.clips.check import main
from pipeline_lib.clips.folders import clips_below
from pipeline_lib.clips.sampling import UniformStride
from pipeline_lib.errors import PipelineError
from videos import B_FRAMES, decode, encode


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("folder")
    (root / "a class").mkdir()
    encode(root / "a class/good.avi", *B_FRAMES)
    encode(root / "a class/deep.mkv", "-c:v", "libx264", "-pix_fmt", "yuv420p10le", frames=20)
    encode(root / "short.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p", frames=3)
    Image.new("RGB", (30, 20)).save(root / "image.png")
    (root / "text.avi").write_text("no video")
    for name in ("._good.avi", "Thumbs.db", "notes.txt"):
        (root / name).write_text("")
    return root


def test_every_clip_is_listed_with_what_is_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(folder)]) == 1
    words = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["OK", "41", "frames", "avi/mpeg4", "80x60", "yuv420p", "a", "class/good.avi"] in words
    assert ["OK", "20", "frames", "matroska/h264", "80x60", "yuv420p10le", "a", "class/deep.mkv"] in words
    assert ["10", "bits", "per", "channel,", "reduced", "to", "8"] in words
    assert ["SHORT", "3", "frames", "mov/h264", "80x60", "yuv420p", "short.mp4"] in words
    assert ["OK", "image", "image", "image.png"] in words
    assert ["FAILED", "1", "first:", "text.avi"] in words
    assert ["5", "files;", "1", "others", "have", "no", "ending", "of", "a", "video", "or", "image"] in words


def test_the_exit_status_is_0_where_every_clip_is_whole(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(folder / "a class"), "--only-wrong"]) == 0
    assert "good.avi" not in capsys.readouterr().out


@pytest.mark.parametrize(("words", "message"), [(["none"], "does not exist"), ([".", "--containers", "hls"], "hls")])
def test_a_wrong_call_is_named(
    tmp_path: Path, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.avi").touch()
    assert main(["check", *words]) == 2
    assert message in capsys.readouterr().out


def test_checking_never_loads_torch() -> None:
    code = "import sys, pipeline_lib.clips.check; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_hidden_files_are_no_clips(folder: Path) -> None:
    names = [str(path.relative_to(folder)) for path in clips_below(folder)]
    assert names == ["image.png", "short.mp4", "text.avi", "a class/deep.mkv", "a class/good.avi"]


def test_a_library_user_gets_the_clip_of_the_store(folder: Path) -> None:
    path = folder / "a class/good.avi"
    clip = read_clip(path, size=32, sampling=UniformStride(frames=8))
    [stored] = decode(path)
    assert clip.shape == (1, 3, 8, 32, 32)
    assert torch.equal(clip[0], torch.from_numpy(stored.frames.transpose(3, 0, 1, 2) / np.float32(255)))


def test_a_library_user_gets_an_image_as_one_frame(folder: Path) -> None:
    assert read_clip(folder / "image.png", size=16).shape == (1, 3, 1, 16, 16)


def test_a_file_without_a_clip_is_an_error(folder: Path) -> None:
    with pytest.raises(PipelineError, match="text.avi could not be decoded"):
        read_clip(folder / "text.avi")
