"""The demo's MultiBN: its selection module learns, jointly with the network, to select the branch of each type."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline_lib.reporting.metrics import read_predictions
from planning import ROOT

pytestmark = pytest.mark.slow

MODEL = "multibn-s0"
BRANCHES = {"clean": "clean", f"{MODEL}/pgd": "lp", f"{MODEL}/roa": "physical"}


@pytest.fixture(scope="module")
def predictions(tmp_path_factory) -> Path:
    """The folder of the model's predictions on clean clips and on sets made on the model itself."""
    folder = tmp_path_factory.mktemp("demo")
    targets = [f"results/synthetic/predictions/{MODEL}/{name}.csv" for name in BRANCHES]
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", str(folder), *targets]
    subprocess.run([*command, "--configfile", "config/demo.yaml"], cwd=ROOT, check=True, capture_output=True)
    return folder / f"results/synthetic/predictions/{MODEL}"


@pytest.mark.parametrize(("name", "branch"), BRANCHES.items())
def test_nine_of_ten_clips_of_each_type_are_given_to_its_branch(predictions, name, branch):
    selected = read_predictions(predictions / f"{name}.csv")["selected"]
    assert 100 * (selected == branch).mean() > 90
