"""The Snakemake commands of README and the documentation, each planned as it is written there."""

import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from planning import copy_project, laid_over
from readme import DOCUMENTS, ROOT, blocks, example

MINE = example("yaml", "root: my_videos\n    lists: {method: class_folders}")
# Data that are not there: the plan has to end with the name of their folder.
ABSENT = "/data/ucf101"


def commands() -> dict[str, Path]:
    """Command -> the first document that has it; without comments, and with the place of the clone."""
    found: dict[str, Path] = {}
    for document in DOCUMENTS:
        for line in "".join(blocks(document, "sh")).splitlines():
            command = line.partition(" #")[0].strip()
            if re.match(r"(\.venv/bin/)?snakemake ", command):
                found.setdefault(command.removeprefix(".venv/bin/").replace("CLONE", str(ROOT)), document)
    return found


def configuration(document: Path) -> str:
    """`mine.yaml` of a document: its own examples laid over one another, else the tutorial's."""
    given: dict = {}
    for block in blocks(document, "yaml") if "tutorials" in str(document) else []:
        given = laid_over(given, yaml.safe_load(block))
    return yaml.safe_dump(given, sort_keys=False) if "extends" in given else MINE


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A copy of the project with class folders of empty files in `my_videos`, and an empty image of a container."""
    project = copy_project(tmp_path_factory.mktemp("project"))
    (project / "video-robustness.sif").touch()
    for split in ("train", "test"):
        for name in ("jump", "wave"):
            for number in range(2):
                path = project / f"my_videos/{split}/{name}/{number}.mp4"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
    return project


@pytest.mark.slow
@pytest.mark.parametrize("command", commands())
def test_a_command_plans(folder, command):
    document = commands()[command]
    if "profiles/slurm" in command and find_spec("snakemake_executor_plugin_slurm") is None:
        pytest.skip("the SLURM plugin is not installed")
    if "--sdm apptainer" in command and not shutil.which("apptainer"):
        pytest.skip("apptainer is not installed; tests/test_containers.py runs jobs with a stand-in")
    for block in blocks(document, "python"):
        if "class Flicker" in block:
            (folder / "my_attack.py").write_text(block)
    (folder / "mine.yaml").write_text(configuration(document).replace("/data/mine", "my_videos"))
    arguments = shlex.split(command)[1:]
    position = arguments.index("--") if "--" in arguments else len(arguments)
    arguments[position:position] = [] if "--unlock" in arguments or "-n" in arguments else ["-n"]
    run = [sys.executable, "-m", "snakemake", *arguments]
    done = subprocess.run(run, cwd=folder, capture_output=True, text=True)
    text = done.stdout + done.stderr
    if ABSENT in command:
        assert f"The data set's folder {ABSENT} does not exist" in text, text[-2000:]
    else:
        assert done.returncode == 0, text[-2000:]
        assert "--unlock" in arguments or re.search(r"^total +\d+$", text, re.MULTILINE), text[-2000:]


def test_there_are_commands():
    assert len(commands()) > 10
    assert any("--configfile mine.yaml" in command for command in commands())
