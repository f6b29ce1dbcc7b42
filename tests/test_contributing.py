"""What CONTRIBUTING.md and the files beside it promise: examples that run, a license, a citation that can be read."""

import tomllib
from pathlib import Path

import pytest
import yaml

import tiny
from pipeline_lib.clips.adversarial_store import AdversarialClips
from pipeline_lib.clips.store import Clips
from pipeline_lib.configuration.entries import resolve
from planning import copy_project, laid_over, plan
from readme import ROOT, example
from test_adversarial import attacked, rows_of
from test_training import trained

EXAMPLES = {"my_attack": "FrozenFrames", "my_transform": "FrameMean", "my_network": "TwoLayers"}


def code(module: str) -> str:
    return example("python", f"class {EXAMPLES[module]}", "CONTRIBUTING.md")


def entries(module: str) -> dict:
    return yaml.safe_load(example("yaml", f"{module}:{EXAMPLES[module]}", "CONTRIBUTING.md"))


def test_the_examples_are_planned_as_they_are_written(tmp_path):
    """One file beside the Snakefile and one entry each: a set for every row, a model to train, a table with it."""
    project, added = copy_project(tmp_path), {}
    for module in EXAMPLES:
        (project / f"{module}.py").write_text(code(module))
        added = laid_over(added, entries(module))
    jobs = plan(project, added)
    assert {("attack", "synthetic", f"{model}-s0", "frozen") for model in ("standard", "avg", "two_layers")} <= jobs
    for model in ("frame_mean", "two_layers"):
        assert {("train", "synthetic", f"{model}-s0"), ("attack", "synthetic", f"{model}-s0", "pgd")} <= jobs


@pytest.fixture
def beside(tmp_path, monkeypatch) -> Path:
    """A working folder with the three files, and clips."""
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


@pytest.mark.parametrize("module", ["my_transform", "my_network"])
def test_models_of_the_examples_train_and_are_attacked(beside, module):
    given = entries(module)
    model = given["models"][next(iter(given["models"]))]
    entry = tiny.model_entry(resolve("models.x.defense", model["defense"], {}))
    if module == "my_network":
        entry["network"] = resolve("networks.two_layers", given["networks"]["two_layers"], {})
    trained(beside, entry, beside / "clips.h5", "plain")
    attacked(beside, beside, tiny.PGD)
    assert (beside / "predictions.csv").read_text().count("\n") == 1 + 10


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


def test_the_license_is_stated_once():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "MIT" == yaml.safe_load((ROOT / "CITATION.cff").read_text())["license"]
    assert [(ROOT / name).read_text().partition("\n")[0] for name in project["license-files"]] == ["MIT License"]
