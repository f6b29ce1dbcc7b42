"""GPUs of this machine, reserved for jobs by locks: Snakemake limits the number of GPU jobs, but assigns no device."""

import getpass
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.locks import Release, holder_of, try_lock, wait_for


def gpu_count(root: Path = Path("/")) -> int:
    """The number of NVIDIA GPUs of this machine, without loading torch.

    Containers such as gVisor's lack the driver's folder, but have the devices. WSL2 has neither, so its GPUs cannot be
    counted: one, if the driver's library exists.
    """
    driver, devices = root.glob("proc/driver/nvidia/gpus/*"), root.glob("dev/nvidia[0-9]*")
    return len(list(driver)) or len(list(devices)) or int((root / "usr/lib/wsl/lib/libcuda.so.1").exists())


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as named in CUDA_VISIBLE_DEVICES; without it, all of the machine."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return [str(number) for number in range(gpu_count())]
    return [name.strip() for name in given.split(",") if name.strip() not in ("", "-1")]


def gpus_per_job(device: str, wanted: int = 1) -> int:
    """The number of GPUs that a rule requests: `wanted`, or 0 on the CPU."""
    return wanted if device == "cuda" or (device == "auto" and visible_gpus()) else 0


def check_limit(allowed: int | None, wanted: int) -> None:
    """Raises PipelineError if a job needs more GPUs than Snakemake's `--resources gpu` allows (None: no limit).

    Snakemake would lower the job's request to the limit without a message.
    """
    if allowed is not None and allowed < wanted:
        raise PipelineError(f"config: gpus is {wanted}, but only --resources gpu={allowed} is allowed: give more")


def oversubscription(allowed: int | None, device: str, gpu_share: int) -> str | None:
    """A warning if Snakemake may start more GPU jobs than fit on this machine's GPUs; the others would wait.

    allowed: Snakemake's `--resources gpu`; the default is the number of cores. gpu_share: jobs on one GPU at a time.
    """
    places = len(visible_gpus()) * gpu_share
    if not gpus_per_job(device) or not places or (allowed is not None and allowed <= places):
        return None
    given = "no --resources gpu" if allowed is None else f"--resources gpu={allowed}"
    return (
        f"{given} may start more GPU jobs than the {len(visible_gpus())} GPUs here fit with gpu_share {gpu_share}: "
        f"give --resources gpu={places}, or the others wait while holding memory"
    )


@contextmanager
def reserved_gpus(wanted: int, gpu_share: int = 1) -> Iterator[None]:
    """Reserves `wanted` GPUs for this job by locks that end with the process, and makes only them visible.

    Up to `gpu_share` jobs run on each GPU. The GPUs are chosen from those that the user or SLURM made visible.

    Raises:
        PipelineError: fewer than `wanted` GPUs are visible.
    """
    visible = visible_gpus()
    if not wanted or not gpu_count():
        yield
        return
    if len(visible) < wanted:
        raise PipelineError(f"{wanted} GPUs are needed, but only {len(visible)} are visible here: lower `gpus`")
    held = _lock(visible, wanted, gpu_share)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(held)
    try:
        yield
    finally:
        for release in held.values():
            release()


def _lock(names: list[str], wanted: int, gpu_share: int) -> dict[str, Release]:
    """GPU -> function that releases it, for `wanted` GPUs in their visible order; waits until so many are free."""
    # SLURM numbers the GPUs of each of its jobs from zero.
    pool = f"gpu-pool-{getpass.getuser()}-{os.environ.get('SLURM_JOB_ID', 'local')}"
    folder = Path(tempfile.gettempdir()) / pool
    folder.mkdir(mode=0o700, exist_ok=True)
    # Idle GPUs first, then those with other jobs.
    places = [
        (name, folder / f"gpu{name.replace('/', '_')}.{place}.lock") for place in range(gpu_share) for name in names
    ]

    def holders() -> str:
        return f"the GPUs are taken: {', '.join(f'{name} by {holder_of(path)}' for name, path in places)}"

    return wait_for(lambda: _try_places(places, wanted), holders)


def _try_places(places: list[tuple[str, Path]], wanted: int) -> dict[str, Release] | None:
    """Locks all of `wanted` GPUs or none, so that two jobs cannot deadlock."""
    held: dict[str, Release] = {}
    for name, path in places:
        if name not in held and len(held) < wanted:
            release = try_lock(path)
            held |= {name: release} if release else {}
    if len(held) == wanted:
        return held
    for release in held.values():
        release()
    return None
