"""The real chain from video files to a table, at minimal size: killed anywhere, it ends with the same bytes."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from planning import ROOT
from readme import example

pytestmark = pytest.mark.slow

DEMO = ("config/demo.yaml", "tests/minimal.yaml")
TARGET = "results/tables/multav.md"
RESULTS = ("results/tables/multav.*", "results/synthetic/*/*.h5", "results/synthetic/models/*")
RESULTS += ("results/synthetic/adversarial/*/*", "results/synthetic/predictions/**/*.csv")


def snakemake(folder: Path, *arguments: str, configs: Sequence[str] = DEMO) -> subprocess.Popen:
    configs = ["--configfile", *(str(ROOT / config) for config in configs)]
    configs += [str(path) for path in folder.glob("*.yaml")]  # of the user
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", str(folder), *arguments, *configs]
    log = (folder / "snakemake.log").open("w")
    return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)


def finish(folder: Path, *arguments: str, configs: Sequence[str] = DEMO) -> str:
    """Runs the command to its end; what it printed."""
    process = snakemake(folder, *arguments, configs=configs)
    assert process.wait(600) == 0, (folder / "snakemake.log").read_text()[-3000:]
    return (folder / "snakemake.log").read_text()


def contents(folder: Path) -> dict[str, bytes]:
    files = {path for pattern in RESULTS for path in folder.glob(pattern) if path.is_file()}
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def different(one: dict[str, bytes], other: dict[str, bytes]) -> set[str]:
    """The names whose bytes are not the same on both sides: a message shorter than the bytes."""
    return {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    finish(folder, TARGET)
    return folder


def test_the_table_has_its_rows(whole):
    text = (whole / TARGET).read_text()
    assert all(row in text for row in ("R3D18 Clean", "R3D18 Mult", "R3D18 Add"))


def test_a_second_run_has_nothing_to_do(whole):
    assert "Nothing to be done" in finish(whole, TARGET)


def test_logs_are_readable(whole):
    log = (whole / "results/synthetic/logs/train/at_af-s0.log").read_text()
    assert "training: " in log
    assert "clips/s" in log


@pytest.mark.parametrize("appears", ["clips/test.h5", "models/standard-s0.pt", "adversarial/*/*.h5"])
def test_everything_killed_at_once_and_run_again(whole, tmp_path, appears):
    process = snakemake(tmp_path, TARGET)
    deadline = time.monotonic() + 300
    while not list((tmp_path / "results/synthetic").glob(appears)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() is None, "it finished before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finish(tmp_path, "--unlock")
    finish(tmp_path, TARGET)
    assert different(contents(tmp_path), contents(whole)) == set()


def test_an_attack_of_ones_own(whole):
    """The tutorial's file and entry, from the command line: its set, its predictions, its audit."""
    (whole / "my_attack.py").write_text(example("python", "class Flicker"))
    (whole / "mine.yaml").write_text(example("yaml", "my_attack:Flicker"))
    predictions = "results/synthetic/predictions/standard-s0/standard-s0/flicker.csv"
    finish(whole, predictions)
    (whole / "mine.yaml").unlink()
    assert (whole / predictions).read_text().count("\n") == 7
    assert "bound_ratio" in (whole / "results/synthetic/adversarial/standard-s0/flicker.audit.csv").read_text()


