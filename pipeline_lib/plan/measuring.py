"""The rate of this machine on the network of a plan that computes most, or on the transform in front of it."""

from collections import Counter
from functools import partial

from pipeline_lib.configuration.estimates import Estimates
from pipeline_lib.configuration.pass_costs import CALL_SECONDS
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
    on_gpu = planned.config["device"] != "cpu" and cuda.is_available()
    timed = _transform if _is_of_transforms(planned.estimates, dataset, model) else _network
    return timed(planned, dataset, model, on_gpu)


def _is_of_transforms(estimates: Estimates, dataset: str, model: str) -> bool:
    """Whether most operations of a model are those of the transforms in front of its network."""
    whole, alone = (counted(dataset, model).operations for counted in (estimates.counted, estimates.counted_alone))
    return whole["forward"] > 2 * alone["forward"]


def _network(planned: Planned, dataset: str, model: str, on_gpu: bool) -> Rate:
    """The rate in passes of a network forward and backward to its clips."""
    from pipeline_lib.plan.counting import real_pass

    frames, height, width = planned.estimates.shape(dataset)
    operations = planned.estimates.counted_alone(dataset, model).operations["to_input"]
    fitting = frames if on_gpu else min(frames, max(FEWEST_FRAMES, int(frames * MOST_OPERATIONS / operations)))
    settings = _settings(planned, operations * fitting / frames, 0.0, on_gpu)
    entry, shape = planned.estimates.plan["models"][model], (fitting, height, width)
    return measured(partial(real_pass, entry["network"], entry["defense"], shape, settings.clips), settings)


def _transform(planned: Planned, dataset: str, model: str, on_gpu: bool) -> Rate:
    """The rate in the largest transform of a model, without gradients."""
    from pipeline_lib.plan.counting_transforms import real_transform

    counts = planned.estimates.counts
    found = {key: one for key, one in planned.estimates.transform_keys(dataset, model).items() if key in counts}
    largest = max(found, key=lambda key: counts[key].operations["forward"])
    overhead = counts[largest].calls["forward"] * CALL_SECONDS
    settings = _settings(planned, counts[largest].operations["forward"], overhead, on_gpu)
    return measured(partial(real_transform, found[largest], planned.estimates.shape(dataset), settings.clips), settings)


def _settings(planned: Planned, operations: float, overhead: float, on_gpu: bool) -> Settings:
    """operations: of a clip."""
    fitting = max(1, min(int(MOST_OPERATIONS / operations), int(planned.config["evaluation"]["batch_size"])))
    return Settings(operations, overhead, CLIPS_ON_GPU if on_gpu else fitting, int(planned.config["threads"]), on_gpu)
