"""The workflow on a real SLURM: a private one of one node, with fake GPUs."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from configured import CONFIG
from local_slurm import MORTAL, lacking, local_slurm
from pipeline_lib.jobs.devices import gpu_count

ROOT = Path(__file__).parents[1]
# Small enough for seconds, long enough to be canceled in the middle.
LONG_TRAINING = {"training": {"scratch": {"epochs": 200}}}
MODEL = "results/synthetic/models/standard-s0.pt"
LOG = "results/synthetic/logs/train/standard-s0.log"
# Every rule, and every table of videos of the demo, with fewer columns and rows (56 cluster jobs, not 214): whatever a
# SLURM job does, it starts Snakemake twice and loads torch, about ten seconds of a core.
OTHERS = dict.fromkeys(["AT-ROA", "AT-AF", "AT-SPA", "TRADES", "AVG", "MAX", "MSD"])
FEWER_COLUMNS = {"columns": {"af": None, "spa": None}}
OTHER_TYPES = dict.fromkeys(["l2", "roa", "spa"])
DENOISING = dict.fromkeys(f"R3D18+{kind}Denoise {how}" for kind in ("3D", "2D") for how in ("Mult", "Add"))
FEWER = {
    "attacks": {"universal": {"method": "universal_framing", "width": 1, "learning": {"method": "adam", "epochs": 1}}},
    "studies": {
        "multibn_white_box": FEWER_COLUMNS | {"rows": OTHERS | {"MultiBN-manual": {"af": None, "spa": None}}},
        "multibn_black_box": FEWER_COLUMNS | {"rows": OTHERS},
        "multibn_branches": FEWER_COLUMNS,
        "multibn_selection": FEWER_COLUMNS,
        "multav": {
            "reference": None,
            "columns": OTHER_TYPES,
            "rows": DENOISING | {"R3D18 Mult": OTHER_TYPES, "R3D18 Add": OTHER_TYPES},
        },
        "oudefend": {"rows": dict.fromkeys(["Xie-A", "Xie-B", "Spatio-temporal denoising, one epoch"])},
        "networks": None,
        "variants": None,
        "multibn_images": None,
        "halftone": None,
    },
    "figures": {
        "perturbations_examples": {"attacks": ["pgd", "universal"]},
        "perturbations_shapes": None,
        "perturbations_multav": None,
        "iterations_pgd": {"rows": {"MultiBN": None}},
        "features_halftone": {"rows": dict.fromkeys(["Halftoning ST", "Vanilla AT", "Halftoning AT"])},
        "masking_shapes": None,
    },
}
DEMO = CONFIG["studies"]
STUDIES = [name for name in DEMO if FEWER["studies"].get(name, {}) is not None]
TABLES = {f"{name}.{ending}" for name in (*STUDIES, "audit", "claims") for ending in ("csv", "md", "tex", "html")} | {
    "opening.rst",
    "front.rst",
}
CLUSTER_RULES = {"render", "decode", "train", "attack", "learn", "predict_clean", "predict_transfer"} | {
    "features",
    "feature_maps",
}
# The profile's values are for jobs of hours.
IMPATIENT = ["--slurm-init-seconds-before-status-checks", "3", "--seconds-between-status-checks", "3"]

# With REQUIRE_SLURM they fail without one: where it has to be there, nobody would notice that they are left out.
LEFT_OUT = lacking() is not None and not os.environ.get("REQUIRE_SLURM")
pytestmark = [pytest.mark.slurm, pytest.mark.skipif(LEFT_OUT, reason=f"no private SLURM: {lacking()}")]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory) -> Iterator[dict[str, str]]:
    with local_slurm(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with a model that was trained without SLURM and without a break."""
    folder = tmp_path_factory.mktemp("trained")
    succeed(command(folder, LONG_TRAINING, "--cores", "2", MODEL))
    return folder


@pytest.fixture
def untrained(trained, tmp_path) -> Path:
    """The same folder before the training: the clips are there."""
    folder = tmp_path / "untrained"
    shutil.copytree(trained, folder)
    shutil.rmtree(folder / "results/.runs")
    shutil.rmtree(folder / "results/synthetic/models")
    return folder


def command(folder: Path, config: dict[str, Any], *options: str) -> list[str]:
    overlay = folder.with_suffix(".yaml")
    overlay.write_text(yaml.safe_dump(config))
    configs = ["config/demo_more.yaml", "tests/minimal.yaml", str(overlay)]
    snakemake = [*MORTAL, sys.executable, "-m", "snakemake"]
    return [*snakemake, "--configfile", *configs, "--directory", str(folder), *options]


def on_slurm(folder: Path, config: dict[str, Any], *options: str) -> list[str]:
    return command(folder, config, "--workflow-profile", "profiles/slurm", *IMPATIENT, *options)


