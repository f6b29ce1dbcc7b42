"""The numbers of an audit, by hand: three clips, two iterations."""

import numpy as np
import pytest
import torch

from pipeline_lib.attacks.expectation import Expectation
from pipeline_lib.attacks.frame_order import DroppedFrames
from pipeline_lib.errors import PipelineError
from pipeline_lib.evaluation.attacked import AttackedClips, BoundFacts, FirstStepFacts, Trace
from pipeline_lib.evaluation.audit import (
    NOT_MEASURED,
    audit_of,
    bound_facts,
    model_gap,
    require_finite,
    trace_of,
    trace_rows,
    with_learned_gradient,
)
from pipeline_lib.evaluation.prediction import Scores
from pipeline_lib.evaluation.recording import RecordedLoss, zero_elements
from pipeline_lib.precision import gap_allowed
from pipeline_lib.randomness.generators import clip_generators

LABELS = np.array([0, 1, 1])


def answers(*predictions: int) -> Scores:
    return Scores(np.array(predictions), np.zeros(3), np.full(3, -1))


ATTACKED = AttackedClips(
    FirstStepFacts(
        predicted_increase=np.array([1.0, 2.0, 6.0]),
        first_rise=np.array([0.0, 1.0, 0.5]),
        zero_gradient=np.array([False, True, False]),
        zero_elements=np.array([0.25, 1.0, 0.25]),
        below_floor=np.array([False, True, False]),
    ),
    Trace(
        loss=np.array([[1.0, 2.0, 6.0], [2.0, 2.0, 2.0], [3.0, 5.0, 7.0]]),
        correct=np.array([[True, True, False], [True, False, False], [True, False, True]]),
    ),
    BoundFacts(
        live_ratio=np.array([0.5, 1.0, 0.25]),
        stored_ratio=np.array([0.75, 0.5, 0.25]),
        box_excess=np.array([0.0, 0.125, 0.0625]),
        unchanged=np.array([False, False, True]),
    ),
    clean=answers(0, 1, 0),
    live=answers(1, 0, 1),
    stored=answers(1, 0, 0),
    model_gap=np.array([0.5, NOT_MEASURED, 0.25]),
    goal_reached=np.array([True, True, False]),
    crc32=np.zeros(3, np.uint32),
)


def test_a_row_of_facts_is_the_mean_or_the_worst_of_the_clips():
    third = pytest.approx(1 / 3)
    assert audit_of(ATTACKED, LABELS, "bf16")._asdict() == {
        "clips": 3,
        "iterations": 2,
        "zero_gradients": third,
        "zero_elements": 0.5,
        "start_loss": 2.0,
        "end_loss": 5.0,
        "predicted_increase": 3.0,
        "first_rise": 0.5,
        "changed_predictions": pytest.approx(2 / 3),
        "reached_goals": pytest.approx(2 / 3),
        "unchanged_clips": third,
        "live_bound_ratio": 1.0,
        "bound_ratio": 0.75,
        "box_excess": 0.125,
        "model_gap": 0.375,
        "gap_allowed": gap_allowed("bf16"),
        "clean_accuracy": pytest.approx(200 / 3),
        "live_accuracy": pytest.approx(100 / 3),
        "stored_accuracy": 0.0,
        # The third clip is wrong after one iteration and correct again after two; the first one falls in the last.
        "recovered_clips": third,
        "last_fall": third,
        "last_rise": 0.5,  # of the third clip: its loss goes from 3 over 5 to 7
        "below_floor": third,
        # Two of three answers are equal; the first clip is correct, and one of the two of the other class.
        "classes": 2,
        "one_answer": pytest.approx(2 / 3),
        "answer_entropy": pytest.approx(1),
        "balanced_accuracy": 75.0,
    }


def test_gaps_are_zero_where_none_was_measured_and_allowed_for_fp32_by_default():
    audit = audit_of(ATTACKED._replace(model_gap=np.full(3, NOT_MEASURED)), LABELS)
    assert (audit.model_gap, audit.gap_allowed) == (0.0, gap_allowed("fp32"))
    assert gap_allowed("fp32") != gap_allowed("bf16")


