"""Finds ffmpeg: the program, its version, and the correct ffmpeg-python module; and runs it within a time limit."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache

import ffmpeg
import imageio_ffmpeg

from pipeline_lib.errors import PipelineError

# ffmpeg 5.1 contains libavutil 57.28 and is the first with -fps_mode. Nightly builds have no release number, but they
# print that of libavutil.
OLDEST_LIBAVUTIL = (57, 28)
# For commands that take seconds at most. One that takes longer hangs: ffmpeg's threads can wait for each other.
LONGEST_SECONDS = 600.0
ATTEMPTS = 2

# "ffmpeg" on PyPI is another project than "ffmpeg-python"; both install a module of this name.
if not hasattr(ffmpeg, "merge_outputs"):
    raise PipelineError(
        f"The Python module ffmpeg at {ffmpeg.__file__} is not ffmpeg-python. "
        "Run: pip uninstall ffmpeg python-ffmpeg && pip install --force-reinstall ffmpeg-python"
    )


@cache
def ffmpeg_binary() -> str:
    """Path of the ffmpeg on PATH when it is 5.1 or newer, else of the one that imageio-ffmpeg contains.

    Raises PipelineError when there is neither.
    """
    system = shutil.which("ffmpeg")
    if system is not None and is_recent(banner(system)):
        return system
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        found = f"{system} is older than 5.1" if system else "there is no ffmpeg on PATH"
        raise PipelineError(
            f"No usable ffmpeg: {found} and imageio-ffmpeg has none for this machine. Install ffmpeg 5.1 or newer, "
            "or set the environment variable IMAGEIO_FFMPEG_EXE to its path."
        ) from error


@cache
def ffmpeg_version() -> str:
    """The version as the binary prints it, for example `5.1.9-0+deb12u1`."""
    words = banner(ffmpeg_binary()).split()
    return words[2] if len(words) > 2 else "unknown"


def banner(binary: str) -> str:
    """The output of `ffmpeg -version`; empty when it cannot run (missing libraries, another architecture)."""
    try:
        return subprocess.run([binary, "-version"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def is_recent(text: str) -> bool:
    """Whether this banner was printed by ffmpeg 5.1 or newer."""
    match = re.search(r"libavutil\s+(\d+)\.\s*(\d+)", text)
    return match is not None and (int(match[1]), int(match[2])) >= OLDEST_LIBAVUTIL


def piped(arguments: Sequence[str], content: bytes) -> bytes:
    """The output of ffmpeg for these arguments and an input on a pipe.

    A process that does not end is killed and started again, once: a job never waits for it without end.

    Raises:
        PipelineError: with ffmpeg's message, or that it did not end twice.
    """
    command = [ffmpeg_binary(), "-v", "error", "-nostdin", *arguments]
    for _ in range(ATTEMPTS):
        try:
            done = subprocess.run(command, input=content, capture_output=True, check=False, timeout=LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        if done.returncode:
            raise PipelineError(f"ffmpeg failed: {done.stderr.decode(errors='replace').strip()[-2000:]}")
        return done.stdout
    raise PipelineError(
        f"ffmpeg did not end within {LONGEST_SECONDS:.0f} s, {ATTEMPTS} times, and was killed: {command}"
    )
