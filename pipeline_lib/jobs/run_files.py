"""What a run writes when it starts: its whole configuration, versions, machine and commit."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline_lib.jobs.runs import atomic_write
from pipeline_lib.provenance.repository import ROOT, commit, is_dirty

CONFIG, RUN = "config.yaml", "run.json"
PACKAGES = ("snakemake", "torch", "torchvision", "numpy", "pandas", "h5py", "pillow", "imageio-ffmpeg")
HEAD = """# The whole configuration of the last run that made results in this folder; it extends nothing.
# snakemake --cores all --configfile {} plans the same work.
"""
SECONDS = 10


def write_run_files(results: Path, config: Mapping[str, Any]) -> None:
    """Writes `config.yaml` and `run.json` into the folder of results."""
    import yaml

    text = yaml.safe_dump(json.loads(json.dumps(config)), sort_keys=False, allow_unicode=True, width=120)
    _write(results / CONFIG, HEAD.format(results / CONFIG) + text)
    _write(results / RUN, json.dumps(run_facts(), indent=1, ensure_ascii=False) + "\n")


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def run_facts() -> dict[str, Any]:
    """Versions, machine, and the git commit of the workflow, with whether its files differ from it (null: unknown)."""
    return {
        "versions": versions(),
        "machine": machine(),
        "git": {"commit": commit(ROOT), "dirty": is_dirty(ROOT)},
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the installed libraries that results depend on; nothing is loaded."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """System, processor, cores, memory in bytes and NVIDIA GPUs of the machine that the run was started on."""
    return {
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpus": gpus(),
    }


def processor() -> str:
    """The model of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def gpus() -> list[str]:
    """The names of the NVIDIA GPUs; none if their driver's program is missing or fails."""
    try:
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]