def test_a_trace_has_a_row_for_each_number_of_iterations():
    third = pytest.approx(100 / 3)
    assert trace_rows(ATTACKED.trace) == [(0, 100.0, 2.0), (1, third, 3.0), (2, third, 5.0)]


def test_zeros_count_where_an_attack_changed_something():
    """In the first clip two pixels of two channels, one of them at the start only; in the second none, that is all."""
    clean = torch.zeros(2, 2, 1, 1, 4)
    start, live = clean.clone(), clean.clone()
    start[0, 0, 0, 0, 0] = live[0, 1, 0, 0, 1] = 1.0
    zeros = torch.zeros_like(clean, dtype=torch.bool)
    zeros[0, 0, 0, 0, :3] = True  # the third pixel is outside
    zeros[1, 1] = True
    assert zero_elements(zeros, start, live, clean).tolist() == [2 / 4, 4 / 8]


def test_a_learned_pattern_has_the_same_zeros_for_every_clip():
    for zeros, vanishes in ((0.5, False), (1.0, True)):
        found = with_learned_gradient(ATTACKED, zeros)
        assert found.first_step.zero_gradient.tolist() == [vanishes] * 3
        assert found.first_step.zero_elements.tolist() == [zeros] * 3
        assert found.first_step.first_rise is ATTACKED.first_step.first_rise


def recorded(**fields) -> RecordedLoss:
    return RecordedLoss(model=lambda clips: clips, labels=torch.tensor([0, 1]), **fields)


def test_a_trace_ends_with_the_live_clips():
    loss = recorded(losses=[torch.tensor([1.0, 2.0])], correct=[torch.tensor([True, False])])
    final = Scores(predictions=np.array([1, 1]), losses=np.array([3.0, 4.0]), selections=np.array([-1, -1]))
    clean = final._replace(losses=np.array([0.5, 0.5]))
    found = trace_of(loss, clean, final, np.array([0, 1]))
    assert found.loss.tolist() == [[1.0, 3.0], [2.0, 4.0]]
    assert found.correct.tolist() == [[True, False], [False, True]]


