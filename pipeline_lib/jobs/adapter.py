"""Shared by the adapters in `workflow/scripts`: warm start, log, error messages, device and threads."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.devices import reserved_gpus
from pipeline_lib.jobs.forcing import marked_by, marks
from pipeline_lib.jobs.kept_logs import kept_log, logging_after_earlier_runs
from pipeline_lib.jobs.local_copies import use_local_copies
from pipeline_lib.jobs.locks import waiting_at_most
from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.jobs.recording import recorded
from pipeline_lib.jobs.runs import STOPPED
from pipeline_lib.jobs.used import measured
from pipeline_lib.jobs.warm import leave, run_in_warm_process


@contextmanager
def job(snakemake: Any) -> Iterator[None]:
    """Runs an adapter's body: messages are written to the rule's log, an error is reported in one sentence.

    The body begins with the adapter's imports: in a warm process (`warm.py`) they cost nothing.
    """
    # Whether this process is an adapter that Snakemake runs as a script.
    adapter = hasattr(sys.modules["__main__"], "snakemake")
    if adapter:
        run_in_warm_process()
    identity, results = _identity(snakemake), Path(snakemake.config.get("results", "."))
    forced = marks(results) / identity["identity"] if identity else None
    with logging_after_earlier_runs(Path(snakemake.log[0]), kept_log(results, identity) if identity else None):
        try:
            with (
                reported_exits(f"rule {snakemake.rule}"),
                waiting_at_most(snakemake.config["lock_wait"]),
                reserved_gpus(int(snakemake.resources.get("gpu", 0)), snakemake.config["gpu_share"]),
                marked_by(forced),
                recorded(identity, results),
                measured(snakemake),
            ):
                use_local_copies(getattr(snakemake, "input", None), snakemake.config.get("local_copies", ""))
                yield
        except SystemExit as end:
            if end.code == STOPPED:  # a request to stop, after saving
                raise
            LOGGER.error(traceback.format_exc())
            _stop(f"rule {snakemake.rule}: {_last_call(end)} raised SystemExit({end.code!r}) before the work was done")
        except PipelineError as error:
            _stop(f"rule {snakemake.rule}: {error}")
        except Exception as error:
            if type(error).__name__ == "AcceleratorError":  # of torch, which may not be loaded
                _stop(f"rule {snakemake.rule}: the GPU failed; what is finished is kept: run again ({error})")
            LOGGER.error(traceback.format_exc())
            _stop(f"rule {snakemake.rule}: {type(error).__name__}: {error} (traceback in {snakemake.log[0]})")
    if adapter:
        leave()  # skips Python's own shutdown, which takes 0.8 s with torch


def _identity(snakemake: Any) -> Any:
    """What the results are made of; None for a rule without this parameter."""
    return getattr(getattr(snakemake, "params", None), "identity", None)


@contextmanager
def reported_exits(where: str) -> Iterator[None]:
    """Inside, `os._exit` of this process reports its caller and never exits with status 0: the work is not done."""
    leave_at_once, process = os._exit, os.getpid()

    def reported(status: int) -> NoReturn:
        if os.getpid() == process:  # not in a child process, which may end this way
            LOGGER.error("".join(traceback.format_stack()))
            caller = traceback.extract_stack()[-2]
            _report(f"{where}: {caller.filename}:{caller.lineno} called os._exit({status}) before the work was done")
            status = status or 1
        leave_at_once(status)

    os._exit = reported
    try:
        yield
    finally:
        os._exit = leave_at_once


def _last_call(error: BaseException) -> str:
    """File and line that raised an exception, without Python's own `exit()` and `quit()`."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "_sitebuiltins" not in frame.filename]
    return f"{frames[-1].filename}:{frames[-1].lineno}"


def _stop(message: str) -> None:
    _report(message)
    sys.exit(1)


def _report(message: str) -> None:
    LOGGER.error(message)
    print(f"\nError in {message}", file=sys.stderr, flush=True)


def torch_device(config: dict) -> Any:
    """The torch device of the configuration, with its number of CPU threads set.

    Device and number of threads do not change what a job computes: neither is a tracked parameter.
    """
    import torch

    torch.set_num_threads(int(config["threads"]))
    # Equivalent to `use_deterministic_algorithms`, which also loads torch's compiler (1.6 s).
    torch.set_deterministic_debug_mode("error")
    # Deterministic mode also fills every new tensor with NaN, to expose uninitialized reads: 5 % of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    wanted = config["device"]
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
        raise PipelineError(
            f"device: cuda is set, but torch finds no GPU (visible: {visible}); set device: cpu or auto"
        )
    return torch.device(wanted)
