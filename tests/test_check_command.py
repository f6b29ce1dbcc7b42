"""The command of the check: models, weights and clips of several forms, its page, and bad input."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import stores
import tiny
from pipeline_lib.check import measurements
from pipeline_lib.check.__main__ import main
from pipeline_lib.check.clips import Reading, clips_of, numbered_as
from pipeline_lib.check.models import classes_of_checkpoint, load_weights, model_of
from pipeline_lib.clips.splits import Video
from pipeline_lib.entries.methods import METHODS
from pipeline_lib.errors import PipelineError
from pipeline_lib.models import checkpoint
from pipeline_lib.models.trained import new_network
from pipeline_lib.networks.multi_batchnorm import through

MODEL = """
import torch
from torch import nn

def network():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(4 * 8 * 8 * 3, 2))
    with torch.no_grad():  # the second class is brighter
        layers[1].weight.copy_(torch.tensor([[-1.0], [1.0]]).expand(2, 768))
        layers[1].bias.copy_(torch.tensor([325.0, -325.0]))
    return layers

def attack(network, clips, labels):
    return clips

a_number = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with clips and a model of one's own, and a check of few passes."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    for name, value in {"APGD_STEPS": 4, "TARGETED_STEPS": 2, "CLIPS_OF_BOUNDS": 4, "QUERIES": 5}.items():
        monkeypatch.setattr(measurements, name, value)
    tiny.write_clips(tmp_path / "clips.h5", count=12)
    (tmp_path / "own.py").write_text(MODEL)
    return tmp_path