def test_the_trace_of_a_search_has_a_step_for_each_query_and_keeps_what_did_not_change():
    """Logits of two classes: cross-entropy log(1 + exp(difference))."""
    loss, two = recorded(losses=[torch.zeros(2)], correct=[torch.zeros(2)]), torch.tensor([0, 1])
    loss.kept(two, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    loss.kept(two[:0], torch.zeros(0, 2))
    loss.kept(two[1:], torch.tensor([[2.0, 0.0]]))
    clean, final = (
        Scores(np.array(p), np.array([v, v]), np.array([-1, -1])) for p, v in (([0, 1], 0.25), ([0, 0], 3.0))
    )
    found = trace_of(loss, clean, final, np.array([0, 1]))
    once = np.log1p(np.exp(-1))
    np.testing.assert_allclose(found.loss, [[0.25, once, once, 3.0], [0.25, once, once, 3.0]], rtol=1e-6)
    assert found.correct.tolist() == [[True] * 4, [True, True, True, False]]
    assert loss.losses[2].tolist() == pytest.approx([once, np.log1p(np.exp(2))])


def test_a_recorded_loss_notes_gradients_and_what_came_before_only_without_any():
    """Logits are the clips: two classes, cross-entropy log(1 + exp(difference))."""
    loss = recorded()
    tried, clips = torch.tensor([[3.0, 0.0], [2.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 2.0]])
    given = loss(tried)
    assert torch.equal(given, loss.losses[0])
    assert [answer.tolist() for answer in loss.correct] == [[True, False]]
    assert torch.equal(loss.first_clip, tried[:1])
    loss(2 * tried)
    assert len(loss.losses) == 1
    for _ in range(2):
        loss(clips.clone().requires_grad_())
    loss(tried)
    assert [answer.tolist() for answer in loss.correct] == [[False, True]] * 2
    torch.testing.assert_close(loss.losses[1], torch.tensor([1.0, -2.0]).exp().log1p())
    assert torch.equal(loss.first_clip, clips[:1])


def test_a_criterion_is_climbed_and_the_cross_entropy_noted():
    loss = recorded(criterion=lambda logits: logits[:, 0])
    assert loss(torch.tensor([[5.0, 0.0], [7.0, 0.0]])).tolist() == [5.0, 7.0]
    assert loss.losses[0][1] > 7


def test_a_model_without_a_way_back_to_its_clips_has_a_zero_gradient():
    cut = RecordedLoss(model=lambda clips: clips.detach().flatten(1)[:, :2], labels=torch.tensor([0, 1]))
    clips = torch.rand(2, 3, 1, 2, 2, requires_grad=True)
    losses = cut(clips)
    torch.testing.assert_close(losses.detach(), cut.losses[0])
    assert (torch.autograd.grad(losses.sum(), clips)[0] == 0).all()


class HalfBound:
    """Uses what the clips differ by, twice."""

    def ratio_to_bound(self, adversarial, clean):
        return 2 * (adversarial - clean).abs().flatten(1).amax(1)


def test_live_and_stored_clips_are_measured_against_the_clean_ones():
    clean = torch.tensor([0.5, 0.75, 0.25]).view(3, 1, 1, 1, 1).expand(3, 2, 1, 1, 1)
    live = clean + torch.tensor([0.125, 0.5, -0.5]).view(3, 1, 1, 1, 1)
    stored = torch.stack([clean[0], live[1].clamp(0, 1), torch.stack([clean[2, 0], live[2, 1].clamp(0, 1)])])
    facts = bound_facts(HalfBound(), live, stored, clean)
    assert {name: values.tolist() for name, values in facts._asdict().items()} == {
        "live_ratio": [0.25, 1.0, 1.0],
        "stored_ratio": [0.0, 0.5, 0.5],
        "box_excess": [0.0, 0.25, 0.25],
        "unchanged": [True, False, False],
    }


def test_a_clip_whose_strongest_candidate_is_the_clean_clip_was_not_left_out():
    clean = torch.rand(3, 1, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    dropped = DroppedFrames(dropped=2)
    # Every lost frame makes this loss smaller.
    made = dropped(lambda clips: -(clips - clean).abs().flatten(1).sum(1), clean, clip_generators(0, ["a", "b", "c"]))
    assert torch.equal(made, clean)
    for attack in (dropped, Expectation(attack=dropped, samples=2)):
        assert bound_facts(attack, made, made, clean).unchanged.tolist() == [False] * 3
    assert bound_facts(HalfBound(), made, made, clean).unchanged.tolist() == [True] * 3


def test_the_gap_of_the_first_clip_is_relative_to_its_loss_as_evaluated():
    loss = recorded(losses=[torch.tensor([3.0, 9.0])], first_clip=torch.zeros(1, 2))
    asked = []

    def evaluate(clip, label):
        asked.append((clip.shape, label.tolist()))
        return Scores(predictions=np.zeros(1), losses=np.array([1.0]), selections=np.zeros(1))

    assert model_gap(loss, evaluate).tolist() == [(3 - 1) / (1 + 1), NOT_MEASURED]
    assert asked == [((1, 2), [0])]
    assert model_gap(recorded(), evaluate).tolist() == [NOT_MEASURED, NOT_MEASURED]


def test_videos_that_are_not_finite_are_named_three_of_them():
    videos = [f"v{number}" for number in range(5)]
    fine, some = torch.zeros(5, 2), torch.zeros(5)
    require_finite(videos, "losses", fine, some)
    some[1] = torch.nan
    with pytest.raises(PipelineError, match="^losses not finite for v1: the network or its loss overflows$"):
        require_finite(videos, "losses", fine, some)
    fine[[0, 2], 1] = torch.inf
    with pytest.raises(PipelineError, match="for v0, v1, v2: "):
        require_finite(videos, "losses", fine, some)
    some[4] = -torch.inf
    with pytest.raises(PipelineError, match="for v0, v1, v2 and 1 more: "):
        require_finite(videos, "losses", fine, some)
