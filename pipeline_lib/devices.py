"""GPUs of this machine, one for each job: Snakemake limits how many GPU jobs run, but assigns no device."""

import fcntl
import getpass
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def gpu_count() -> int:
    """The number of NVIDIA GPUs of this machine, without loading torch."""
    return sum(1 for _ in Path("/proc/driver/nvidia/gpus").glob("*"))


def gpus_per_job(device: str) -> int:
    """What a GPU rule asks for: one, or none where the device is the CPU."""
    return int(device == "cuda" or (device == "auto" and gpu_count() > 0))


@contextmanager
def reserved_gpu(wanted: int) -> Iterator[None]:
    """Keeps one GPU for this job by a lock that ends with the process, and makes it the only visible one.

    Nothing to do without a GPU, under SLURM, or where the user chose the device: they assign it themselves.
    """
    if not wanted or not gpu_count() or {"CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID"} & os.environ.keys():
        yield
        return
    os.environ["CUDA_VISIBLE_DEVICES"] = str(_lock_one(gpu_count()))
    yield


def _lock_one(count: int) -> int:
    """The number of the first free GPU; its lock stays open until the process ends."""
    folder = Path(tempfile.gettempdir()) / f"gpu-pool-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    files = [os.open(folder / f"gpu{i}.lock", os.O_CREAT | os.O_RDWR, 0o600) for i in range(count)]
    while True:
        for index, file in enumerate(files):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return index
            except BlockingIOError:
                continue
        time.sleep(0.2)
