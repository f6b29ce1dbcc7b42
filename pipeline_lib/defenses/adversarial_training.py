"""Adversarial training on one attack (Madry et al., 2018; the papers' AT-PGD, AT-ROA, AT-AF, AT-SPA)."""

from torch import Tensor, nn

from pipeline_lib.attacks.protocols import Attack
from pipeline_lib.defenses.objective import Draw, Objective, adversarial_examples, mean_cross_entropy
from pipeline_lib.entries.ranges import method


@method
class AdversarialTraining:
    """Cross-entropy on adversarial clips only, without a clean term, as in the authors' training code.

    attack: makes the clips of every step.
    """

    attack: Attack

    def extend(self, network: nn.Module) -> nn.Module:
        return network

    def objective(self, network: nn.Module, clips: Tensor, labels: Tensor, draw: Draw) -> Objective:
        adversarial = adversarial_examples(network, network, self.attack, clips, labels, draw("attack"))
        return mean_cross_entropy(network(adversarial), labels)
