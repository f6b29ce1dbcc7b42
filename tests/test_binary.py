import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline_lib import ffmpeg_binary as module
from pipeline_lib.errors import PipelineError
from pipeline_lib.ffmpeg_binary import banner, ffmpeg_binary, ffmpeg_version, is_recent, piped


@pytest.mark.parametrize(
    ("line", "recent"),
    [
        ("ffmpeg version 4.4.2-0ubuntu0.22.04.1\nlibavutil      56. 70.100 / 56. 70.100", False),
        ("ffmpeg version 5.0.1\nlibavutil      57. 17.100 / 57. 17.100", False),
        ("ffmpeg version 5.1.9-0+deb12u1\nlibavutil      57. 28.100 / 57. 28.100", True),
        ("ffmpeg version N-118000-gabcdef\nlibavutil      60.  8.100 / 60.  8.100", True),
        ("", False),
    ],
)
def test_recent_is_5_1_and_newer(line: str, recent: bool) -> None:
    assert is_recent(line) is recent


def test_the_binary_found_is_recent() -> None:
    assert is_recent(banner(ffmpeg_binary()))
    assert ffmpeg_version() in banner(ffmpeg_binary())


def test_an_old_ffmpeg_on_the_path_is_passed_over(tmp_path: Path) -> None:
    old = tmp_path / "ffmpeg"
    old.write_text("#!/bin/sh\necho 'ffmpeg version 4.4'\necho 'libavutil 56. 70.100'\n")
    old.chmod(0o755)
    code = "from pipeline_lib.ffmpeg_binary import ffmpeg_binary; print(ffmpeg_binary())"
    environment = os.environ | {"PATH": f"{tmp_path}:/bin:/usr/bin"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() not in ("", str(old))


def test_a_module_of_the_same_name_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "ffmpeg.py").write_text("def run(): ...\n")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", "import pipeline_lib.ffmpeg_binary"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert f"PipelineError: The Python module ffmpeg at {tmp_path}/ffmpeg.py is not ffmpeg-python" in done.stderr


def hanging_until(count: int, folder: Path) -> str:
    """A program that hangs at its first `count` starts, then copies its input."""
    path = folder / "ffmpeg"
    path.write_text(
        f"#!/bin/sh\necho >> {folder}/starts\n[ $(wc -l < {folder}/starts) -gt {count} ] || exec sleep 600\nexec cat\n"
    )
    path.chmod(0o755)
    return str(path)


def test_an_ffmpeg_that_hangs_is_killed_and_started_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ffmpeg_binary", lambda: hanging_until(1, tmp_path))
    monkeypatch.setattr(module, "LONGEST_SECONDS", 0.5)
    assert piped([], b"frames") == b"frames"
    assert (tmp_path / "starts").read_text() == "\n" * 2


def test_one_that_hangs_again_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ffmpeg_binary", lambda: hanging_until(2, tmp_path))
    monkeypatch.setattr(module, "LONGEST_SECONDS", 0.2)
    with pytest.raises(PipelineError, match="ffmpeg did not end within 0 s, 2 times, and was killed"):
        piped([], b"")
