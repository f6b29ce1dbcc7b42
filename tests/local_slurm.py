"""A private SLURM of one node below one folder, with fake GPUs: Debian's slurm-wlm and munge, no accounting.

Nothing outside the folder is touched, so several can run at once. Try it with `python tests/local_slurm.py`.
"""

import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

# sacct is not used, but the plugin calls it to guess an account.
COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sacct")
NULL_DEVICE = os.makedev(1, 3)
# Before a command: it ends with the process that started it, even if that one is killed.
MORTAL = ("setpriv", "--pdeathsig=KILL")

# `config_overrides` lets the node have more cores and memory than the machine: most of a job is waiting.
# No cgroups: they need privileges that containers lack. MinJobAge: finished jobs can be asked about for an hour.
# For `more`: without cgroups, too, a job that takes more memory than it asked for is ended.
MEMORY_LIMITS = """\
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
"""
SLURM_CONF = """\
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
PlugStackConfig={folder}/plugstack.conf
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1
SlurmdParameters=config_overrides
MinJobAge=3600
KillWait=5
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 Port={node_port} CPUs={cpus} RealMemory={memory_mb} Gres=gpu:fake:{gpus}
PartitionName=cpu Nodes={host} Default=YES State=UP
PartitionName=gpu Nodes={host} State=UP
"""


def lacking() -> str | None:
    """What this machine lacks for a private SLURM, and how to get it; None if nothing."""
    if os.geteuid() != 0:
        return "only root may make the fake GPUs (mknod)"
    absent = [command for command in COMMANDS if not shutil.which(command)]
    if absent:
        return f"{', '.join(absent)} not on PATH: apt-get install slurm-wlm munge"
    return None


@contextmanager
def local_slurm(
    folder: Path, *, cpus: int = 4, memory_mb: int = 64_000, gpus: int = 2, more: str = ""
) -> Iterator[dict[str, str]]:
    """The environment in which SLURM's commands reach a SLURM that lives as long as the context, its jobs included.

    more: further lines of its configuration.

    Raises:
        RuntimeError: the machine lacks something, or a daemon did not start (with the end of its log).
    """
    reason = lacking()
    if reason:
        raise RuntimeError(f"no private SLURM on this machine: {reason}")
    folder = folder.resolve()
    host = socket.gethostname().partition(".")[0]
    _write_files(folder, host, cpus=cpus, memory_mb=memory_mb, gpus=gpus)
    with (folder / "slurm.conf").open("a") as file:
        file.write(more)
    environment = os.environ | {"SLURM_CONF": f"{folder}/slurm.conf", "PATH": f"{folder}/bin:{os.environ['PATH']}"}
    daemons: list[subprocess.Popen] = []

    def start(*command: str, ready: Callable[[], bool]) -> None:
        log = folder / f"{command[0]}.log"
        daemons.append(_daemon(command, log, environment))
        _wait(ready, daemons[-1], log)

    try:
        start("munged", "--foreground", "--force", *_munge_options(folder), ready=(folder / "munge.socket").exists)
        start("slurmctld", "-D", ready=lambda: _ask(environment, "scontrol", "ping").endswith("UP"))
        start("slurmd", "-D", "-N", host, ready=lambda: _ask(environment, "sinfo", "-ho", "%t").startswith("idle"))
        yield environment
    finally:
        _kill_all(folder)
        for daemon in daemons:
            daemon.wait()


def _write_files(folder: Path, host: str, *, cpus: int, memory_mb: int, gpus: int) -> None:
    for name in ("state", "spool", "bin", "gpus"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    controller_port, node_port = _free_ports(2)
    values = {"controller_port": controller_port, "node_port": node_port}
    values |= {"folder": folder, "host": host, "cpus": cpus, "memory_mb": memory_mb, "gpus": gpus}
    (folder / "slurm.conf").write_text(SLURM_CONF.format(**values))
    (folder / "gres.conf").write_text(f"Name=gpu Type=fake File={folder}/gpus/nvidia[0-{gpus - 1}]\n")
    (folder / "plugstack.conf").touch()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o600)
    # SLURM sets CUDA_VISIBLE_DEVICES for devices only, not for plain files; their names end with the index.
    for index in range(gpus):
        os.mknod(folder / f"gpus/nvidia{index}", stat.S_IFCHR | 0o666, NULL_DEVICE)
    # The plugin takes SLURM_CONF from the environment of its inner srun, which would then look into /etc/slurm.
    srun = folder / "bin/srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
    srun.chmod(0o755)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _munge_options(folder: Path) -> list[str]:
    names = {"key-file": "key", "socket": "socket", "pid-file": "pid", "seed-file": "seed", "log-file": "log"}
    return [f"--{option}={folder}/munge.{ending}" for option, ending in names.items()]


def _daemon(command: tuple[str, ...], log: Path, environment: dict[str, str]) -> subprocess.Popen:
    """A process of its own session: Ctrl-C at the tests must not end it before its jobs."""
    with log.open("w") as file:
        return subprocess.Popen(
            [*MORTAL, *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )


def _wait(ready: Callable[[], bool], daemon: subprocess.Popen, log: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if daemon.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{log.stem} did not start: {log}\n{log.read_text()[-2000:]}")
        time.sleep(0.1)


def _ask(environment: dict[str, str], *command: str) -> str:
    """What a command says; nothing if it fails."""
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def _kill_all(folder: Path, seconds: float = 30) -> None:
    """Ends all that was started in the environment of this SLURM: daemons, jobs and what an aborted test left behind.

    None of them has anything to save; asked politely, some jobs would stay for half a minute.
    """
    mark = f"SLURM_CONF={folder}/slurm.conf".encode()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        marked = [path for path in Path("/proc").glob("[0-9]*/environ") if mark in _content(path).split(b"\0")]
        if not marked:
            return
        for path in marked:
            with suppress(ProcessLookupError):
                os.kill(int(path.parent.name), signal.SIGKILL)
        time.sleep(0.1)


def _content(path: Path) -> bytes:
    """The content of a file of /proc; nothing if its process has ended meanwhile."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch, local_slurm(Path(scratch)) as slurm:
        subprocess.run(["sinfo"], env=slurm, check=True)
        subprocess.run(["srun", "--gpus=2", "sh", "-c", "echo visible: $CUDA_VISIBLE_DEVICES"], env=slurm, check=True)