@pytest.mark.parametrize(("most", "count"), [(None, 4), (2, 2)])
def test_of_several_clips_of_a_video_one_is_checked_since_its_tests_count_independent_clips(tmp_path, most, count):
    videos = [Video(f"v{number // 3}.avi", number // 3 % 2, clip=number % 3 + 1) for number in range(12)]
    store = stores.write(tmp_path / "clips.h5", videos=videos)
    data = clips_of(store, Reading(most=most))
    assert len({name.partition("#")[0] for name in data.names}) == len(data.names) == count
    for name, clip, label in zip(data.names, data.clips, data.labels.tolist(), strict=True):
        row = [video.name for video in videos].index(name)
        assert (label, (clip * 255).round().byte().permute(1, 2, 3, 0).tolist()) == (
            row // 3 % 2,
            stores.FRAMES[row].tolist(),
        )
    assert len(set(data.labels.tolist())) == 2


def test_the_command_ends_with_a_page(folder, capsys):
    assert main(["own.py:network", "clips.h5", "--threat", "linf:1/255", "--steps", "2", "--out", "out"]) == 0
    printed = capsys.readouterr().out
    assert "one clip takes" in printed
    assert "no sign of masking" in printed
    page, text = (folder / "out/check.html").read_text(), (folder / "out/check.md").read_text()
    record = json.loads((folder / "out/check.json").read_text())
    assert record["verdict"] == "no sign of masking"
    assert record["worst"]["rows"]
    for part in record["parts"]:
        assert part["title"] in page
    assert "prefers-color-scheme: dark" in page
    assert "http" not in page
    assert not any(word in page for word in ("src=", "<link", "import("))
    assert text.startswith("## Robustness check: no sign of masking")
    assert main(["own.py:network", "clips.h5", "--threat", "linf:1/255", "--steps", "2", "--out", "out"]) == 0
    again = json.loads((folder / "out/check.json").read_text())
    assert again["parts"] == record["parts"]  # seconds included: taken from the folder


def test_a_flagged_evaluation_has_another_status(folder):
    assert (
        main(["own.py:network", "clips.h5", "--threat", "linf:40/255", "--steps", "2", "--attack", "own.py:attack"])
        == 1
    )
    assert "zero steps" in (folder / "check/check.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["own.py:network", "clips.h5", "--threat", "linf:4"], "for gray levels give linf:4/255"),
        (["own.py:network", "nowhere", "--threat", "linf:4/255"], "clips nowhere: there is no such folder"),
        (["nothing.py:network", "clips.h5", "--threat", "linf:4/255"], "nothing.py: there is no such file"),
        (["own.py:other", "clips.h5", "--threat", "linf:4/255"], "the file has no 'other'"),
        (["own.py:a_number", "clips.h5", "--threat", "linf:4/255"], "a_number is a int"),
        (["resnet_9d", "clips.h5", "--threat", "linf:4/255"], "there is no such file or network"),
        (["resnet_3d", "clips.h5", "--threat", "linf:4/255", "--set", "depth=5"], "network resnet_3d: "),
        (["resnet_3d", "clips.h5", "--threat", "linf:4/255", "--set", "depth"], "--set depth: give KEY=VALUE"),
        (["own.py:network", "clips.h5", "--threat", "linf:4/255", "--steps", "0"], "--steps is 0"),
        (["resnet_3d", "clips.h5", "--threat", "linf:4/255", "--set", "deep=1"], "network resnet_3d: unknown deep"),
        (["own.py:network", "clips.h5", "--threat", "linf:4/255", "--weights", "no.pt"], "no such file of weights"),
        (["own.py:network", "clips.h5", "--threat", "linf:4/255", "--mean", "0,0,0"], "give both --mean and --std"),
        (["own.py:network", "clips.h5", "--threat", "linf:4/255", "--classes", "9"], "returns 2 logits, and 9"),
        (["own.py:network", "clips.h5", "--threat", "linf:4/255", "--budget", "0"], "--budget is 0.0"),
        (["clips.h5", "clips.h5", "--threat", "linf:4/255"], "clips.h5: no model"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(folder, capsys, arguments, message):
    assert main([*arguments, "--out", "out"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (folder / "out").exists()


def test_the_status_is_that_of_the_process(folder):
    command = [sys.executable, "-m", "pipeline_lib.check", "own.py:network", "clips.h5", "--threat", "lift:4/255"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: threat 'lift:4/255': give one of linf:4/255")
    assert "Traceback" not in done.stderr


def layer() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3, 2))


WRAPPED = {
    "plain": lambda state: state,
    "module": lambda state: {f"module.{name}": value for name, value in state.items()},
    "module.model": lambda state: {f"module.model.{name}": value for name, value in state.items()},
    "state_dict": lambda state: {"epoch": 3, "state_dict": {f"model.{name}": value for name, value in state.items()}},
    "model": lambda state: {"model": state, "arch": "r3d"},
    "compiled": lambda state: {"model_state_dict": {f"_orig_mod.{name}": value for name, value in state.items()}},
}


@pytest.mark.parametrize("form", WRAPPED)
def test_weights_are_found_under_usual_names(tmp_path, form):
    source, target = layer(), layer()
    torch.save(WRAPPED[form](source.state_dict()), tmp_path / "weights.pt")
    load_weights(target, tmp_path / "weights.pt")
    assert torch.equal(target[1].weight, source[1].weight)
    assert torch.equal(target[1].bias, source[1].bias)


def test_torchscript_is_a_model_and_weights(tmp_path):
    source, target, clips = layer(), layer(), torch.rand(2, 3)
    torch.jit.script(source).save(str(tmp_path / "scripted.pt"))
    load_weights(target, tmp_path / "scripted.pt")
    assert torch.equal(target(clips), source(clips))
    assert torch.equal(model_of(str(tmp_path / "scripted.pt"), {}, 2, None)(clips), source(clips))


def test_safetensors_are_weights(tmp_path):
    library = pytest.importorskip("safetensors.torch")
    source, target = layer(), layer()
    library.save_file(source.state_dict(), str(tmp_path / "weights.safetensors"))
    load_weights(target, tmp_path / "weights.safetensors")
    assert torch.equal(target[1].weight, source[1].weight)


def saved(path, branches=(), classes=("dark", "bright")):
    """A checkpoint of this pipeline: a network of two classes, the second of which is brighter."""
    bound = {"method": METHODS["additive_linf"], "epsilon": 0.1, "step_size": 0.1}
    attack = {"method": METHODS["ascent"], "perturbation": bound, "steps": 1}
    branched = {
        "method": METHODS["multibn_manual"],
        "branches": {name: [] if name == "clean" else [attack] for name in branches},
    }
    entry = {
        "network": {"method": METHODS["resnet_3d"], "depth": 10, "width": 2},
        "defense": branched if branches else {"method": METHODS["standard"]},
        "training": {"epochs": 0},
        "seed": 0,
    }
    network, _ = new_network(entry, len(classes))
    checkpoint.save(path, network, entry=entry, classes=list(classes))
    return network


def test_a_model_of_a_study_is_its_checkpoint(tmp_path):
    path, clips = tmp_path / "plain-s0.pt", torch.rand(2, 3, 4, 16, 16)
    network = saved(path)
    assert torch.equal(model_of(str(path), {}, 2, None)(clips), network.eval()(clips))
    assert classes_of_checkpoint(str(path)) == ["dark", "bright"]
    with pytest.raises(PipelineError, match="has no branch 'lp': it has no branches"):
        model_of(str(path), {}, 2, None, "lp")


def test_a_model_with_branches_is_checked_through_one(tmp_path):
    path, clips = tmp_path / "branched-s0.pt", torch.rand(2, 3, 4, 16, 16)
    network = saved(path, branches=("clean", "lp"))
    assert torch.equal(model_of(str(path), {}, 2, None, "lp")(clips), through(network.eval(), "lp")(clips))
    with pytest.raises(PipelineError, match=r"does not choose one: give --branch clean\|lp"):
        model_of(str(path), {}, 2, None)
    with pytest.raises(PipelineError, match="no branch 'af': its branches are clean, lp"):
        model_of(str(path), {}, 2, None, "af")


def test_labels_are_in_the_order_of_the_models_classes(tmp_path):
    """Folders are in alphabetical order, and may be some of the model's classes."""
    for label, name in enumerate(["bright", "dark"]):
        image(tmp_path / name / "0.png", 100 * label)
    data = clips_of(tmp_path, Reading(size=8))
    assert data.labels.tolist() == [0, 1]
    found = numbered_as(data, ["dark", "other", "bright"], "m.pt")
    assert (found.labels.tolist(), found.classes) == ([2, 0], ["dark", "other", "bright"])
    assert numbered_as(data, None, "m.pt") is data
    with pytest.raises(
        PipelineError, match="class 'bright' of the clips is none of the 2 of model 'm.pt', first 'dark'"
    ):
        numbered_as(data, ["dark", "black"], "m.pt")


class Harmful:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": Harmful()}, "it needs print, which is never loaded"),
        ({"1.weight": torch.zeros(2, 3)}, "1 weights of the network are missing and 0 unknown; 1.bias is missing"),
        (
            {"1.weight": torch.zeros(2, 4), "1.bias": torch.zeros(2)},
            r"1.weight is \(2, 4\), and the network's \(2, 3\)",
        ),
        ({"1.weight": torch.full((2, 3), torch.nan), "1.bias": torch.zeros(2)}, "not finite"),
        ({"epoch": 3}, "no weights: expected names and tensors"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, capsys, content, message):
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(PipelineError, match=message):
        load_weights(layer(), tmp_path / "weights.pt")
    assert "run" not in capsys.readouterr().out


def image(path, level):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.full((8, 10, 3), level, np.uint8)).save(path)


def test_clips_from_a_folder_and_a_manifest_are_the_same(tmp_path):
    for label, name in enumerate(["a", "b"]):
        for number in range(3):
            image(tmp_path / name / f"{number}.png", 100 * label + 10 * number)
    lines = [f"{name}/{number}.png,{name}" for name in "ab" for number in range(3)]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *lines]))
    of_folder, of_list = (clips_of(path, Reading(size=8)) for path in (tmp_path, tmp_path / "list.csv"))
    assert of_folder.clips.shape == (6, 3, 8, 8)
    assert torch.equal(of_folder.clips, of_list.clips)
    assert of_folder.labels.tolist() == of_list.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert of_folder.classes == ["a", "b"]
    assert of_folder.clips[:, 0, 0, 0].mul(255).round().tolist() == [0, 10, 20, 100, 110, 120]
    some = clips_of(tmp_path, Reading(size=8, most=4))
    assert some.labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no lines path,label"),
        ("a/0.png\n", "entry 1 is 'a/0.png': give path,label"),
        ("a/0.png,a\na/1.png,a\n", "1 files do not exist, first .*1.png"),
        ("bad.png,a\n", "bad.png: it cannot be decoded"),
    ],
)
def test_a_manifest_that_is_wrong_is_named(tmp_path, text, message):
    image(tmp_path / "a/0.png", 3)
    (tmp_path / "bad.png").write_bytes(b"no image")
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(PipelineError, match=message):
        clips_of(tmp_path / "list.csv", Reading(size=8))


def test_a_folder_without_classes_is_refused(tmp_path):
    with pytest.raises(PipelineError, match="no videos or images in folders of classes"):
        clips_of(tmp_path, Reading())
