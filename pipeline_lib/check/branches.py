"""One branch of a network with several."""

from torch import Tensor, nn

from pipeline_lib.errors import PipelineError
from pipeline_lib.models.trained import view
from pipeline_lib.networks.multi_batchnorm import branches_of


class View(nn.Module):
    """A network, of which clips pass through one branch, or all (None)."""

    def __init__(self, network: nn.Module, branch: str | None) -> None:
        super().__init__()
        self.network, self.model = network, view(network, branch)

    def forward(self, clips: Tensor) -> Tensor:
        return self.model(clips)


def with_branch(network: nn.Module, given: str, branch: str | None) -> nn.Module:
    """The network through a branch. Raises PipelineError for a branch that it lacks, or one that has to be chosen."""
    known = branches_of(network)
    if branch is not None and branch not in known:
        has = f"its branches are {', '.join(known)}" if known else "it has no branches"
        raise PipelineError(f"model {given!r} has no branch {branch!r}: {has}")
    if branch is None and known and not hasattr(network, "selector"):
        raise PipelineError(f"model {given!r} has branches and does not choose one: give --branch {'|'.join(known)}")
    return View(network, branch) if known else network
