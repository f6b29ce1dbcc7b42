"""The ends of commands: their status, and silence when nobody reads their output any more."""

import signal
import subprocess
import sys

import pytest

COMMAND = """
from pipeline_lib.commands import exit_with
exit_with(lambda arguments: print("a line\\n" * int(arguments[0])) or 3)
"""


def started(times: int) -> subprocess.Popen:
    """A command that prints a line so many times, and exits with status 3."""
    call = [sys.executable, "-c", COMMAND, str(times)]
    return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_command_exits_with_its_status():
    process = started(2)
    assert process.communicate() == ("a line\na line\n\n", "")
    assert process.returncode == 3


@pytest.mark.parametrize("times", [1, 100_000])
def test_a_command_whose_reader_has_ended_is_silent(times):
    """Few lines are written at the end of the process only, many before."""
    process = started(times)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 128 + signal.SIGPIPE
    process.stderr.close()


def test_an_error_of_another_pipe_is_reported():
    code = "from pipeline_lib.commands import exit_with\ndef main(arguments): raise BrokenPipeError\nexit_with(main)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 1
    assert "BrokenPipeError" in process.stderr
