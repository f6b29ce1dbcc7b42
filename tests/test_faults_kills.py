"""All processes of a workflow killed at any moment: the same command finishes, with the bytes of an undisturbed run.

`make faults N=200` kills 200 times; it prints how often so far.
"""

import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from faulty import KILLS, SEED, different, finish, output, start

pytestmark = pytest.mark.faults


def kill(process: subprocess.Popen) -> None:
    """SIGKILL to all processes of a workflow at once."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("record", ["decode/test", "train/standard-s0", "attack/standard-s0/pgd"])
def test_killed_behind_a_record_before_snakemake_knows_of_it(whole, tmp_path, record):
    """Snakemake still marks the results as unfinished."""
    process = start(tmp_path)
    while not (tmp_path / f"results/tiny/identities/{record}.json").exists() and process.poll() is None:
        time.sleep(0.001)
    kill(process)
    finish(tmp_path, "--unlock")
    assert f"tiny/{record}" not in finish(tmp_path)
    assert different(tmp_path / "results", whole / "results") == set()


def test_kills_at_random_moments(whole, tmp_path, capfd):
    chosen, seconds, kills, runs = random.Random(SEED), float((whole / "seconds").read_text()), 0, 0
    while kills < KILLS:
        folder = tmp_path / f"after {kills} kills"
        while kills < KILLS:
            process = start(folder)
            try:
                process.wait(chosen.uniform(0.05, 1) * seconds)
            except subprocess.TimeoutExpired:
                kill(process)
                shutil.rmtree(folder / ".snakemake/locks", ignore_errors=True)  # as `--unlock`
                kills += 1
                continue
            assert process.returncode == 0, output(folder)[-3000:]
            break
        else:
            finish(folder)
        assert different(folder / "results", whole / "results") == set()
        shutil.rmtree(folder)
        runs += 1
        with capfd.disabled():
            print(
                f" seed {SEED}: {kills} of {KILLS} kills, after which {runs} runs ended with the same bytes", flush=True
            )
