"""The rate of this machine on the network of a plan that computes most."""

from collections import Counter

from pipeline_lib.plan.planned import Planned
from pipeline_lib.plan.rates import Rate, Settings, measured

# Operations of a pass that is timed: a second or so on a core. Clips of a larger network get fewer frames, and of a
# small one as many clips pass at once as in a job: alone, they would measure the time around their products.
MOST_OPERATIONS = 2e10
FEWEST_FRAMES = 8
CLIPS_ON_GPU = 16
UNKNOWN = Rate({"fp32": 1.0, "tf32": 1.0, "bf16": 1.0}, 1, "no device: nothing is left to compute")


def measured_here(planned: Planned) -> Rate:
    """The rate of this machine; UNKNOWN if nothing is left to compute."""
    totals: Counter[tuple[str, str]] = Counter()
    for job in planned.jobs:
        if job.left and job.work.model:
            totals[job.wildcards["dataset"], job.work.model] += int(job.work.operations)
    if not totals.total():
        return UNKNOWN
    from torch import cuda

    (dataset, model), _ = totals.most_common(1)[0]
    frames, height, width = planned.estimates.shape(dataset)
    on_gpu = planned.config["device"] != "cpu" and cuda.is_available()
    operations = planned.estimates.counted(dataset, model).operations["to_input"]
    fitting = frames if on_gpu else min(frames, max(FEWEST_FRAMES, int(frames * MOST_OPERATIONS / operations)))
    each = operations * fitting / frames
    fitting_clips = max(1, min(int(MOST_OPERATIONS / each), int(planned.config["evaluation"]["batch_size"])))
    settings = Settings(each, CLIPS_ON_GPU if on_gpu else fitting_clips, int(planned.config["threads"]), on_gpu)
    entry = planned.estimates.plan["models"][model]
    return measured(entry["network"], entry["defense"], (fitting, height, width), settings)
