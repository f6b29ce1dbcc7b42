"""What a check will cost, before it begins."""

from collections.abc import Sequence

from pipeline_lib.check.measurement import Measurement
from pipeline_lib.check.measuring import Measuring, Reporting

NO_CLIPS = "no clips"
EARLY = "A fooled clip needs no more steps: where many are, everything takes less, and more clips fit."


def announce(measuring: Measuring, attacks: Sequence[Measurement], say: Reporting) -> None:
    """Reports the cost of all measurements."""
    budget, plan = measuring.budget, measuring.planned(attacks, len(measuring.order))
    say(f"one clip takes {budget.forward:.3g} s forward, {budget.with_gradient:.3g} s with its gradient")
    for title, clips, seconds, early in plan:
        more = f", {early} if they are fooled early" if early > clips else ""
        say(f"  {title}: {f'{clips} clips{more}, {seconds / 60:.1f} min' if clips else f'{NO_CLIPS}{more}'}")
    total = sum(seconds for _, _, seconds, _ in plan)
    limit = "" if budget.seconds is None else f" of {budget.seconds / 60:g}"
    say(f"at most {total / 60:.1f}{limit} min. {EARLY}")
