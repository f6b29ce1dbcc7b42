"""Image data sets through the same rules as videos: planned, and run for real."""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from configured import CONFIG
from pipeline_lib.clips import image_lists
from planning import ROOT, plan

CIFAR10 = yaml.safe_load((ROOT / "config/cifar10.yaml").read_text())
SHAPES = {
    "results": "results",
    "device": "cpu",
    "evaluation": {"batch_size": 6},
    "datasets": {
        "shapes": {
            "render": {"method": "synthetic_shapes", "size": 24, "train_per_class": 2, "test_per_class": 1},
            "lists": {"method": "image_lists"},
            "images": {"method": "image_files"},
            "size": 24,
            "note": "",
        }
    },
    "networks": {"tiny_2d": {"method": "resnet_2d", "depth": 10, "width": 4, "stages": 2, "stem_stride": [2, 2]}},
    "training": {
        "shapes": {
            "epochs": 1,
            "batch_size": 4,
            "learning_rate": 0.01,
            "schedule": {"method": "one_cycle"},
            "augmentation": {"method": "crop_and_flip", "padding": 2},
        }
    },
    "models": {
        "shapes_standard": {"network": "tiny_2d", "training": "shapes", "defense": {"method": "standard"}},
        "shapes_manual": {
            "network": "tiny_2d",
            "training": "shapes",
            "initial": "shapes_standard",
            "defense": {"method": "multibn_manual", "branches": {"clean": [], "lp": ["pgd"], "physical": ["roa"]}},
        },
    },
    "studies": {
        "shapes": {
            "title": "Shapes",
            "dataset": "shapes",
            "columns": {"clean": "clean", "pgd": "pgd", "af": "af"},
            "rows": {"No Defense": "shapes_standard", "MultiBN-manual": "shapes_manual/lp"},
        }
    },
    "figures": {"perturbations_shapes": {"dataset": "shapes", "source": "shapes_standard", "attacks": ["pgd"]}},
}


@pytest.fixture
def cifar10_root(tmp_path) -> Path:
    """The files that a plan looks for; none is read but the names of the classes."""
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    (folder / "batches.meta.txt").write_text("airplane\ncat\n")
    for names in image_lists.CIFAR10_FILES.values():
        for name in names:
            (folder / name).touch()
    return tmp_path


def given(**keys: object) -> dict:
    """The overlay for CIFAR-10 with some keys of its data set, as on a command line."""
    return CIFAR10 | {"extends": "config", "datasets": {"cifar10": CIFAR10["datasets"]["cifar10"] | keys}}


def test_the_overlay_for_cifar10_plans_nothing_but_cifar10(finished, cifar10_root):
    jobs = plan(finished, given(root=str(cifar10_root)))
    assert {job[1] for job in jobs if job[0] in ("decode", "train", "attack", "predict_clean")} == {"cifar10"}
    assert {job for job in jobs if job[0] == "decode"} == {
        ("decode", "cifar10", "train"),
        ("decode", "cifar10", "test"),
    }
    assert {job[1] for job in jobs if job[0] == "table"} == {"multibn_cifar10"}
    assert not {"render", "download"} & {job[0] for job in jobs}


def test_cifar10_may_be_downloaded_by_a_rule(finished):
    jobs = plan(finished, given(download={"method": "cifar10_archive"}))
    assert ("download", "cifar10") in jobs
    assert ("decode", "cifar10", "train") in jobs


def test_embedded_images_add_their_jobs_and_rerun_no_video(finished):
    jobs = plan(finished, SHAPES | {"evaluation": {}})
    assert ("render", "shapes") in jobs
    assert {job[1] for job in jobs if job[0] in ("render", "decode", "train", "attack", "predict_clean")} == {"shapes"}


@pytest.mark.parametrize(
    ("name", "old", "new", "dataset"),
    [
        ("images", "FILES_PER_CALL = 64", "FILES_PER_CALL = 32", "shapes"),
        ("videos", 'return f"ffmpeg ', 'return f"FFmpeg ', "synthetic"),
    ],
)
def test_a_change_of_one_decoder_decodes_its_own_kind_of_files_again(finished, name, old, new, dataset):
    path = finished / f"pipeline_lib/clips/{name}.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    jobs = plan(finished)
    path.write_text(text)
    assert {job[1:] for job in jobs if job[0] == "decode"} == {(dataset, "train"), (dataset, "test")}


@pytest.mark.slow
def test_images_from_files_to_the_report(tmp_path):
    overlay = SHAPES | {"studies": dict.fromkeys(CONFIG["studies"]) | SHAPES["studies"]}
    overlay["figures"] = dict.fromkeys(CONFIG["figures"]) | SHAPES["figures"]
    (tmp_path / "shapes.json").write_text(json.dumps(overlay))
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", str(tmp_path)]
    configs = ["--configfile", str(ROOT / "config/demo_more.yaml"), str(tmp_path / "shapes.json")]
    done = subprocess.run([*command, *configs], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    table = (tmp_path / "results/tables/shapes.md").read_text()
    assert all(row in table for row in ("No Defense", "MultiBN-manual"))
    assert (tmp_path / "results/figures/perturbations_shapes.html").read_text().count("<img") == 1
    check_report((tmp_path / "results/report.html").read_text())


def check_report(page: str) -> None:
    """What it shows, where and with which words; everything is in the page itself."""
    shown, categories = (embedded(page, name) for name in ("results", "categories"))
    names = {name: {Path(path).name for part in parts.values() for path in part} for name, parts in categories.items()}
    assert names == {
        "1 Tables": {"shapes.html", "audit.html"},
        "2 Figures": {"chart_shapes.png", "perturbations_shapes.png", "training_shapes.png"},
        "3 Clips and curves": {"perturbations_shapes.html", "training_shapes.html"},
    }
    assert "Accuracy in percent with its 95 % interval" in shown["results/tables/shapes.html"]["caption"]
    for path in ("perturbations_shapes.png", "perturbations_shapes.html"):
        assert "One test clip under every attack" in shown[f"results/figures/{path}"]["caption"]
    contents = {path: base64.b64decode(item["data_uri"].partition("base64,")[2]) for path, item in shown.items()}
    assert all(content.startswith(b"\x89PNG") for path, content in contents.items() if path.endswith(".png"))
    pages = [page, *(content.decode() for path, content in contents.items() if path.endswith(".html"))]
    assert "MultiBN-manual" in contents["results/tables/shapes.html"].decode()
    assert '<img alt="" src="data:image/png;base64,' in contents["results/figures/perturbations_shapes.html"].decode()
    outside = r"""(?:src|href)\s*=\s*["']?(?:https?:)?//"""
    assert [re.findall(outside, text) for text in pages] == [[]] * len(pages)


def embedded(page: str, name: str) -> dict:
    """A variable of the report's own script, or the JSON that one is read from."""
    return json.loads(re.search(rf'(?:var {name} = |id="json-{name}">)(\{{.*?\}})(?:;\n|</script>)', page)[1])
