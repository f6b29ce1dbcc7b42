"""Every configuration of the project resolves, and the command that its head gives plans it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from configured import CONFIG, resolved
from planning import ROOT, laid_over


def give_data(folder: Path) -> str:
    """The option that names a folder: as far as a plan looks, UCF101, HMDB51 and CIFAR-10, with weights beside it."""
    lists = folder / "data/ucfTrainTestlist"
    lists.mkdir(parents=True)
    classes = ["BabyCrawling", "Punch", "PushUps"]
    (lists / "classInd.txt").write_text("".join(f"{i + 1} {name}\n" for i, name in enumerate(classes)))
    (lists / "trainlist01.txt").write_text("".join(f"{c}/v_{c}_g08_c01.avi {i + 1}\n" for i, c in enumerate(classes)))
    (lists / "testlist01.txt").write_text("".join(f"{c}/v_{c}_g01_c01.avi\n" for c in classes))
    splits = folder / "data/testTrainMulti_7030_splits"
    splits.mkdir()
    for name in ("cartwheel", "catch"):
        (splits / f"{name}_test_split1.txt").write_text(f"{name}1.avi 1 \n{name}2.avi 2 \n")
    batches = folder / "data/cifar-10-batches-bin"
    batches.mkdir()
    for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
        (batches / name).touch()
    (batches / "batches.meta.txt").write_text("".join(f"class{i}\n" for i in range(10)))
    (folder / "weights").mkdir()
    for name in ("resnext-101", "wideresnet-50", "resnet-18"):
        (folder / f"weights/{name}-kinetics.pth").touch()
    return f"{{root: {folder / 'data'}}}"


def command_in_head(overlay: Path) -> str:
    """The files after `--configfile` in the command that an overlay's comments give."""
    command = re.search(r"--configfile ((config/\S+ )*config/\S+)", overlay.read_text())
    return command.group(1) if command else f"config/multibn.yaml {overlay.relative_to(ROOT)}"


def datasets(overlay: Path) -> dict:
    return yaml.safe_load(overlay.read_text()).get("datasets", {})


def stack_of(overlay: Path) -> list[Path]:
    return [ROOT / name for name in re.findall(r"config/\w+\.yaml", command_in_head(overlay))]


OVERLAYS = sorted((ROOT / "config").glob("*.yaml"))
OFTEN = ("config", "multibn", "attacks_g1")


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.stem)
def test_every_configuration_resolves(overlay):
    config = CONFIG
    for each in stack_of(overlay):
        roots = {name: {"root": "data"} for name, entry in datasets(each).items() if entry and "root" in entry}
        config = laid_over(laid_over(config, yaml.safe_load(each.read_text())), {"datasets": roots})
    assert resolved(config)["studies"]


@pytest.mark.parametrize(
    "overlay",
    [pytest.param(path, marks=[] if path.stem in OFTEN else pytest.mark.slow) for path in OVERLAYS],
    ids=lambda path: path.stem,
)
def test_command_line_plans_every_configuration(overlay, tmp_path):
    """Not in process: the command that users type, with the default profile."""
    overlays = stack_of(overlay)
    root = give_data(tmp_path)
    given: dict = {}
    for each in overlays:
        for name, entry in datasets(each).items():
            given[name] = entry and (given.get(name) or {}) | entry
    needed = [name for name, entry in given.items() if entry and "root" in entry]
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--directory", str(tmp_path)]
    command += ["--configfile", str(ROOT / "config/config.yaml"), *map(str, overlays)]
    command += ["--config", *(f"datasets={{{name}: {root}}}" for name in needed)] if needed else []
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "train" in done.stdout + done.stderr
