"""What a piece of work costs, as torch's own profiler notes it."""

from collections.abc import Callable

import torch


def peak(work: Callable[[], object]) -> int:
    """The largest sum of live allocations, in bytes."""
    work()
    with torch.profiler.profile(profile_memory=True) as profile:
        work()
    live, highest = 0, 0
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        highest = max(highest, live)
    return highest
