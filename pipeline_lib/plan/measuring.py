"""The rate of this machine on the network of a plan that computes most, or on the transform in front of it."""

from collections import Counter
from functools import partial

from pipeline_lib.configuration.estimates import Estimates
from pipeline_lib.configuration.pass_costs import Work, cost_of
from pipeline_lib.jobs.counts import Counts
from pipeline_lib.plan.planned import Planned
from pipeline_lib.plan.rates import Rate, Settings, measured

# Operations of a pass that is timed: a second or so on a core. Clips of a larger network get fewer frames, and of a
# small one as many clips pass at once as in a job: alone, they would measure the time around their products.
MOST_OPERATIONS = 2e10
FEWEST_FRAMES = 8
CLIPS_ON_GPU = 16
UNKNOWN = Rate({"fp32": 1.0, "tf32": 1.0, "bf16": 1.0}, 1, "no device: nothing is left to compute", on_gpu=False)


def measured_here(planned: Planned) -> Rate:
    """The rate of this machine; UNKNOWN if nothing is left to compute."""
    totals: Counter[tuple[str, str]] = Counter()
    for job in planned.jobs:
        if job.left and job.work.model:
            totals[job.wildcards["dataset"], job.work.model] += int(job.work.as_operations(on_gpu=False))
    if not totals.total():
        return UNKNOWN
    from torch import cuda

    (dataset, model), _ = totals.most_common(1)[0]
    on_gpu = planned.config["device"] != "cpu" and cuda.is_available()
    timed = _transform if _is_of_transforms(planned.estimates, dataset, model, on_gpu) else _network
    return timed(planned, dataset, model, on_gpu)


def _is_of_transforms(estimates: Estimates, dataset: str, model: str, on_gpu: bool) -> bool:
    """Whether most of what a model computes is in the transforms in front of its network."""
    counts = (counted(dataset, model) for counted in (estimates.counted, estimates.counted_alone))
    whole, alone = (_call(one, "forward").as_operations(on_gpu) for one in counts)
    return whole > 2 * alone


def _network(planned: Planned, dataset: str, model: str, on_gpu: bool) -> Rate:
    """The rate in passes of a network forward and backward to its clips."""
    from pipeline_lib.plan.counting import real_pass

    frames, height, width = planned.estimates.shape(dataset)
    counts = planned.estimates.counted_alone(dataset, model)
    operations = counts.operations["to_input"]
    fitting = frames if on_gpu else min(frames, max(FEWEST_FRAMES, int(frames * MOST_OPERATIONS / operations)))
    whole = _call(counts, "to_input")
    settings = _settings(planned, whole.times(fitting / frames)._replace(seconds=whole.seconds), on_gpu)
    entry, shape = planned.estimates.plan["models"][model], (fitting, height, width)
    return measured(partial(real_pass, entry["network"], entry["defense"], shape, settings.clips), settings)


def _transform(planned: Planned, dataset: str, model: str, on_gpu: bool) -> Rate:
    """The rate in the largest transform of a model, without gradients."""
    from pipeline_lib.plan.counting_transforms import real_transform

    counts = planned.estimates.counts
    found = {key: one for key, one in planned.estimates.transform_keys(dataset, model).items() if key in counts}
    largest = max(found, key=lambda key: _call(counts[key], "forward").as_operations(on_gpu))
    settings = _settings(planned, _call(counts[largest], "forward"), on_gpu)
    return measured(partial(real_transform, found[largest], planned.estimates.shape(dataset), settings.clips), settings)


def _call(counts: Counts, kind: str) -> Work:
    """What a pass of one clip costs."""
    return Work(model=None, **cost_of({kind: 1}, counts, 0.0, 1, 1))


def _settings(planned: Planned, call: Work, on_gpu: bool) -> Settings:
    """call: what a pass of one clip costs."""
    operations = call.as_operations(on_gpu)
    fitting = max(1, min(int(MOST_OPERATIONS / operations), int(planned.config["evaluation"]["batch_size"])))
    clips, threads = CLIPS_ON_GPU if on_gpu else fitting, int(planned.config["threads"])
    return Settings(operations, call.seconds, clips, threads, on_gpu)
