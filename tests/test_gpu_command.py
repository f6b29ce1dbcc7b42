"""The GPU's one command, on the CPU: its time boxes, and a study without Snakemake."""

import subprocess
import sys
from pathlib import Path

import pytest

import tiny
from pipeline_lib.configuration.stacking import laid_over

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import gpu  # noqa: E402
import study  # noqa: E402

CODE = "import time; print('begun', flush=True); time.sleep({})"


@pytest.mark.parametrize(("work", "ending"), [("0", "done"), ("60", "stopped after its 2 s"), ("x", "exit status 1")])
def test_a_part_ends_in_its_box_and_what_it_printed_is_kept(tmp_path, work, ending):
    ended = gpu.run(gpu.Part("part", f'-c "{CODE.format(work)}"', 2), tmp_path, 2)
    assert ended.startswith(f"part: {ending}")
    assert (tmp_path / "part.log").read_text().startswith("begun")


def test_settings_lie_over_configurations_as_in_snakemake():
    config = {"a": {"b": 1, "c": [1, 2]}, "d": {"e": 2}}
    assert laid_over(config, study.setting("a.c=[3]")) == {"a": {"b": 1, "c": [3]}, "d": {"e": 2}}
    assert laid_over(config, study.setting("d=null")) == {"a": {"b": 1, "c": [1, 2]}, "d": None}


@pytest.mark.slow
def test_a_study_is_computed_without_snakemake(tmp_path):
    """The table is that of its predictions, and a second call computes nothing again."""
    for split, count in (("train", 12), ("test", 6)):
        tiny.write_clips(tmp_path / f"clips/{split}.h5", count, shape=(4, 24, 24, 3))
    command = [sys.executable, str(BENCHMARKS / "study.py"), "--config", "config/demo_more.yaml", "tests/minimal.yaml"]
    command += ["--study", "multibn_white_box", "--rows", "No Defense", "MultiBN-manual", "--device", "cpu"]
    command += ["--results", str(tmp_path / "results"), "--clips", str(tmp_path / "clips")]
    first, second = (
        subprocess.run(
            command, cwd=BENCHMARKS.parent, env=gpu.environment(), capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    )
    table = [line for line in second.splitlines() if line.startswith("| ")][-5:]
    assert table[0] == "| row | clean | pgd | roa | af | spa | mean | union | n |"
    labels = [line.split(" | ")[0] for line in table[1:]]
    assert labels == ["| No Defense", "| No Defense, worst case", "| MultiBN-manual", "| MultiBN-manual, worst case"]
    assert first.endswith("\n".join(table) + "\n")
    assert "trained multibn_manual-s0" in first
    assert "trained" not in second
