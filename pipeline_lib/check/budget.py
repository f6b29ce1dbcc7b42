"""The time of a check: what a measurement costs, and on how many clips it fits."""

import time
from dataclasses import dataclass, field

# A measurement on fewer clips decides nothing.
FEWEST = 4


@dataclass(kw_only=True)
class Budget:
    """seconds: for everything, None without a limit. forward: seconds of one pass of a clip without a gradient, and
    with_gradient with one; as measured, then corrected by what was spent.
    """

    seconds: float | None
    forward: float
    with_gradient: float
    began: float = field(default_factory=time.monotonic)

    def cost(self, forwards: float, gradients: float) -> float:
        """Seconds for one clip."""
        return forwards * self.forward + gradients * self.with_gradient

    def learn(self, spent: float, expected: float, at_most: bool) -> None:
        """Corrects the rates by what a measurement took. at_most: the expected seconds were an upper bound."""
        if expected > 1.0 and not (at_most and spent < expected):
            self.forward *= spent / expected
            self.with_gradient *= spent / expected

    def remaining(self) -> float:
        """Seconds that are left."""
        return float("inf") if self.seconds is None else self.seconds - (time.monotonic() - self.began)

    def fits(self, clips: int, cost: float, share: float, remaining: float) -> int:
        """How many of these clips fit into a share of what remains; 0 where those would be too few to decide."""
        if remaining == float("inf"):
            return clips
        count = min(clips, int(share * remaining / cost)) if cost > 0 else clips
        return count if count >= min(FEWEST, clips) else 0
