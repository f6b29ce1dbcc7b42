"""Warm start of jobs: a fork of a process that has already loaded torch, matplotlib and this package.

Loading them takes 2 s or more in each of the hundreds of processes that Snakemake starts. So a workflow starts one
warm process, which ends with it; a job runs its script in a fork of that process and waits. Without one (on another
machine, in another environment), the job imports the packages itself, with the same result.
"""

import gc
import importlib
import json
import os
import runpy
import select
import shutil
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

from pipeline_lib.jobs.connections import exactly
from pipeline_lib.jobs.memory import status_of

# In the environment of a workflow's jobs: the Python of the warm process, and its socket.
VARIABLE = "PIPELINE_LIB_WARM"
PRELOADED = (
    "pipeline_lib.training.job",
    "pipeline_lib.evaluation.adversarial",
    "pipeline_lib.evaluation.prediction",
    "pipeline_lib.reporting.gallery",
    "pipeline_lib.reporting.style",
    "pipeline_lib.reporting.tables",
    "torch._dynamo",  # otherwise loaded by the first optimizer of a process, in 1 s
)
STANDARD_STREAMS = (0, 1, 2)
FINISHED = 87  # the exit status of a fork whose script ran to its end: code that ends the process earlier may use 0
_end_of_script = [0]
REQUESTS = (signal.SIGINT, signal.SIGTERM)
_started: list[subprocess.Popen] = []
_preloaded_files = [0]  # KiB of files, mostly libraries, that the warm process has mapped; known in its forks


def start() -> None:
    """Starts the warm process, from Snakemake's process. It ends with the latter: its standard input closes."""
    if sys.platform != "linux":  # on other systems libraries fail after a fork
        return
    # A socket's path has at most 107 characters, which the temporary folders of clusters exceed.
    folder = tempfile.gettempdir() if len(tempfile.gettempdir()) < 80 else "/tmp"
    remove_left(Path(folder))
    address = str(Path(tempfile.mkdtemp(prefix=f"warm-{os.getpid()}-", dir=folder), "socket"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)  # from now on jobs can connect, and wait for the end of its imports
        number = listener.fileno()
        command = [sys.executable, "-c", "from pipeline_lib.jobs.warm import serve; serve()", str(number), address]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        quiet: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        _started.append(subprocess.Popen(command, pass_fds=[number], env=environment, **quiet))
    os.environ[VARIABLE] = json.dumps([sys.prefix, address])


def remove_left(folder: Path) -> None:
    """Removes the folders of killed workflows: their names have the number of a process that has ended."""
    for left in folder.glob("warm-*-*"):
        number = left.name.split("-")[1]
        if number.isdigit() and not Path(f"/proc/{number}").exists():
            shutil.rmtree(left, ignore_errors=True)  # another user's stays


def disable() -> None:
    """Disables the warm start for a job on another machine than the workflow, or with other resources."""
    os.environ.pop(VARIABLE, None)


def serve() -> None:
    """The main function of the warm process."""
    for request in REQUESTS:  # handled by the jobs and the workflow
        signal.signal(request, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # avoids zombie processes
    address = Path(sys.argv[2])
    with socket.socket(fileno=int(sys.argv[1])) as listener:
        for name in PRELOADED:
            importlib.import_module(name)
        gc.freeze()
        _preloaded_files[0] = status_of("RssFile")
        while select.select([listener, sys.stdin], [], [])[0] == [listener]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _supervise(connection)
            connection.close()
    address.unlink()
    address.parent.rmdir()


def preloaded_files() -> int:
    """KiB of files that the process had mapped of which this one is a fork; 0 if it is none."""
    return _preloaded_files[0]


def _supervise(connection: socket.socket) -> NoReturn:
    """Runs one job in a fork, reports its exit status, and ends it if the client process dies."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    head, streams, _, _ = socket.recv_fds(connection, 4, len(STANDARD_STREAMS))
    request = json.loads(exactly(connection, int.from_bytes(head)))
    job = os.fork()
    if job == 0:
        connection.close()
        _run_script(request, streams)
    with suppress(OSError):  # a client that has already died is handled below
        connection.sendall(job.to_bytes(4))
    threading.Thread(target=_end_with_client, args=(connection, job), daemon=True).start()
    _, status = os.waitpid(job, 0)
    with suppress(OSError):
        connection.sendall(status.to_bytes(4))
    os._exit(0)


def _end_with_client(connection: socket.socket, job: int) -> None:
    with suppress(ConnectionError):
        connection.recv(1)  # returns only when the client closes it
    with suppress(ProcessLookupError):
        os.kill(job, signal.SIGKILL)


def _run_script(request: dict[str, Any], streams: list[int]) -> NoReturn:
    """Runs the client's script in this process, with the client's streams, folder and environment."""
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
    """Ends the process of a script at once; 0 means that the script ran to its end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status or _end_of_script[0])


def run_in_warm_process() -> None:
    """Runs the script of this process in a fork of the warm one and ends with its status; returns if there is none."""
    python, address = json.loads(os.environ.pop(VARIABLE, "[null, null]"))
    if python != sys.prefix:
        return
    with socket.socket(socket.AF_UNIX) as connection:
        signal.pthread_sigmask(signal.SIG_BLOCK, REQUESTS)  # they wait for a job that they can be passed on to
        try:
            connection.connect(address)
            _send_request(connection)
            job = int.from_bytes(exactly(connection, 4))
            signal.signal(signal.SIGTERM, lambda *_: _pass_on(job))
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        except (OSError, EOFError):
            return
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, REQUESTS)
        _end_as(_status(connection))


def _pass_on(job: int) -> None:
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(job, signal.SIGTERM)


def _status(connection: socket.socket) -> int:
    """The job's exit status; that of SIGKILL if its supervising process was killed."""
    try:
        return os.waitstatus_to_exitcode(int.from_bytes(exactly(connection, 4)))
    except (OSError, EOFError):
        return -signal.SIGKILL


def _send_request(connection: socket.socket) -> None:
    request = {"arguments": sys.argv, "path": sys.path, "folder": str(Path.cwd()), "environment": dict(os.environ)}
    content = json.dumps(request).encode()
    socket.send_fds(connection, [len(content).to_bytes(4)], STANDARD_STREAMS)
    connection.sendall(content)


def _end_as(status: int) -> NoReturn:
    """Ends this process with the job's status. A negative status is a signal: this process ends by the same one."""
    if status == 0:
        message = "something ended the process with status 0 before its work was done"
        print(f"\nError: {message}", file=sys.stderr, flush=True)
        os._exit(1)
    if status == FINISHED:
        os._exit(0)
    if status < 0:
        with suppress(OSError):  # the handler of SIGKILL cannot be reset
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)
