"""README, the documentation's generated pages, and the commands and examples in them."""

import csv
import importlib.util
import re
import tomllib
from types import ModuleType

import pytest
import torch
from torch import nn

from configured import SCHEMA
from readme import DOCUMENTS, ROOT, blocks, example
from videos import encode


def page_maker(name: str) -> ModuleType:
    """A module of docs/, which are no package."""
    specification = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


README = (ROOT / "README.md").read_text()
FRONT = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "config/README.md"]


def test_the_readme_is_short_and_its_table_is_marked():
    assert len(README.split()) <= 900
    table = page_maker("demo_table")
    assert table.BLOCK.search(README)[0].count("\n| ") == 1 + len(table.ROWS)


def test_the_readmes_table_is_filled_from_a_tables_file():
    table = page_maker("demo_table")
    text = "row,column,measured,paper,worst\nAVG,clean,90.74,68.9,\nAVG,union,21.3,17.3,5.56\nMAX,clean,1,2,3\n"
    new = table.filled(
        "a\n<!-- demo table -->\nold\n<!-- end of demo table -->\nb", list(csv.DictReader(text.splitlines()))
    )
    assert new.startswith("a\n<!-- demo table -->\n| here / paper | clean")
    assert "\n| AVG | 90.7 / 68.9 | - / - | 21.3 / 17.3 | 5.6 |\n" in new
    assert new.endswith("<!-- end of demo table -->\nb")
    assert "old" not in new
    assert "MAX" not in new
    with pytest.raises(ValueError, match="0 blocks"):
        table.filled("no block", [])


@pytest.mark.parametrize("document", FRONT, ids=lambda path: path.parent.name + "/" + path.name)
def test_links_between_documents_exist(document):
    """Links inside the documentation: `mkdocs build`, which is strict."""
    links = [
        target for target in re.findall(r"\]\(([^)]+)\)", document.read_text()) if not re.match(r"#|https?:", target)
    ]
    assert [target for target in links if not (document.parent / target.partition("#")[0]).exists()] == []


def test_badges_state_what_the_project_does():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (snakemake,) = (one for one in project["dependencies"] if one.startswith("snakemake>"))
    badge = {name: (ROOT / f"docs/images/badge-{name}.svg").read_text() for name in ("snakemake", "license", "tests")}
    assert f">≥ {snakemake.partition('>=')[2]}<" in badge["snakemake"]
    assert f">{project['license']}<" in badge["license"]
    assert re.search(r"^test:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def keys_of(schema: object) -> dict[str, object]:
    """The keys that a schema names, at any depth, with their own schemas."""
    parts = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else []
    found = dict(schema.get("properties", {})) if isinstance(schema, dict) else {}
    for part in parts:
        found |= keys_of(part)
    return found


def test_every_key_of_the_configuration_is_documented():
    """Methods and their fields: tests/test_reference.py."""
    keys = page_maker("keys")
    text = keys.page()
    inner = {"file", "target", "attack", "source"}  # explained where their owner is
    assert [key for key in keys_of(SCHEMA).keys() - inner if f"\n| `{key}` | " not in text] == []
    assert re.findall(r"\n\| `\w+` \|.*\| *\|\n", text) == []  # without a meaning
    for target, _ in keys.SETTINGS.values():
        assert [name for name in keys.reference.fields(target) if f"\n| `{name}` | " not in text] == []


def test_a_key_is_documented_with_type_range_and_default():
    text = page_maker("keys").page()
    assert "| `gpus` | integer, at least 1 | `1` | GPUs of each training job" in text
    assert "| `device` | `auto` or `cpu` or `cuda` | `auto` | Where networks run" in text
    assert "| `size` | integer, at least 8 | required | Pixels: the side of the square clips" in text
    assert "| `batch_size` | integer, at least 1 | `36` | Clips of a batch" in text


def test_the_python_reference_names_what_can_be_imported():
    python = page_maker("python_api")
    text = python.page()
    for modules in python.SECTIONS.values():
        for place, (_, names) in modules.items():
            module = importlib.import_module(place.strip())
            for name in names:
                assert (getattr(module, name).__doc__ or "")[:20].split("\n")[0] in text
    assert "from pipeline_lib.clips import read_clip\n\ndef read_clip(\n    path: " in text


SHELL = [(document, line) for document in DOCUMENTS for block in blocks(document, "sh") for line in block.splitlines()]


def test_commands_name_targets_scripts_and_files_that_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document, line in SHELL:
        command = line.partition(" #")[0]
        for target in re.findall(r"^make ([a-z-]+)", command):
            assert target in targets, (document, line)
        for path in re.findall(r"(?<!\S)(?:config|docs|benchmarks|tests|profiles)/[\w/.-]+", command):
            assert (ROOT / path).exists() or "images" in path, (document, line)
        for module in re.findall(r"-m (pipeline_lib[\w.]*)", command):
            assert importlib.util.find_spec(module), (document, line)


# A text in each block of Python -> the test that runs it.
RUN = {
    "class Flicker": "test_own_attack.py",
    "def read_set": "test_adversarial_store.py",
    "craft(network": "test_crafting.py",
    "check = evaluate": "test_documentation.py",
    "clip = read_clip": "test_documentation.py",
    "module robustness": "test_elsewhere.py",
} | dict.fromkeys(
    [
        "FrozenFrames",
        "FrameMean",
        "TwoLayers",
        "SharpnessAware",
        "RMSprop",
        "CsvLists",
        "Arrays:",
        "Confusion",
        "def worst",
    ],
    "test_contributing.py",
)


def test_every_block_of_python_is_run_by_a_test():
    found = [block for document in DOCUMENTS for block in blocks(document, "python")]
    assert [block for block in found if sum(text in block for text in RUN) != 1] == []


def test_the_example_of_a_clip(tmp_path, monkeypatch):
    (tmp_path / "jump").mkdir()
    encode(tmp_path / "jump/a.avi", "-c:v", "mpeg4", frames=20)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(example("python", "clip = read_clip"), names)
    assert names["clip"].shape == (1, 3, 16, 112, 112)
    assert 0 <= names["clip"].min() < names["clip"].max() <= 1


@pytest.mark.slow
def test_the_example_of_a_verdict(capsys):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 2 * 6 * 6, 4)).eval()
        clips = torch.rand(12, 3, 2, 6, 6)
    exec(
        example("python", "check = evaluate"), {"network": network, "clips": clips, "labels": network(clips).argmax(1)}
    )
    assert re.search(r"\d", capsys.readouterr().out)
