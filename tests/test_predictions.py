"""Scores of clips: answers, losses and selected branches, and their way through a file of predictions."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from pipeline_lib.evaluation.cascade import ChosenClips, Union, read_scores
from pipeline_lib.evaluation.prediction import Scores, prediction_draws, score, write_predictions
from test_bn_selector import selected

CLIPS = torch.rand(6, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])
VIDEOS = ["C/v_0.avi", "C/ä,b.avi", 'C/"2".avi', "C/v_3.avi", "C/v\r4.avi", "C/v_5.avi"]
BRANCHES = ["clean", "lp", "physical"]


def test_answers_losses_and_selections_are_those_of_the_network():
    network = selected().eval()
    found = score(network, CLIPS, LABELS, prediction_draws(VIDEOS))
    with torch.no_grad():
        logits, choices = network(CLIPS), network.selector(CLIPS)
    assert found.predictions.tolist() == logits.argmax(1).tolist()
    np.testing.assert_allclose(found.losses, F.cross_entropy(logits, LABELS, reduction="none"), rtol=1e-6)
    assert found.selections.tolist() == choices.argmax(1).tolist()


def test_a_network_that_does_not_select_has_no_selection_and_infinite_logits_no_loss():
    class Extreme(nn.Module):
        def forward(self, clips):
            logits = torch.eye(3)[LABELS]
            logits[1, 2], logits[4, 0] = -torch.inf, torch.nan
            return logits

    found = score(Extreme(), CLIPS, LABELS, prediction_draws(VIDEOS))
    assert (found.selections == -1).all()
    assert np.isnan(found.losses).tolist() == [False, True, False, False, True, False]


def test_a_file_of_predictions_reads_back_as_the_scores_of_some_clips(tmp_path: Path) -> None:
    data = SimpleNamespace(videos=VIDEOS, labels=LABELS.numpy(), classes=BRANCHES, shape=(6, 4, 16, 16, 3))
    scores = Scores(np.array([0, 2, 2, 1, 1, 0]), np.array([0.5, 2.0, 0.25, 1.5, 0.125, 4.0]), np.arange(6) % 4 - 1)
    write_predictions(tmp_path / "p.csv", data, scores, BRANCHES)
    with (tmp_path / "p.csv").open(newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert [row["selected"] for row in written] == ["", "clean", "lp", "physical", "", "clean"]
    assert [row["loss"] for row in written[:3]] == ["0.500000", "2.000000", "0.250000"]
    rows = np.array([4, 1, 0])
    found = read_scores(tmp_path / "p.csv", ChosenClips(data, rows), BRANCHES)
    for name in Scores._fields:
        assert getattr(found, name).tolist() == getattr(scores, name)[rows].tolist()


def test_a_union_has_the_scores_of_the_first_attack_that_fools() -> None:
    union = Union(np.array([3, 3]))
    assert union.selections.tolist() == [-1, -1]
    union.offer(union.remaining(), Scores(np.array([3, 0]), np.array([0.1, 2.0]), np.array([1, 2])))
    assert union.remaining().tolist() == [0]
    union.offer(union.remaining(), Scores(np.array([1]), np.array([5.0]), np.array([0])))
    assert union.remaining().tolist() == []
    assert [union.predictions.tolist(), union.losses.tolist(), union.selections.tolist()] == [
        [1, 0],
        [5.0, 2.0],
        [0, 2],
    ]
