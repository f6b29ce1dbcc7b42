"""The end of the commands `python -m pipeline_lib...`."""

import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn


def exit_with(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Calls a command with the arguments of this process, and exits with its status.

    If the reader of its output has ended, as `head` does, it exits without a message, with the status of a process that
    such a pipe has ended.
    """
    try:
        status = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_has_ended():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes what is left at its end
        status = 128 + signal.SIGPIPE
    sys.exit(status)


def _reader_has_ended() -> bool:
    """Whether standard output is a pipe that nobody reads: another pipe may have been the broken one."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)  # errors only
    return bool(output.poll(0))
