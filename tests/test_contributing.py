"""What CONTRIBUTING.md and the files beside it promise: examples that run, a license, a citation that can be read."""

import contextlib
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import tiny
from configured import CONFIG, resolved
from own_files import forget
from pipeline_lib.clips.adversarial_store import AdversarialClips
from pipeline_lib.clips.decode import Decoding, decode_to_store
from pipeline_lib.clips.splits import Video
from pipeline_lib.clips.store import Clips
from pipeline_lib.configuration.entries import resolve
from pipeline_lib.defenses.update import Figures
from pipeline_lib.entries.building import build
from pipeline_lib.errors import PipelineError
from planning import copy_project, laid_over, plan
from readme import ROOT, example
from sets import attacked, rows_of
from training_runs import history, trained, with_training
from videos import SPEC

EXAMPLES = {
    "my_attack": "class FrozenFrames",
    "my_transform": "class FrameMean",
    "my_network": "class TwoLayers",
    "my_defense": "class SharpnessAware",
    "my_optimizer": "class RMSprop",
    "my_lists": "class CsvLists",
    "my_decoder": "class Arrays",
    "my_figures": "class Confusion",
    "my_summaries": "def worst",
}


def code(module: str) -> str:
    return example("python", EXAMPLES[module])


def entries(module: str) -> dict:
    return yaml.safe_load(example("yaml", f"{module}:{EXAMPLES[module].split()[1]}"))


@pytest.fixture(autouse=True)
def modules_of_one_test():
    """Other tests have files of the same names."""
    yield
    for module in EXAMPLES:
        sys.modules.pop(module, None)
    forget()


def write_lists(folder: Path) -> Path:
    """Lists of four videos, which do not exist, as the example reads them."""
    folder.mkdir()
    (folder / "train.csv").write_text("class,file\nWave,a.avi\nClap,b/c.avi\n")
    (folder / "test.csv").write_text("class,file\nWave,d.avi\nClap,e.avi\n")
    return folder


def write_arrays(folder: Path) -> Path:
    """Class folders with one array for each class and split, gray as its number of frames."""
    for frames, name in enumerate(("train/a", "train/b", "test/a", "test/b"), start=8):
        (folder / name).mkdir(parents=True)
        np.save(folder / name / "x.npy", np.full((frames, 32, 32, 3), frames, np.uint8))
    return folder


def test_the_examples_are_planned_as_they_are_written(tmp_path):
    """One file beside the Snakefile and one entry each: a set for every row, a model to train, a table with it."""
    project, added = copy_project(tmp_path), {}
    write_lists(project / "my_videos")
    write_arrays(project / "my_arrays")
    for module in EXAMPLES:
        assert code(module).count("\n") <= 30
        (project / f"{module}.py").write_text(code(module))
        added = laid_over(added, entries(module))
    jobs = plan(project, added)
    assert {("attack", "synthetic", f"{model}-s0", "frozen") for model in ("standard", "avg", "two_layers")} <= jobs
    for model in ("frame_mean", "two_layers", "sharpness_aware", "rms"):
        assert {("train", "synthetic", f"{model}-s0"), ("attack", "synthetic", f"{model}-s0", "pgd")} <= jobs
    assert {("decode", "mine", "train"), ("decode", "mine", "test"), ("train", "mine", "avg-s0")} <= jobs
    assert {("decode", "arrays", "train"), ("table", "arrays")} <= jobs
    assert {("table", "mine"), ("figure_csv", "confusion_pgd")} <= jobs


@pytest.fixture
def beside(tmp_path, monkeypatch) -> Path:
    """A working folder with the files of the examples, and clips."""
    for module in EXAMPLES:
        (tmp_path / f"{module}.py").write_text(code(module))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    tiny.write_clips(tmp_path / "clips.h5")
    return tmp_path


def test_the_attack_of_the_example_freezes_frames(beside):
    """As many as its entry says, and the audit finds it inside its bound."""
    trained(beside, tiny.model_entry(tiny.STANDARD), beside / "clips.h5", "plain")
    attack = resolve("attacks.frozen", entries("my_attack")["attacks"]["frozen"], {})
    attacked(beside, beside, attack)
    clean = Clips(beside / "clips.h5")
    before = clean.read(range(len(clean)))
    after = AdversarialClips(beside / "set.h5", clean).read(range(len(clean)))
    changed = (before != after).any((2, 3, 4))
    assert (changed.sum(1) == attack["frames"]).all()
    assert (after[:, 1:][changed[:, 1:]] == before[:, :-1][changed[:, 1:]]).all()
    (audit,) = rows_of(beside / "audit.csv")
    assert float(audit["bound_ratio"]) == 1


@pytest.mark.parametrize("module", ["my_transform", "my_network", "my_defense"])
def test_models_of_the_examples_train_and_are_attacked(beside, module):
    given = entries(module)
    model = given["models"][next(iter(given["models"]))]
    entry = tiny.model_entry(resolve("models.x.defense", model["defense"], {}))
    if module == "my_network":
        entry["network"] = resolve("networks.two_layers", given["networks"]["two_layers"], {})
    trained(beside, entry, beside / "clips.h5", "plain")
    attacked(beside, beside, tiny.PGD)
    assert (beside / "predictions.csv").read_text().count("\n") == 1 + 10


