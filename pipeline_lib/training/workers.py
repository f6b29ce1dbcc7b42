"""Starts the processes of a data-parallel training, waits for them, and ends all when one dies."""

import importlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import distributed

from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.adapter import torch_device
from pipeline_lib.jobs.logs import LOGGER, logging_to
from pipeline_lib.jobs.runs import STOPPED
from pipeline_lib.training.processes import MicroBatchTooLargeError, Processes

# Timeout of one exchange between processes. The parent detects a dead process at once; the timeout detects one that
# hangs, and has to be longer than reading a batch or writing a checkpoint on a slow disk.
EXCHANGE_TIMEOUT = timedelta(minutes=10)
REFUSED = 2  # the exit status of a process that ended with a PipelineError
EXCHANGE_FAILED = 3  # and of one whose exchange with the others failed
TOO_LARGE = 4  # and of one whose memory is too small


def run_in_processes(
    target: str, arguments: dict[str, Any], *, count: int, device: torch.device, stop: Callable[[], bool]
) -> None:
    """Calls `target` (module:function) in `count` processes, with the plain `arguments`, `device` and `processes`.

    Raises:
        PipelineError: one of them failed or was killed; the others were ended. MicroBatchTooLargeError, if its memory
        was too small.
        SystemExit: 143, if `stop` returned True and all have saved their state.
    """
    with tempfile.TemporaryDirectory(prefix="processes-") as folder:
        call = {"target": target, "arguments": arguments, "count": count, "device": device.type}
        call |= {"threads": torch.get_num_threads(), "log": _log_file(), "folder": folder}
        workers = [_start(call | {"rank": rank}) for rank in range(count)]
        try:
            _wait(workers, Path(folder), stop)
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()


def _log_file() -> str:
    files = [handler.baseFilename for handler in LOGGER.handlers if isinstance(handler, logging.FileHandler)]
    return files[0] if files else os.devnull


def _start(call: dict[str, Any]) -> subprocess.Popen:
    # The pipe to its standard input is open until this process ends.
    # faulthandler writes where in Python a process is that is aborted by its libraries.
    work = "from pipeline_lib.training.workers import work; work()"
    command = [sys.executable, "-X", "faulthandler", "-c", work, json.dumps(call)]
    with _errors(Path(call["folder"]), call["rank"]).open("w") as errors:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stderr=errors,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])},
        )


def _errors(folder: Path, rank: int) -> Path:
    return folder / f"errors{rank}"


def _wait(workers: list[subprocess.Popen], folder: Path, stop: Callable[[], bool]) -> None:
    """Waits until all have ended; forwards a request to stop to them, once."""
    asked = False
    while True:
        statuses = [worker.poll() for worker in workers]
        if asked:  # a process that has not started training ends by the signal itself
            statuses = [STOPPED if status == -signal.SIGTERM else status for status in statuses]
        if any(status not in (None, 0, STOPPED) for status in statuses):
            time.sleep(0.5)  # the others fail shortly after the first error
            raise _failure([worker.poll() for worker in workers], folder)
        if None not in statuses:
            break
        if stop() and not asked:
            asked = True
            for worker in workers:
                worker.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    if STOPPED in statuses:
        raise SystemExit(STOPPED)


def _failure(statuses: list[int | None], folder: Path) -> PipelineError:
    """The error that caused those of the other processes."""
    failed = {rank: status for rank, status in enumerate(statuses) if status not in (None, 0, STOPPED)}
    rank, status = min(failed.items(), key=lambda item: _order(item[1]))
    texts = {rank: _errors(folder, rank).read_text(errors="replace").strip() for rank in failed}
    if status in (REFUSED, TOO_LARGE):
        kind = MicroBatchTooLargeError if status == TOO_LARGE else PipelineError
        return kind(texts[rank].splitlines()[-1])
    for other, text in texts.items():
        LOGGER.error("process %d:\n%s", other + 1, text)
    how = f"was killed by signal {-status}" if status and status < 0 else f"failed: {texts[rank].splitlines()[-1:]}"
    return PipelineError(
        f"process {rank + 1} of the {len(statuses)} that train together {how}; the others were ended. The last "
        "checkpoint is kept: run again"
    )


def _order(status: int) -> int:
    """Sort key, causes before consequences: processes that wait for an ended one fail too, or are aborted by NCCL."""
    if status in (REFUSED, TOO_LARGE):
        return 0
    if status < 0:
        return 3 if status == -signal.SIGABRT else 1
    return 4 if status == EXCHANGE_FAILED else 2


def work() -> None:
    """The main function of one process."""
    call = json.loads(sys.argv[1])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    rank, device = call["rank"], torch_device({"device": call["device"], "threads": call["threads"]})
    if device.type == "cuda":
        device = torch.device("cuda", rank)
        torch.cuda.set_device(device)
    module, _, name = call["target"].partition(":")
    log = call["log"] if rank == 0 else os.devnull
    processes = Processes(rank, call["count"])
    try:
        with logging_to(Path(log)), _group(processes, Path(call["folder"]), device):
            getattr(importlib.import_module(module), name)(**call["arguments"], device=device, processes=processes)
    except BaseException as error:
        _leave(error)
    _leave(None)


def _leave(error: BaseException | None) -> NoReturn:
    """Ends this process at once, without the interpreter's own end: after an error, destroying the group may wait for
    processes that wait for this one; and gloo's threads abort the process if they release a tensor during that end
    (https://github.com/pytorch/pytorch/pull/179291)."""
    status = 0 if error is None else _status(error)
    if isinstance(error, PipelineError):
        print(" ".join(str(error).split()), file=sys.stderr)
    elif status not in (0, STOPPED):
        traceback.print_exception(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _status(error: BaseException) -> int:
    if isinstance(error, SystemExit) and error.code == STOPPED:
        return STOPPED
    if isinstance(error, PipelineError):
        return TOO_LARGE if isinstance(error, MicroBatchTooLargeError) else REFUSED
    return EXCHANGE_FAILED if isinstance(error, distributed.DistError) or "by peer" in str(error) else 1


def _end_with_parent() -> None:
    """Ends this process when its parent dies, which closes the pipe: an orphan would train beside its replacement."""
    os.read(0, 1)
    os._exit(1)


@contextmanager
def _group(processes: Processes, folder: Path, device: torch.device) -> Iterator[None]:
    """Inside, processes can exchange tensors. They connect through a file, so that no free port is needed."""
    if Path("/sys/class/net/lo").exists():
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=f"file://{folder}/meeting",
        rank=processes.rank,
        world_size=processes.count,
        timeout=EXCHANGE_TIMEOUT,
    )
    yield
    distributed.destroy_process_group()  # not after an error: see `_leave`
