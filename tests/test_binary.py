import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline_lib.ffmpeg_binary import banner, ffmpeg_binary, ffmpeg_version, is_recent


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
