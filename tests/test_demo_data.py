"""The demo's own clips: their motion is learned by a small 3D network, and no single frame shows it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pipeline_lib.clips.loader import as_clips
from pipeline_lib.clips.store import Clips
from pipeline_lib.networks.resnet import ResNet2D
from pipeline_lib.reporting.metrics import accuracy, read_predictions
from planning import ROOT

pytestmark = pytest.mark.slow

CLEAN = "results/synthetic/predictions/standard-s0/clean.csv"


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    """What the demo makes of its videos, without a defense."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", str(folder), CLEAN]
    command += ["--configfile", "config/demo.yaml"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def test_a_small_3d_network_meets_the_criterion_of_the_demo(demo):
    """One of those that chose its difficulty (`resources/measured/demo_pilots.md`)."""
    assert accuracy(read_predictions(demo / CLEAN)).percent > 95


def frames_of(store: Path, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One frame of each clip, (N, 3, H, W), and the labels."""
    clips = Clips(store)
    frames = as_clips(clips.read(range(len(clips))), torch.device("cpu"))[:, :, number]
    return frames, torch.from_numpy(np.asarray(clips.labels))


@pytest.mark.parametrize("number", [0, 4])
def test_a_network_on_single_frames_guesses(demo, number):
    frames, labels = frames_of(demo / "results/synthetic/clips/train.h5", number)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ResNet2D(depth=10, width=16, stages=3, stem_stride=(2, 2))(6)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
        for _ in range(15):
            for rows in torch.randperm(len(labels)).split(16):
                optimizer.zero_grad()
                F.cross_entropy(network(frames[rows]), labels[rows]).backward()
                optimizer.step()
    frames, labels = frames_of(demo / "results/synthetic/clips/test.h5", number)
    correct = (network.eval()(frames).argmax(1) == labels).float().mean()
    assert correct < 1 / 6 + 4 * (1 / 6 * 5 / 6 / len(labels)) ** 0.5
