"""Queries of Square: of which clips, and what is recorded of them."""

import torch
from torch import Tensor

import tiny
from attack_cases import five_classes
from pipeline_lib.attacks import AdditiveLinf, Margin, craft
from pipeline_lib.attacks.goal_loss import goal_loss
from pipeline_lib.evaluation.recording import RecordedLoss
from sets import attacked, rows_of
from test_square import LINF, MANY, run, square

NETWORK = five_classes()


def test_a_clip_that_falls_takes_no_more_queries():
    labels = NETWORK(MANY).argmax(1)
    labels[:9] = (labels[:9] + 1) % 5
    counts = []

    def counted(clips: Tensor) -> Tensor:
        counts.append(len(clips))
        return NETWORK(clips)

    attack = square(LINF, 30)
    loss = goal_loss(counted, MANY, labels, Margin(), exact=NETWORK)
    found = run(attack, loss, MANY)
    assert len(counts) == 30
    assert counts == sorted(counts, reverse=True)
    assert counts[1] <= 51
    # Each clip that is given up fools the network in both forms, and each that is left is correct in one of them.
    fallen = (NETWORK(found).argmax(1) != labels) & (NETWORK(attack.quantize(found, MANY)).argmax(1) != labels)
    assert counts[-1] <= 60 - counts[0] + int((~fallen).sum()) + 5
    assert 0 < (~fallen).sum() < 51


def test_every_query_is_recorded_and_needs_the_answers_of_the_network_only():
    """On the lattice, the clips of each query are those that the earlier ones left correct."""
    labels = NETWORK(MANY).argmax(1)
    counts = []

    def answers(clips: Tensor) -> Tensor:
        """As of a service: no graph, and no gradient."""
        counts.append(len(clips))
        return NETWORK(clips.detach()).detach()

    loss = goal_loss(answers, MANY, labels, Margin(), exact=NETWORK)
    recorded = RecordedLoss(answers, labels)
    loss.kept = recorded.kept
    attack = square(AdditiveLinf(epsilon=16 / 255, step_size=0.01), 30)
    found = run(attack, loss, MANY)
    correct = [int(answer.sum()) for answer in recorded.correct]
    assert [60, *correct[:-1]] == counts[:30]
    assert correct[-1] == int((NETWORK(found).argmax(1) == labels).sum()) < 50
    assert torch.equal(found, craft(NETWORK, MANY, labels, attack))


def test_its_set_has_the_curve_of_accuracy_over_queries(made, tmp_path):
    wide = {"perturbation": tiny.PGD["perturbation"] | {"epsilon": 100 / 255}}
    entry = {"method": "pipeline_lib.attacks.square:Square", "inside": tiny.PGD | wide, "queries": 12}
    out = attacked(made, tmp_path, entry)
    (audit,), trace = rows_of(out / "audit.csv"), rows_of(out / "trace.csv")
    accuracies = [float(row["accuracy"]) for row in trace]
    assert [int(row["step"]) for row in trace] == [*range(13)]  # some clips withstand all queries
    assert int(audit["iterations"]) == 12
    assert accuracies[0] == float(audit["clean_accuracy"])
    assert accuracies[-1] == float(audit["live_accuracy"]) < accuracies[0]
    assert accuracies == sorted(accuracies, reverse=True)
