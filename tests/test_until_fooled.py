"""PGD that ends for clips that fool the network: what it keeps of PGD, and what it saves."""

import dataclasses

import pytest
import torch
from torch import nn

from pipeline_lib.attacks import craft
from pipeline_lib.attacks.strongest import Strongest
from pipeline_lib.check.target import Target
from pipeline_lib.check.threats import parsed
from pipeline_lib.check.until_fooled import UntilFooled
from pipeline_lib.errors import PipelineError
from planted import data, robust

CLIPS, LABELS = data()
THREATS = ("linf:12/255", "l2:0.8", "l1:60", "ratio_linf:1.1", "rectangle:4x4", "pixels:8")


def correct(network: nn.Module, clips: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network(clips).argmax(1) == LABELS


@pytest.mark.parametrize("text", THREATS)
def test_clips_that_resist_are_those_of_the_whole_attack_and_others_an_earlier_iterate(text: str) -> None:
    attack, network = parsed(text).attack(5), robust()
    early = craft(network, CLIPS, LABELS, UntilFooled(attack))
    iterates = [craft(network, CLIPS, LABELS, dataclasses.replace(attack, steps=steps)) for steps in range(1, 6)]
    outcomes = torch.stack([correct(network, one) for one in iterates])
    stands = correct(network, early)
    assert 0 < stands.sum() < len(CLIPS)
    assert not (stands & ~outcomes.all(0)).any()  # what any iterate fools is fooled
    torch.testing.assert_close(early[stands], iterates[-1][stands])
    for row in (~stands & outcomes[0]).nonzero().flatten().tolist():
        first = int((~outcomes[:, row]).nonzero()[0])
        torch.testing.assert_close(early[row], iterates[first][row])


def test_restarts_go_on_with_the_clips_that_are_left() -> None:
    attack = dataclasses.replace(parsed("pixels:8").attack(3), restarts=4)
    one = correct(robust(), craft(robust(), CLIPS, LABELS, UntilFooled(dataclasses.replace(attack, restarts=1))))
    several = correct(robust(), craft(robust(), CLIPS, LABELS, UntilFooled(attack)))
    assert not (several & ~one).any()
    assert several.sum() < one.sum()


def test_fooled_clips_make_no_more_passes() -> None:
    network, counted = robust(), []
    target = Target(network, CLIPS, LABELS, [str(row) for row in range(48)], 48, seed=0)
    target.network.count = counted.append
    rows = list(range(48))
    for attack in (UntilFooled(parsed("linf:60/255").attack(10)), parsed("linf:60/255").attack(10)):
        target.crafted(attack, rows)
        counted.append(0)
    early, whole = sum(counted[: counted.index(0)]), sum(counted[counted.index(0) :])
    assert early < whole / 3


def test_passes_in_bfloat16_are_confirmed() -> None:
    """A network whose bfloat16 is always wrong: no clip ends early, so that float32's outcome is PGD's."""

    class Wrong(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = robust()

        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            logits = self.network(clips)
            return -logits if torch.is_autocast_enabled("cpu") else logits

    attack = dataclasses.replace(parsed("linf:1/255").attack(2), precision="bf16")
    early = craft(Wrong(), CLIPS, LABELS, UntilFooled(attack))
    assert correct(robust(), early).float().mean() > 0.9


def test_it_is_as_one_of_several_attacks_of_a_bound() -> None:
    threat = parsed("linf:12/255")
    both = Strongest(attacks=[UntilFooled(threat.attack(3)), threat.apgd(3)])
    assert correct(robust(), craft(robust(), CLIPS, LABELS, both)).float().mean() < 1


def test_another_loss_is_refused() -> None:
    with pytest.raises(PipelineError, match="needs to record which clips fool"):
        UntilFooled(parsed("linf:1/255").attack(1))(lambda clips: clips.flatten(1).sum(1), CLIPS, [])
