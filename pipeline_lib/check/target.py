"""The network of a check: every pass of it, counted, with its own random numbers."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from pipeline_lib.attacks.crafting import craft
from pipeline_lib.attacks.protocols import Attack
from pipeline_lib.errors import PipelineError
from pipeline_lib.randomness.draws import drawing
from pipeline_lib.randomness.generators import clip_generators, clip_seed

# A pass with a gradient costs about as much as two without. Progress is counted in these.
WITH_GRADIENT = 2
SMALLEST_PROBABILITY = 1e-30
# Predictions of a network that draws random numbers are those of most of these passes.
VOTES = 5
Counter = Callable[[int], None]


def uncounted(passes: int) -> None:
    """Counts nothing."""


class Counted(nn.Module):
    """The network as a function of clips, for attacks.

    Its passes are counted; probabilities become logits; an output without a path back to the clips has a gradient of
    zero instead of none.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.probabilities = False
        self.count: Counter = uncounted

    def forward(self, clips: Tensor) -> Tensor:
        self.count(len(clips) * (WITH_GRADIENT if clips.requires_grad else 1))
        logits = self._output(clips)
        if not isinstance(logits, Tensor):
            return logits
        if clips.requires_grad and not logits.requires_grad:
            logits = logits + 0 * clips.flatten(1).sum(1, keepdim=True)
        return logits.clamp_min(SMALLEST_PROBABILITY).log() if self.probabilities else logits

    def _output(self, clips: Tensor) -> Tensor:
        try:
            return self.network(clips)
        except RuntimeError as error:
            if clips.requires_grad and "requires grad" in str(error):  # it leaves torch: numpy() needs detach()
                return self.network(clips.detach())
            raise


class Target:
    """A network and its clips (N, C, T, H, W) or (N, C, H, W) in [0, 1], with labels and one name per clip.

    random: whether two passes differ. batch_size: clips at once.
    """

    def __init__(
        self, network: nn.Module, clips: Tensor, labels: Tensor, names: Sequence[str], batch_size: int, seed: int
    ) -> None:
        self.network, self.clips, self.labels, self.names = Counted(network), clips, labels, names
        self.batch_size, self.seed, self.random = batch_size, seed, False

    @torch.no_grad()
    def logits(self, clips: Tensor, rows: Sequence[int], draw: int = 0) -> Tensor:
        """The logits (n, classes) of clips made from these rows, in eval mode."""
        found = []
        for batch in self.batches(len(clips)):
            with in_eval(self.network), self.random_numbers(rows[batch], f"prediction {draw}"):
                found.append(self.network(clips[batch]).float())
        return torch.cat(found)

    def predictions(self, clips: Tensor, rows: Sequence[int]) -> Tensor:
        """The class of each clip (n,), or -1; of a random network that of most passes."""
        if not self.random:
            return self.logits(clips, rows).argmax(1)
        votes = torch.stack([self.logits(clips, rows, draw).argmax(1) for draw in range(VOTES)])
        first = votes.mode(0).values
        return torch.where((votes == first).sum(0) * 2 > VOTES, first, -1)

    def correct(self, clips: Tensor, rows: Sequence[int]) -> list[bool]:
        """Whether the network is correct on each clip made from these rows."""
        finite_clips(clips)
        return (self.predictions(clips, rows) == self.labels[list(rows)]).tolist()

    def crafted(self, attack: Attack, rows: Sequence[int], batch_size: int | None = None) -> Tensor:
        """Adversarial clips of these rows."""
        found = []
        for batch in self.batches(len(rows), batch_size):
            some = list(rows[batch])
            with self.random_numbers(some, "attack"):
                names = [self.names[row] for row in some]
                found.append(
                    craft(self.network, self.clips[some], self.labels[some], attack, seed=self.seed, names=names)
                )
        return torch.cat(found)

    def batches(self, count: int, size: int | None = None) -> Iterator[slice]:
        size = size or self.batch_size
        return (slice(start, start + size) for start in range(0, count, size))

    @contextmanager
    def random_numbers(self, rows: Sequence[int], purpose: str) -> Iterator[None]:
        """Inside, the network draws numbers that depend on the seed, the clips and the purpose only."""
        keys = [f"{self.names[row]}/{purpose}" for row in rows]
        with torch.random.fork_rng(devices=[]), drawing(clip_generators(self.seed, keys)):
            torch.manual_seed(clip_seed(self.seed, "/".join(keys)) % 2**32)
            yield


@contextmanager
def in_eval(network: nn.Module) -> Iterator[None]:
    """Inside, the network is in eval mode; afterwards each module is in the mode that it was in."""
    modes = [(part, part.training) for part in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def finite_clips(clips: Tensor) -> None:
    if not clips.isfinite().all():
        raise PipelineError("an attack made clips that are not finite: the network or its loss overflows")


def identity(network: nn.Module, *tensors: Tensor) -> str:
    """CRC-32 of weights and tensors, as text."""
    value = 0
    for tensor in (*network.state_dict().values(), *tensors):
        if isinstance(tensor, Tensor):
            value = zlib.crc32(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes(), value)
    return f"{value:08x}"
