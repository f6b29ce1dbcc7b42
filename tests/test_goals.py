"""What targeted attacks climb: closed forms on logits, and how crafting finds an attack's goal."""

import pytest
import torch
from torch.nn import functional as F

from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.goal_loss import goal_loss
from pipeline_lib.attacks.goals import LeastLikely, NextClass, TargetClass, Untargeted, goal_of, loss_of
from pipeline_lib.attacks.losses import cross_entropy
from pipeline_lib.attacks.perturbations import AdditiveLinf
from pipeline_lib.attacks.steepest import Steepest
from pipeline_lib.errors import PipelineError

LOGITS = torch.tensor([[2.0, 0.5, -1.0], [0.0, 1.0, 3.0], [-2.0, 0.0, 0.5], [1.0, 1.5, 1.2]])
LABELS = torch.tensor([0, 2, 1, 0])
CLIPS = torch.zeros(4, 3, 2, 2, 2)
PERTURBATION = AdditiveLinf(epsilon=0.1, step_size=0.1)


def attack_loss(goal) -> torch.Tensor:
    return goal.criterion(lambda clips: LOGITS, CLIPS, LABELS)(LOGITS)


@pytest.mark.parametrize(
    ("goal", "targets"),
    [
        (NextClass(), [1, 0, 2, 1]),
        (LeastLikely(), [2, 0, 0, 2]),
        (TargetClass(target=2), [2, 2, 2, 2]),
        (TargetClass(target=0), [0, 0, 0, 0]),
    ],
)
def test_targeted_losses(goal, targets):
    """Minus the cross-entropy to the target, by hand; plus for a clip that has it as its label already."""
    expected = [
        float(-LOGITS[i, t] + LOGITS[i].exp().sum().log()) * (1 if t == LABELS[i] else -1)
        for i, t in enumerate(targets)
    ]
    torch.testing.assert_close(attack_loss(goal), torch.tensor(expected))


def test_the_least_likely_class_is_a_wrong_one():
    """The fourth clip's own label is the least likely of all."""
    assert LOGITS[3].argmin() == LABELS[3] == 0


def test_untargeted_is_cross_entropy_bit_for_bit():
    expected = F.cross_entropy(LOGITS, LABELS, reduction="none")
    assert torch.equal(attack_loss(Untargeted()), expected)
    assert torch.equal(cross_entropy(lambda clips: LOGITS, LABELS)(CLIPS), expected)


def test_the_least_likely_class_is_that_of_the_clean_clips():
    """The target stays while the answer moves away from it."""
    criterion = LeastLikely().criterion(lambda clips: LOGITS[:1], CLIPS[:1], LABELS[:1])
    torch.testing.assert_close(criterion(-LOGITS[:1]), (-LOGITS[:1]).log_softmax(1)[:, 2])


def test_a_target_has_to_be_a_class():
    with pytest.raises(PipelineError, match="target is -1: it must be at least 0"):
        TargetClass(target=-1)
    assert TargetClass(target=0).target == 0
    with pytest.raises(PipelineError, match="target is 3: the network has the classes 0 to 2"):
        attack_loss(TargetClass(target=3))


class Wrapper:
    def __init__(self, attack):
        self.attack = attack

    wraps = "attack"


def test_the_goal_of_an_attack():
    """Its own, that of the attack it wraps, or none: a user's attack need not know of goals."""
    targeted = Ascent(perturbation=PERTURBATION, steps=1, goal=NextClass())
    assert goal_of(targeted) == NextClass()
    assert goal_of(Wrapper(Wrapper(targeted))) == NextClass()
    assert goal_of(Steepest(attacks=[targeted], steps=1)) == Untargeted()
    assert goal_of(lambda loss, clips, generators: clips) == Untargeted()
    assert goal_of(Wrapper(object())) == Untargeted()


def test_the_loss_of_an_attack_climbs_its_goal():
    targeted = Ascent(perturbation=PERTURBATION, steps=1, goal=TargetClass(target=2))
    found = loss_of(targeted, lambda clips: LOGITS.bfloat16(), CLIPS, LABELS)(CLIPS)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, attack_loss(TargetClass(target=2)), rtol=0.01, atol=0.01)


def test_gradients_are_counted_per_clip():
    clips = torch.rand(3, 2)
    loss = goal_loss(lambda given: given, clips, torch.tensor([0, 1, 0]), Untargeted())
    for given in (clips, clips.clone().requires_grad_(), clips[:2].clone().requires_grad_()):
        loss.maximized = loss.last
        loss(given)
    assert loss.passes == 5


def test_which_clips_fool_the_network_is_known_of_the_last_call_and_if_the_goal_is_any_error():
    any_error, targeted = (goal_loss(lambda given: given, LOGITS, LABELS, goal) for goal in (Untargeted(), NextClass()))
    assert any_error.fooled() is None
    any_error(LOGITS)
    targeted(LOGITS)
    assert any_error.fooled().tolist() == [False, False, True, True]
    assert targeted.fooled() is None


def test_the_loss_of_another_goal_for_some_clips_has_the_same_transform():
    tripled = goal_loss(
        lambda given: given, LOGITS, LABELS, Untargeted(), transform=lambda loss: lambda clips: 3 * loss(clips)
    )
    rows = torch.tensor([2, 0])
    other = tripled.of(NextClass(), rows)
    torch.testing.assert_close(other(LOGITS[rows]), 3 * attack_loss(NextClass())[rows])
    again = other.of(Untargeted(), torch.tensor([1]))
    torch.testing.assert_close(again(LOGITS[:1]), 3 * attack_loss(Untargeted())[:1])


def test_what_an_attack_calls_its_goal_need_not_be_one():
    named, targeted = Wrapper(object()), Wrapper(Ascent(perturbation=PERTURBATION, steps=1, goal=NextClass()))
    named.goal = targeted.goal = "speed"
    assert goal_of(named) == Untargeted()
    assert goal_of(targeted) == NextClass()