class Quadratic:
    """An update of one vector of weights w by the loss |w|^2 / 2, whose gradient is w, at a learning rate of 0.5."""

    def __init__(self, weights: list[float]):
        self.network = torch.nn.Linear(len(weights), 1, bias=False)
        self.weight = self.network.weight
        self.weight.data[:] = torch.tensor([weights])

    def kept_statistics(self):
        return contextlib.nullcontext()

    def gradients(self, objective) -> Figures:
        self.weight.grad = self.weight.detach().clone()
        return Figures(float(self.weight.detach().square().sum() / 2), 0.0)

    def descend(self) -> None:
        self.weight.data -= 0.5 * self.weight.grad


def test_the_defense_of_the_example_descends_along_the_gradients_that_lie_beside_the_weights(beside):
    """w = (3, 4) of length 5: the gradient at w + 0.5 w / 5 = 1.1 w leads to w - 0.5 * 1.1 w."""
    update = Quadratic([3.0, 4.0])
    written = entries("my_defense")["models"]["sharpness_aware"]["defense"] | {"rho": 0.5}
    figures = build(resolve("models.x.defense", written, {})).step(update)
    torch.testing.assert_close(update.weight.data, torch.tensor([[1.35, 1.8]]))
    assert figures.loss == pytest.approx(1.1**2 * 25 / 2)


def test_the_optimizer_of_the_example_trains(beside):
    """A first step is the sign of the gradient times the rate over the root of 1 - alpha."""
    entry = resolve("training.rms.optimizer", entries("my_optimizer")["training"]["rms"]["optimizer"], {})
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor([3.0, -7.0])
    optimizer = build(entry)([weight])
    optimizer.param_groups[0]["lr"] = 0.01
    optimizer.step()
    torch.testing.assert_close(weight.data, torch.tensor([-0.01, 0.01]) / (1 - entry["alpha"]) ** 0.5)
    weights = trained(beside, with_training(optimizer=entry), beside / "clips.h5")
    assert len(history(weights)) == tiny.TRAINING["epochs"]


def test_the_reader_of_the_example_reads_lists(beside):
    lists = build(resolve("datasets.mine.lists", entries("my_lists")["datasets"]["mine"]["lists"], {}))
    root = write_lists(beside / "my_videos")
    assert lists.class_names(root) == ["Clap", "Wave"]
    assert lists.read(root, "train") == [Video("a.avi", 1), Video("b/c.avi", 0)]
    assert lists.read(root, "test") == [Video("d.avi", 1), Video("e.avi", 0)]
    with pytest.raises(
        PipelineError, match=r"2 of the 2 files in the test list do not exist below .*videos/videos:\n  d"
    ):
        decode_to_store(beside / "x.h5", root, "test", lists, SPEC, Decoding(), workers=1)


def test_the_decoder_of_the_example_decodes(beside):
    entry = resolved(laid_over(CONFIG, entries("my_decoder")))["datasets"]["arrays"]
    lists, decoder = build(entry["lists"]), build(entry["decoder"])
    root = write_arrays(beside / "my_arrays")
    decode_to_store(beside / "arrays.h5", root, "test", lists, decoder, Decoding(), workers=1)
    clips = Clips(beside / "arrays.h5")
    assert clips.videos == ["test/a/x.npy", "test/b/x.npy"]
    assert clips.read([0, 1])[:, :, 0, 0, 0].tolist() == [[10] * 8, [11] * 8]


def test_the_citation_can_be_read_and_names_the_four_papers():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()  # what the format demands
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["version"] == project["version"]
    assert citation["title"].startswith(project["name"])
    papers = {paper["url"].rpartition("/")[2]: paper for paper in citation["references"]}
    assert papers.keys() == {"2009.08058", "2009.05244", "2012.04262", "2101.09451"}
    for paper in papers.values():
        assert paper["year"] in (2021, 2022)
        assert [author["family-names"] for author in paper["authors"]][:: len(paper["authors"]) - 1] == ["Lo", "Patel"]


def test_the_converted_figures_of_the_changelog_are_entries_of_this_version():
    figures = yaml.safe_load(example("yaml", "figures: # now"))
    endings = {name: figure["endings"] for name, figure in resolved(laid_over(CONFIG, figures))["figures"].items()}
    assert endings["perturbations_examples"] == ["png", "pdf", "csv", "html"]
    assert endings["sweep_bounds"] == ["png", "pdf", "csv", "html"]


def test_the_license_is_stated_once():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "MIT" == yaml.safe_load((ROOT / "CITATION.cff").read_text())["license"]
    assert [(ROOT / name).read_text().partition("\n")[0] for name in project["license-files"]] == ["MIT License"]
