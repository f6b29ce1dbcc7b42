"""The workflow outside its folder: a configuration of ten lines on videos of one's own, and as a Snakemake module."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from planning import ROOT
from readme import example
from videos import encode

MINE = example("yaml", "root: my_videos\n    lists: {method: class_folders}")
TINY = {
    "networks": {
        "tiny": {"width": 4, "stages": 2},
        "tiny_wide": {"width": 4, "stages": 1},
        "tiny_selector": {"width": 4, "stages": 1},
    },
    "attacks": {name: {"steps": 1} for name in ["pgd", "roa", "af", "spa", "trades", "msd"]},
    "training": {name: {"epochs": 1, "batch_size": 4} for name in ["scratch", "finetune", "finetune_mixed"]},
    "studies": {"mine": {"rows": dict.fromkeys(["AT-PGD", "AT-ROA", "AT-AF", "AT-SPA", "TRADES", "MAX", "MSD"])}},
    "datasets": {"mine": {"size": 16, "sampling": {"frames": 4}}},
}
MODULE = """
module robustness:
    snakefile: "{root}/Snakefile"
    config: {{"extends": "mine.yaml"}}


use rule * from robustness
"""


@pytest.fixture
def own_folder(tmp_path) -> Path:
    """A folder with class folders of empty files and the configuration of the tutorial."""
    for split in ("train", "test"):
        for name in ("jump", "riding a bike", "wave {1}"):
            for number in range(2):
                path = tmp_path / f"my_videos/{split}/{name}/a {number}.mp4"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
    (tmp_path / "mine.yaml").write_text(MINE)
    (tmp_path / "Snakefile").write_text(MODULE.format(root=ROOT))
    return tmp_path


def snakemake(folder: Path, *options: str) -> str:
    """What the command prints, run in the folder. The test fails if the command does."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def counted(text: str) -> dict[str, int]:
    """Rule -> number of jobs, as a dry run states them."""
    table = text.split("Job stats:")[1].split("\ntotal")[0]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


MODELS = ("standard", "at_pgd", "at_roa", "at_af", "at_spa", "trades", "avg", "max", "msd", "multibn_manual", "multibn")


def test_the_tutorials_configuration_plans_its_own_table_and_nothing_of_the_demo(own_folder):
    assert len(MINE.splitlines()) <= 15
    jobs = counted(snakemake(own_folder, "-n", "-s", str(ROOT / "Snakefile"), "--configfile", "mine.yaml"))
    assert jobs["train"] == len(MODELS)
    assert jobs["table"] == 1
    assert jobs["decode"] == 2
    assert "render" not in jobs
    as_module = counted(snakemake(own_folder, "-n"))
    assert as_module == jobs


def test_one_cell_is_asked_for_by_its_file(own_folder):
    cell = "results_mine/mine/predictions/avg-s0/avg-s0/pgd.csv"
    given = ("-n", "-s", str(ROOT / "Snakefile"), "--configfile", "mine.yaml", "--", cell)
    assert counted(snakemake(own_folder, *given)) == {"attack": 1, "decode": 2, "train": 2}


@pytest.mark.slow
@pytest.mark.parametrize("options", [["-s", str(ROOT / "Snakefile"), "--configfile", "mine.yaml"], []])
def test_own_videos_become_tables_figures_and_a_report(own_folder, options):
    for number, path in enumerate(sorted(own_folder.rglob("*.mp4"))):
        encode(
            path, "-vf", f"hue=h={number * 30},rotate=t*{number}", "-c:v", "libx264", "-pix_fmt", "yuv420p", frames=12
        )
    (own_folder / "my_videos/train/jump/._a 1.mp4").write_bytes(b"junk")
    (own_folder / "tiny.yaml").write_text(MINE.replace("extends: small\n", ""))
    (own_folder / "mine.yaml").write_text(yaml.safe_dump(TINY | {"extends": ["small", "tiny.yaml"]}))
    snakemake(own_folder, *options)
    results = own_folder / "results_mine"
    table = (results / "tables/mine.md").read_text()
    assert all(row in table for row in ("No Defense", "AVG", "MultiBN-manual", "MultiBN"))
    for name in ("report.html", "figures/chart_mine.png", "figures/examples.html", "figures/training_mine.png"):
        assert (results / name).stat().st_size
    log = (results / "mine/logs/decode/train.log").read_text()
    assert "1 files or rows are passed over: train/jump/._a 1.mp4" in log
    assert "riding a bike" in (results / "figures/examples.html").read_text()
    again = snakemake(own_folder, "-n", *options)
    assert "Nothing to be done" in again
