"""pyproject.toml and environment.yml install the same things."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"matplotlib-base": "matplotlib", "pytorch": "torch"}
ONLY_CONDA = {"python", "ffmpeg", "pip"}


def parsed(requirement: str) -> tuple[str, str]:
    name, bound = re.fullmatch(r"([A-Za-z0-9-]+)(.*)", requirement).groups()
    return CONDA_NAMES.get(name, name).lower(), bound


def test_both_files_ask_for_the_same_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    # `make mutants` and `make docs` install their own; one network and the browser are left to those who want them.
    optional, apart = project["optional-dependencies"], ("mutants", "docs", "diffusion", "browser")
    extras = [packages for name, packages in optional.items() if name not in apart]
    pip = dict(map(parsed, sum(extras, project["dependencies"])))
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (from_pip,) = [entry["pip"] for entry in entries if isinstance(entry, dict)]
    asked = [entry for entry in [*entries, *from_pip] if isinstance(entry, str) and entry != "-e ."]
    conda = dict(map(parsed, asked))
    assert {name: bound for name, bound in conda.items() if name not in ONLY_CONDA} == pip


def test_conda_has_the_same_python():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (
        f"python{project['requires-python']}" in yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    )
