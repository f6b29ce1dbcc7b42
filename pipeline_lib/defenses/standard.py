"""No defense: training on clean clips."""

from torch import Tensor, nn

from pipeline_lib.defenses.objective import Draw, Objective, mean_cross_entropy
from pipeline_lib.entries.ranges import method


@method
class Standard:
    """Cross-entropy on clean clips ("Clean Model", "No Defense")."""

    def extend(self, network: nn.Module) -> nn.Module:
        return network

    def objective(self, network: nn.Module, clips: Tensor, labels: Tensor, draw: Draw) -> Objective:
        return mean_cross_entropy(network(clips), labels)
