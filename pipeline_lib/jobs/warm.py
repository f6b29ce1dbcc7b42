"""Jobs that start warm: forked from a process that has loaded torch, matplotlib and this package already.

Loading them takes 2 s and more in each of the hundreds of processes that Snakemake starts. So a workflow starts one
process more, which ends with it; a job hands its script over to a fork of that process and waits. Where there is none
to be had (another machine, another environment), the job loads what it needs, with the same result.
"""

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

# In the environment of a workflow's jobs: which Python is warm, and the socket where it waits.
VARIABLE = "PIPELINE_LIB_WARM"
PRELOADED = (
    "pipeline_lib.training.job",
    "pipeline_lib.evaluation.adversarial",
    "pipeline_lib.evaluation.prediction",
    "pipeline_lib.reporting.gallery",
    "pipeline_lib.reporting.style",
    "pipeline_lib.reporting.tables",
    "torch._dynamo",  # the first optimizer of a process would load it, for a second
)
STANDARD_STREAMS = (0, 1, 2)
# The exit status of a fork whose script came to its end: 0 is that of code which ended the process before.
FINISHED = 87
_end_of_script = [0]
REQUESTS = (signal.SIGINT, signal.SIGTERM)
_started: list[subprocess.Popen] = []


def start() -> None:
    """Called where Snakemake runs. The process ends when this one does: the pipe to its standard input closes."""
    if sys.platform != "linux":  # elsewhere libraries break in a fork
        return
    # A socket's path has at most 107 characters, which the temporary folders of clusters exceed.
    folder = tempfile.gettempdir() if len(tempfile.gettempdir()) < 80 else "/tmp"
    address = str(Path(tempfile.mkdtemp(prefix="warm-", dir=folder), "socket"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)  # from now on jobs wait for it, however long its imports take
        number = listener.fileno()
        command = [sys.executable, "-c", "from pipeline_lib.jobs.warm import serve; serve()", str(number), address]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        quiet: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        _started.append(subprocess.Popen(command, pass_fds=[number], env=environment, **quiet))
    os.environ[VARIABLE] = json.dumps([sys.prefix, address])


def forget() -> None:
    """Called where a job is on another machine than the workflow, or has another share of this one."""
    os.environ.pop(VARIABLE, None)


def serve() -> None:
    """The main function of the warm process."""
    for request in REQUESTS:  # they reach the jobs, and end the workflow
        signal.signal(request, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # leaves no zombies
    address = Path(sys.argv[2])
    with socket.socket(fileno=int(sys.argv[1])) as listener:
        for name in PRELOADED:
            importlib.import_module(name)
        gc.freeze()
        while select.select([listener, sys.stdin], [], [])[0] == [listener]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _guard(connection)
            connection.close()
    address.unlink()
    address.parent.rmdir()


def _guard(connection: socket.socket) -> NoReturn:
    """Runs one job in a fork, tells its end, and ends it when the process that asked for it dies."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    head, streams, _, _ = socket.recv_fds(connection, 4, len(STANDARD_STREAMS))
    request = json.loads(_exactly(connection, int.from_bytes(head)))
    job = os.fork()
    if job == 0:
        connection.close()
        _become(request, streams)
    with suppress(OSError):  # a client that has died already is noticed below
        connection.sendall(job.to_bytes(4))
    threading.Thread(target=_end_with_client, args=(connection, job), daemon=True).start()
    _, status = os.waitpid(job, 0)
    with suppress(OSError):
        connection.sendall(status.to_bytes(4))
    os._exit(0)


def _exactly(connection: socket.socket, size: int) -> bytes:
    """Raises EOFError when the other side ended before."""
    content = b""
    while len(content) < size:
        part = connection.recv(size - len(content))
        if not part:
            raise EOFError
        content += part
    return content


def _end_with_client(connection: socket.socket, job: int) -> None:
    with suppress(ConnectionError):
        connection.recv(1)  # it never sends anything more
    with suppress(ProcessLookupError):
        os.kill(job, signal.SIGKILL)


def _become(request: dict[str, Any], streams: list[int]) -> NoReturn:
    """Turns this process into the one that asked: its streams, folder, environment and script."""
    _end_of_script[0] = FINISHED
    for stream, standard in zip(streams, STANDARD_STREAMS, strict=True):
        os.dup2(stream, standard)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv[:], sys.path[:] = request["arguments"], request["path"]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    status = 1
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        leave(status)


def leave(status: int = 0) -> NoReturn:
    """Ends the process of a script at once; 0 says that the script came to its end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status or _end_of_script[0])


def hand_over() -> None:
    """Runs the script of this process in a fork of the warm one, and ends as it ended; returns where there is none."""
    python, address = json.loads(os.environ.pop(VARIABLE, "[null, null]"))
    if python != sys.prefix:
        return
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(address)
            _ask(connection)
            job = int.from_bytes(_exactly(connection, 4))
        except (OSError, EOFError):
            return
        signal.signal(signal.SIGTERM, lambda *_: _pass_on(job))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _end_as(_status(connection))


def _pass_on(job: int) -> None:
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(job, signal.SIGTERM)


def _status(connection: socket.socket) -> int:
    """How the job ended; killed, if the process that watches over it was."""
    try:
        return os.waitstatus_to_exitcode(int.from_bytes(_exactly(connection, 4)))
    except (OSError, EOFError):
        return -signal.SIGKILL


def _ask(connection: socket.socket) -> None:
    request = {"arguments": sys.argv, "path": sys.path, "folder": str(Path.cwd()), "environment": dict(os.environ)}
    content = json.dumps(request).encode()
    socket.send_fds(connection, [len(content).to_bytes(4)], STANDARD_STREAMS)
    connection.sendall(content)


def _end_as(status: int) -> NoReturn:
    """A negative status is the signal that ended the job: this process ends by the same one."""
    if status == 0:
        message = "something ended the process with status 0 before its work was done"
        print(f"\nError: {message}", file=sys.stderr, flush=True)
        os._exit(1)
    if status == FINISHED:
        os._exit(0)
    if status < 0:
        with suppress(OSError):  # SIGKILL has no handler to take away
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)