def run(command: list[str], environment: dict[str, str] | None = None, minutes: int = 5) -> tuple[int, str]:
    """Exit status and output; what a stopped Snakemake leaves in the queue ends with the private SLURM."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        timeout=minutes * 60,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return done.returncode, done.stdout


def succeed(command: list[str], environment: dict[str, str] | None = None, minutes: int = 5) -> str:
    status, output = run(command, environment, minutes)
    assert status == 0, output[-5000:]
    return output


def jobs(slurm: dict[str, str], folder: Path) -> list[dict[str, str]]:
    """What SLURM knows about the jobs of a folder, the finished ones included, in the order of submission."""
    asked = ["scontrol", "--oneliner", "show", "job"]
    lines = subprocess.run(asked, env=slurm, check=True, capture_output=True, text=True).stdout.splitlines()
    records = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]
    ours = [record for record in records if record.get("StdOut", "").startswith(f"{folder}/")]
    return sorted(ours, key=lambda record: int(record["JobId"]))


def rule(job: dict[str, str]) -> str:
    return re.fullmatch("rule_(.+)_wildcards_.*", job["Comment"])[1]


@contextmanager
def background(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen]:
    with log.open("w") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def wait_until(fact: Callable[[], bool], process: subprocess.Popen, seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not fact():
        assert process.poll() is None, "Snakemake ended too early"
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.1)


@pytest.mark.skipif(gpu_count() > 0, reason="the fake GPU has the number of a real one")
def test_gpu_rule_asks_for_one_gpu_and_is_given_it(slurm, untrained):
    """Without a real GPU the job stops, and says which one SLURM gave it."""
    cuda = LONG_TRAINING | {"device": "cuda"}
    status, output = run(on_slurm(untrained, cuda, "--retries", "0", MODEL), slurm)
    assert status == 1
    assert "device: cuda is set, but torch finds no GPU" in output
    (job,) = jobs(slurm, untrained)
    assert (rule(job), job["Partition"], job["TresPerJob"]) == ("train", "gpu", "gres:gpu:1")
    assert "(visible: 0)" in (untrained / LOG).read_text()  # "all" without SLURM's CUDA_VISIBLE_DEVICES


@pytest.mark.skipif(gpu_count() > 0, reason="the fake GPUs have the numbers of real ones")
def test_a_training_on_two_gpus_is_given_both(slurm, untrained):
    cuda = LONG_TRAINING | {"device": "cuda", "gpus": 2}
    status, _ = run(on_slurm(untrained, cuda, "--retries", "0", MODEL), slurm)
    assert status == 1
    (job,) = jobs(slurm, untrained)
    assert (job["TresPerJob"], job["CPUs/Task"]) == ("gres:gpu:2", "4")
    assert "(visible: 0,1)" in (untrained / LOG).read_text()


@pytest.fixture(scope="module")
def branched(tmp_path_factory) -> Path:
    """A folder with a model of several branches; a prediction of each is a small cell."""
    folder = tmp_path_factory.mktemp("branched")
    made = [f"results/synthetic/{name}" for name in ("models/multibn_manual-s0.pt", "clips/test.h5")]
    succeed(command(folder, {}, "--cores", "2", *made))
    return folder


CELLS = [f"results/synthetic/predictions/multibn_manual-s0-{name}/clean.csv" for name in ("clean", "lp", "physical")]
GROUPED = ["--profile", "profiles/slurm", "--workflow-profile", "profiles/slurm/grouped", *IMPATIENT]


def test_small_cells_are_one_job(slurm, branched):
    succeed(command(branched, {}, *GROUPED, *CELLS), slurm)
    assert all((branched / cell).stat().st_size > 0 for cell in CELLS)
    (job,) = jobs(slurm, branched)
    assert (job["JobState"], job["Partition"]) == ("COMPLETED", "gpu")


def test_small_cells_take_their_turns_on_one_gpu(slurm, branched, tmp_path):
    folder = tmp_path / "cells"
    shutil.copytree(branched, folder, ignore=shutil.ignore_patterns("predictions"))
    run(command(folder, {"device": "cuda"}, *GROUPED, "--retries", "0", *CELLS), slurm)
    (job,) = jobs(slurm, folder)
    assert (job["TresPerJob"], job["CPUs/Task"]) == ("gres:gpu:1", "2")


def test_canceled_training_continues_and_ends_with_the_same_bytes(slurm, trained, untrained):
    log = untrained.with_suffix(".log")
    with background(on_slurm(untrained, LONG_TRAINING, MODEL), slurm, log) as process:
        wait_until(lambda: any(untrained.glob("results/.runs/train/*/checkpoint.pt")), process)
        (first,) = jobs(slurm, untrained)
        subprocess.run(["scancel", first["JobId"]], env=slurm, check=True)
        assert process.wait(timeout=300) == 0, log.read_text()[-5000:]
    assert [job["JobState"] for job in jobs(slurm, untrained)] == ["CANCELLED", "COMPLETED"]
    assert "continuing at step" in (untrained / LOG).read_text()
    assert (untrained / MODEL).read_bytes() == (trained / MODEL).read_bytes()


def test_demo(slurm, tmp_path):
    folder = tmp_path / "demo"
    call = on_slurm(folder, FEWER)
    succeed(call, slurm, minutes=20)
    assert {path.name for path in folder.glob("results/tables/*") if path.is_file()} == TABLES
    assert (folder / "results/report.html").stat().st_size > 0
    submitted = jobs(slurm, folder)
    assert {rule(job) for job in submitted} == CLUSTER_RULES
    assert {job["JobState"] for job in submitted} == {"COMPLETED"}
    assert not any("TresPerJob" in job for job in submitted)  # `device: cpu` asks for no GPU
    assert "Nothing to be done" in succeed(call, slurm)
    assert jobs(slurm, folder) == submitted
