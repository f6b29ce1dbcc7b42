"""MultiBN: one BatchNorm branch for each type of input (Lo and Patel, IEEE T-IP 2022)."""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from pipeline_lib.attacks.protocols import Attack, Model
from pipeline_lib.defenses.objective import Draw, Objective, adversarial_examples, mean_cross_entropy
from pipeline_lib.defenses.update import Figures, Update, descended
from pipeline_lib.entries.ranges import Fraction, NonNegative, method
from pipeline_lib.networks.bn_selector import Mixture, SelectedNetwork, Softmax, Weighting, choosing, record_selections
from pipeline_lib.networks.extension import Network
from pipeline_lib.networks.multi_batchnorm import branch_out, through, through_groups
from pipeline_lib.records.selectors import GUESS, LOSS

Branches = Mapping[str, Sequence[Attack | None]]

# In the authors' networks, the branches share the BatchNorm of a shortcut.
SHARED = ("downsample",)


class Inputs(NamedTuple):
    """The inputs of a training step: one batch, grouped by type in the order of the branches, and their counts."""

    batch: Tensor
    labels: Tensor
    groups: list[tuple[str, int]]

    def types(self) -> Tensor:
        """(N,): the branch index of each clip's true type."""
        counts = torch.tensor([count for _, count in self.groups])
        return torch.arange(len(self.groups)).repeat_interleave(counts).to(self.labels.device)


def crafted_inputs(
    network: nn.Module,
    branches: Branches,
    model_of: Callable[[str], Model],
    clips: Tensor,
    labels: Tensor,
    draw: Draw,
) -> Inputs:
    """For each branch the examples of its attacks, crafted on `model_of(branch)`; None and an empty list mean
    the clean clips."""
    examples = {
        branch: [
            adversarial_examples(network, model_of(branch), attack, clips, labels, draw(f"{branch} {i}"))
            if attack
            else clips
            for i, attack in enumerate(attacks)
        ]
        or [clips]
        for branch, attacks in branches.items()
    }
    every = [example for group in examples.values() for example in group]
    groups = [(branch, len(labels) * len(group)) for branch, group in examples.items()]
    return Inputs(torch.cat(every), labels.repeat(len(every)), groups)


def shared_norms(branch_shortcuts: bool) -> tuple[str, ...]:
    return () if branch_shortcuts else SHARED


@method
class MultiBNManual:
    """MultiBN whose branch is chosen by hand: each type of input is crafted on, and normalized by, its own branch.

    `branches` gives the attacks of each branch; None among them, or an empty list, means the clean clips. They and all
    examples are one batch (for shared convolutions and shared shortcut BatchNorms, too), as in the authors' code.

    branches: name -> attacks.
    branch_shortcuts: whether the BatchNorms of shortcuts have branches, too.
    """

    branches_by: ClassVar[str] = "branches"
    examples: ClassVar[str] = "sum(max(len(attacks), 1) for attacks in branches.values())"

    branches: dict[str, list[Attack | None]]
    branch_shortcuts: bool = False

    def extend(self, network: nn.Module) -> nn.Module:
        return branch_out(network, list(self.branches), shared_norms(self.branch_shortcuts))

    def objective(self, network: nn.Module, clips: Tensor, labels: Tensor, draw: Draw) -> Objective:
        inputs = crafted_inputs(network, self.branches, lambda branch: through(network, branch), clips, labels, draw)
        return mean_cross_entropy(through_groups(network, inputs.groups)(inputs.batch), inputs.labels)


