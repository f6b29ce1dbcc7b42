"""Every configuration of the project resolves, and the command that its head gives plans it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from configured import resolved, stacked
from planning import ROOT


def give_data(folder: Path) -> str:
    """The path of a folder: as far as a plan looks, UCF101, HMDB51 and CIFAR-10, with weights beside it."""
    lists = folder / "data/ucfTrainTestlist"
    lists.mkdir(parents=True)
    classes = ["BabyCrawling", "Punch", "PushUps"]
    (lists / "classInd.txt").write_text("".join(f"{i + 1} {name}\n" for i, name in enumerate(classes)))
    trained = "".join(f"{c}/v_{c}_g08_c01.avi {i + 1}\n" for i, c in enumerate(classes))
    for split in ("01", "02", "03"):
        (lists / f"trainlist{split}.txt").write_text(trained)
        (lists / f"testlist{split}.txt").write_text("".join(f"{c}/v_{c}_g01_c01.avi\n" for c in classes))
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
    for name in (
        "resnext-101-kinetics",
        "wideresnet-50-kinetics",
        "resnet-18-kinetics",
        "resnext-101-kinetics-ucf101_split1",
    ):
        (folder / f"weights/{name}.pth").touch()
    (folder / "framings").mkdir()
    (folder / "framings/framing_logits.npz").touch()
    return str(folder / "data")


PARTS = ("config", "small", "embedded")  # nothing is computed by these


def names_in_head(overlay: Path) -> list[str]:
    """The files after `--configfile` in the command that an overlay's comments give; none for the demo."""
    command = re.search(r"--configfile ((config/\S+ )*config/\S+)", overlay.read_text())
    if overlay.stem == "attacks_g1":
        return ["multibn", "attacks_g1"]
    return re.findall(r"config/(\w+)\.yaml", command.group(1)) if command else []


def given_roots(config: dict, root: str) -> dict:
    needed = [name for name, entry in config["datasets"].items() if entry and "root" in entry]
    return {"datasets": {name: {"root": root} for name in needed}} if needed else {}


OVERLAYS = [path for path in sorted((ROOT / "config").glob("*.yaml")) if path.stem not in PARTS]
OFTEN = ("demo", "multibn", "attacks_g1")


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.stem)
def test_every_configuration_resolves_and_says_its_command(overlay):
    names = names_in_head(overlay)
    assert (names or ["demo"])[-1] == overlay.stem
    assert resolved(stacked(*names, given=given_roots(stacked(*names), "data")))["studies"]


@pytest.mark.parametrize("name", PARTS)
def test_parts_compute_nothing(name):
    plan = resolved(stacked(name))
    assert plan["studies"] == plan["figures"] == {}
    assert plan["models"]


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.stem)
def test_only_what_extends_the_demo_computes_its_tables(overlay):
    own = stacked(*names_in_head(overlay))["studies"].values()
    written = [study["dataset"] for study in own if study]
    theirs = {name for names in written for name in ([names] if isinstance(names, str) else names)}
    embedded = {"synthetic", "shapes"}
    demo = (
        "black_box",
        "demo",
        "demo_detached",
        "demo_halftone",
        "demo_more",
        "demo_storage",
        "demo_sweeps",
        "demo_worst_case",
        "evening",
        "diffusion",
        "generative",
        "transforms",
        "unforeseen",
        "video_codecs",
    )
    assert bool(theirs & embedded) == (overlay.stem in demo)


@pytest.mark.parametrize(
    "overlay",
    [pytest.param(path, marks=[] if path.stem in OFTEN else pytest.mark.slow) for path in OVERLAYS],
    ids=lambda path: path.stem,
)
def test_command_line_plans_every_configuration(overlay, tmp_path):
    """Not in process: the command that users type, with the default profile."""
    files = [str(ROOT / f"config/{name}.yaml") for name in names_in_head(overlay)]
    roots = given_roots(stacked(*names_in_head(overlay)), give_data(tmp_path))
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--directory", str(tmp_path)]
    command += ["--configfile", *files] if files else []
    command += ["--config", f"datasets={json.dumps(roots['datasets'])}"] if roots else []
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "train" in done.stdout + done.stderr