def test_a_broken_input_is_made_again_and_other_results_stay(whole, tmp_path):
    folder, store = tmp_path / "broken", "results/synthetic/clips/test.h5"
    shutil.copytree(whole, folder)
    before, when = contents(folder), (folder / store).stat().st_mtime_ns
    (folder / store).write_bytes(before[store][: len(before[store]) // 2])
    os.utime(folder / store, ns=(when, when))
    predictions = "results/synthetic/predictions/standard-s0/clean.csv"
    (folder / predictions).unlink()
    log = finish(folder, predictions)
    assert store in log
    assert "rule train:" not in log
    assert contents(folder) == before


def test_a_universal_attack_is_learned_and_placed(whole, tmp_path):
    folder = tmp_path / "universal"
    shutil.copytree(whole, folder)
    entry = "attacks: {universal: {method: universal_framing, width: 1, learning: {method: adam, epochs: 1}}}\n"
    (folder / "universal.yaml").write_text(entry + "studies: {multav: {columns: {universal: universal}}}\n")
    finish(folder, "results/synthetic/predictions/standard-s0/standard-s0/universal.csv")
    assert (folder / "results/synthetic/adversarial/standard-s0/universal.learned.pt").is_file()


WINDOWS = """
datasets: {synthetic: {sampling: {method: windows, frames: 4, clips: 2}}}
models:
  masked:
    network: tiny
    training: untrained
    initial: standard
    defense:
      {method: transformed, transform: {method: halftone, levels: 8}, defense: {method: standard}, backward: none}
studies:
  transfer:
    title: Sets of a source without a gradient
    dataset: synthetic
    columns: {clean: clean, pgd: {attack: pgd, source: masked}}
    summaries: [mean]
    rows: {No Defense: standard, AT-PGD: at_pgd}
"""


def test_several_clips_of_a_video_are_counted_by_video_and_sets_of_a_source_are_marked_by_its_audit(tmp_path):
    (tmp_path / "windows.yaml").write_text(WINDOWS)
    finish(tmp_path, "results/tables/transfer.md")
    table, differences = (
        (tmp_path / "results/tables" / name).read_text() for name in ("transfer.md", "differences/transfer.md")
    )
    assert "n = 12 clips" in table
    assert "by the variance between videos, of 2 clips each" in table
    # Of a source that has learned nothing, the audit states that first.
    assert re.search("\u2020 Not a measure of robustness, see the table audit: [a-z ]+ of the source[.]", table)
    for row in [line.split("|") for line in table.splitlines() if line.startswith(("| No Defense", "| AT-PGD"))]:
        assert ["\u2020" in cell for cell in row[2:5]] == [False, True, True]
    assert "n = 6 videos of 2 clips each" in differences


GENERATORS = """
datasets: {shapes: {render: {train_per_class: 4, test_per_class: 2, size: 8}, size: 8}}
evaluation: {batch_size: 12}
networks: {wgan: {size: 8, width: 4}, pixelcnn: {width: 4, blocks: 1}, tiny_2d: {width: 4, stages: 1}}
training: {pixelcnn: {epochs: 1}, wgan: {epochs: 1}, images: {epochs: 1}}
attacks: {pgd: {steps: 1}, pgd_eot: {samples: 2}}
"""
DIFFUSION = "networks: {diffusion: {width: 8, levels: 2}}\ntraining: {diffusion: {epochs: 1}}\n"


def test_purification_by_generators_from_images_to_the_report(tmp_path):
    """All of its jobs; with diffusers installed those of a diffusion, too. Generators of one epoch are marked."""
    (tmp_path / "small.yaml").write_text(GENERATORS)
    with_diffusion = find_spec("diffusers") is not None
    if with_diffusion:
        (tmp_path / "small_diffusion.yaml").write_text(DIFFUSION)
    finish(tmp_path, configs=[f"config/{'diffusion' if with_diffusion else 'generative'}.yaml"])
    results = tmp_path / "results_generative"
    rows = [line for line in (results / "tables/generative.md").read_text().splitlines() if line.startswith("| ")]
    purified = [row for row in rows[2:] if not row.startswith("| No transform")]
    assert len(purified) == 2 + with_diffusion
    assert all("\u2016" in cell for row in purified for cell in row.strip("|").split("|")[1:] if cell.strip())
    assert (results / "report.html").is_file()
    assert {path.stem for path in (results / "figures").glob("masking_*.png")} >= {
        "masking_pixel_defend",
        "masking_defense_gan",
    }