@method
class MultiBN:
    """MultiBN: a selection module weights the branches for each clip; both are trained together, end to end.

    Attacks differentiate through the whole network, selection included. The loss is the cross-entropy of the classes
    plus `selection_weight` (the papers' lambda, not printed) times that of the types, over clean clips and examples.

    selector_warm_up: the fraction of the training in which the mixing weights are constants for the loss of the
        classes, so that the selection module learns from the types alone. A departure: 0 is the papers' formula. In
        it, the gradient of the classes' loss through the weights keeps a module that starts from scratch at a guess
        between clean and PGD; a module that has learned to select stays so. Attacks differentiate through the
        selection at all times. Without effect for `selection_weight: 0`, which leaves the module no other loss.
    statistics: the clips in a branch's batch statistics. `by_type`: those of its own type, so that the branches
        model different distributions, as in the paper; `all`: every clip, as in training of the released network;
        `by_weight`: each clip with the selection's weight of the branch.
    branches: name -> the attacks of a branch; None among them, or an empty list, means the clean clips.
    selector: network of the selection module.
    weighting: from its logits to the weights of the branches.
    selection_weight: of the types' loss.
    branch_shortcuts: whether the BatchNorms of shortcuts have branches, too.
    """

    branches_by: ClassVar[str] = "branches"
    examples: ClassVar[str] = "sum(max(len(attacks), 1) for attacks in branches.values())"
    selects_branch: ClassVar[bool] = True

    branches: dict[str, list[Attack | None]]
    selector: Network
    weighting: Weighting = field(default_factory=Softmax)
    selection_weight: NonNegative = 1.0
    selector_warm_up: Fraction = 0.75
    statistics: Literal["by_type", "all", "by_weight"] = "by_type"
    branch_shortcuts: bool = False

    def extend(self, network: nn.Module) -> nn.Module:
        target = branch_out(network, list(self.branches), shared_norms(self.branch_shortcuts))
        return SelectedNetwork(target, self.selector(len(self.branches)), self.weighting)

    def step(self, update: Update) -> Figures:
        warming = update.progress < self.selector_warm_up and self.selection_weight > 0
        return descended(self.warm_up_objective if warming else self.objective, update)

    def objective(self, network: nn.Module, clips: Tensor, labels: Tensor, draw: Draw) -> Objective:
        return self._objective(network, clips, labels, draw, lambda weights: weights)

    def warm_up_objective(self, network: nn.Module, clips: Tensor, labels: Tensor, draw: Draw) -> Objective:
        """The same loss; its gradient reaches the selection module through the types alone."""
        return self._objective(network, clips, labels, draw, Tensor.detach)

    def _objective(
        self, network: nn.Module, clips: Tensor, labels: Tensor, draw: Draw, mixing: Callable[[Tensor], Tensor]
    ) -> Objective:
        """mixing: applied to the weights of the branches before they mix them."""
        if not isinstance(network, SelectedNetwork):
            raise TypeError("MultiBN trains the network that it extended")
        inputs = crafted_inputs(network, self.branches, lambda branch: network, clips, labels, draw)
        types = inputs.types()
        generators = [g for i in range(len(inputs.labels) // len(labels)) for g in draw(f"selection {i}")]

        def mixture(selection: Tensor) -> Mixture:
            weights = mixing(self.weighting(selection, generators))
            return Mixture(weights, self._fractions(types, weights))

        with choosing(mixture), record_selections() as recorded:
            classes = mean_cross_entropy(network(inputs.batch), inputs.labels)
        chosen = nn.functional.cross_entropy(recorded[-1].logits, types)
        figures = selector_figures(chosen, recorded[-1].logits, inputs)
        return classes._replace(loss=classes.loss + self.selection_weight * chosen, figures=figures)

    def _fractions(self, types: Tensor, weights: Tensor) -> Tensor:
        if self.statistics == "by_type":
            return nn.functional.one_hot(types, len(self.branches)).to(weights)
        return torch.ones_like(weights) if self.statistics == "all" else weights.detach()


def selector_figures(loss: Tensor, logits: Tensor, inputs: Inputs) -> dict[str, Tensor]:
    """The selection module's loss and accuracy in percent, and the loss of one that cannot distinguish two types."""
    correct = (logits.detach().argmax(1) == inputs.types()).float().mean()
    guess = guessing_loss([count for _, count in inputs.groups])
    return {LOSS: loss, "selector_accuracy": 100 * correct, GUESS: loss.new_tensor(guess)}


def guessing_loss(counts: Iterable[int]) -> float:
    """The mean cross-entropy of a selection that recognizes all types but two, between which it guesses; the least over
    all pairs of types, 0 for a single type. counts: the clips of each type.

    (n_i H(i) + n_j H(j)) / N with H(i) = -log(n_i / (n_i + n_j)), so 2 log(2) / 3 for three types of equal size.
    """
    sizes = list(counts)
    pairs = (i * math.log((i + j) / i) + j * math.log((i + j) / j) for i, j in itertools.combinations(sizes, 2))
    return min(pairs, default=0.0) / sum(sizes)
