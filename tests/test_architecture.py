"""The floors of the package: imports point downwards only, and the workflow's own imports stay light."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "pipeline_lib"
FLOORS = [
    {"commands", "errors", "entries", "provenance", "configuration", "jobs", "precision", "records", "context"},
    {"randomness", "ffmpeg_binary", "pictures"},
    {"recompression"},
    {"clips", "networks", "attacks", "transforms"},
    {"defenses"},
    {"models"},
    {"training", "evaluation"},
    {"reporting"},
    {"check", "plan", "exchange"},
]
LONGEST_RULE = 22  # lines
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}
# Libraries beside the standard one that floor 0 may use, inside functions only.
LAZY = {"torch", "jsonschema", "tqdm", "yaml", "snakemake", "matplotlib"}


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


MODULES = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    own = room_of(path)
    for name in imports(path):
        if name.startswith("pipeline_lib."):
            other = name.split(".")[1]
            assert FLOOR[other] < FLOOR[own] or other == own or FLOOR[own] == FLOOR[other] == 0, f"{path.name}: {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_reporting_never_loads_torch(path):
    if room_of(path) == "reporting":
        assert not any(name.split(".")[0] == "torch" for name in imports(path))


def test_floor_zero_loads_the_standard_library_only():
    paths = [path.relative_to(PACKAGE).with_suffix("") for path in MODULES if FLOOR[room_of(path)] == 0]
    modules = ", ".join(".".join(["pipeline_lib", *path.parts]) for path in paths)
    code = f"import sys; before = set(sys.modules); import {modules}; print(*set(sys.modules) - before)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    own = {*sys.stdlib_module_names, "pipeline_lib"}
    assert {name.split(".")[0] for name in loaded} - own == set()
    inside = {name.split(".")[0] for path in MODULES if FLOOR[room_of(path)] == 0 for name in imports(path)}
    assert inside - own == LAZY


def test_files_and_functions_stay_short():
    for path in MODULES:
        text = path.read_text()
        assert text.count("\n") <= 220, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 40, f"{path.name}: {node.name}"


def test_files_of_tests_stay_short():
    for path in Path(__file__).parent.glob("*.py"):
        assert path.read_text().count("\n") <= 400, path


def test_rules_hold_no_logic():
    """What they share is short, and the rules themselves define no functions."""
    rules = PACKAGE.parent / "workflow/rules"
    assert (rules / "common.smk").read_text().count("\n") <= 120
    for path in rules.glob("*.smk"):
        assert path.name == "common.smk" or "def " not in path.read_text(), path.name
        for rule, lines in rules_of(path).items():
            assert len(lines) <= LONGEST_RULE, f"{path.name}: {rule} has {len(lines)} lines"


def rules_of(path: Path) -> dict[str, list[str]]:
    """The lines of each rule of a file without those that are empty or comments, its first line among them."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if re.match(r" *(use )?rule\b.*:$", line):
            found[line.strip()] = lines = [line]
        elif found and line.startswith(" ") and not line.strip().startswith("#"):
            lines.append(line)
    return found


def test_few_functions_take_many_arguments():
    """Two have more: the fields of a network's entry, and what a store of clips consists of."""
    found = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                names = [argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)]
                found[f"{path.name}: {node.name}"] = len(names) - ("self" in names)
    assert {name for name, count in found.items() if count > 8} == {
        "resnet.py: __init__",
        "store_writer.py: write_store",
    }


def test_jobs_of_evaluation_take_objects_and_not_many_arguments():
    for path in MODULES:
        if room_of(path) == "evaluation":
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef):
                    names = [argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)]
                    assert len(names) - ("self" in names) <= 7, f"{path.name}: {node.name}"


def test_the_protocols_of_attacks_are_in_one_file():
    """`Attack` elsewhere is a name for one of them, or for a class of attacks."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases) and "Attack" in node.name:
                assert path == PACKAGE / "attacks/protocols.py", f"{path.name}: {node.name}"
