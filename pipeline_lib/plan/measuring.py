"""The rate of this machine on the network of a plan that computes most, and on the transform that does."""

from collections import Counter
from functools import partial
from typing import get_args

from pipeline_lib.configuration.pass_costs import Work, cost_of
from pipeline_lib.configuration.requests import TERA
from pipeline_lib.jobs.counts import Counts
from pipeline_lib.plan.planned import Planned
from pipeline_lib.plan.rates import Rate, Settings, measured, side_by_side
from pipeline_lib.precision import Precision

Model = tuple[str, str]
"""A data set, and a model on it."""

# Operations of a pass that is timed: a second or so on a core. Clips of a larger network get fewer frames, and of a
# small one as many clips pass at once as in a job: alone, they would measure the time around their products.
MOST_OPERATIONS = 2e10
FEWEST_FRAMES = 8
CLIPS_ON_GPU = 16
# Transforms with a smaller part of the time are not measured.
SMALL = 0.1
UNKNOWN = Rate({"fp32": 1.0, "tf32": 1.0, "bf16": 1.0}, 1, "no device: nothing is left to compute", on_gpu=False)


def measured_here(planned: Planned) -> Rate:
    """The rate of this machine; UNKNOWN if nothing is left to compute."""
    networks: Counter[Model] = Counter()
    transforms: Counter[Model] = Counter()
    for job in planned.jobs:
        if job.left and job.work.model:
            inside, key = job.work.transforms_as_operations(on_gpu=False), (job.wildcards["dataset"], job.work.model)
            transforms[key] += int(inside)
            networks[key] += int(job.work.as_operations(on_gpu=False) - inside)
    if not networks.total():
        return UNKNOWN
    from torch import cuda

    on_gpu = planned.config["device"] != "cpu" and cuda.is_available()
    of_networks = _networks(planned, *_largest(networks), on_gpu)
    if transforms.total() < SMALL * networks.total():
        return of_networks
    reached = _transforms(planned, *_largest(transforms), on_gpu)
    words = f"{of_networks.words}; transforms at {reached / TERA:.3g} TFLOP/s"
    return of_networks._replace(transforms=reached, words=words)


def _largest(totals: Counter[Model]) -> Model:
    return totals.most_common(1)[0][0]


def _networks(planned: Planned, dataset: str, model: str, on_gpu: bool) -> Rate:
    """The rate in passes of a network forward and backward to its clips."""
    from pipeline_lib.plan.counting import real_pass

    frames, height, width = planned.estimates.shape(dataset)
    counts = planned.estimates.counted_alone(dataset, model)
    operations = counts.operations["to_input"]
    fitting = frames if on_gpu else min(frames, max(FEWEST_FRAMES, int(frames * MOST_OPERATIONS / operations)))
    whole = _call(counts, "to_input")
    settings = _settings(planned, whole.times(fitting / frames)._replace(seconds=whole.seconds), on_gpu)
    entry, shape = planned.estimates.plan["models"][model], (fitting, height, width)
    make = partial(real_pass, entry["network"], entry["defense"], shape, settings.clips)
    found = measured(make, settings, _precisions(planned))
    jobs, where = side_by_side(settings.threads, on_gpu)
    reached = " and ".join(f"{value / TERA:.3g} TFLOP/s in {precision}" for precision, value in found.items())
    words = f"{where}: each {reached}, measured on {settings.clips} clip{'s' * (settings.clips > 1)}"
    return Rate(found, jobs, words, on_gpu)


def _precisions(planned: Planned) -> list[Precision]:
    """In which what is left computes, and fp32."""
    used = {planned.precision(job) for job in planned.jobs if job.left and job.work.model}
    return [precision for precision in get_args(Precision) if precision in used | {"fp32"}]


def _transforms(planned: Planned, dataset: str, model: str, on_gpu: bool) -> float:
    """Operations per second in the largest transform of a model, without gradients."""
    from pipeline_lib.plan.counting_transforms import real_transform

    counts = planned.estimates.counts
    found = {key: one for key, one in planned.estimates.transform_keys(dataset, model).items() if key in counts}
    largest = max(found, key=lambda key: _call(counts[key], "forward").as_operations(on_gpu))
    settings = _settings(planned, _call(counts[largest], "forward"), on_gpu)
    make = partial(real_transform, found[largest], planned.estimates.shape(dataset), settings.clips)
    return measured(make, settings, ["fp32"])["fp32"]


def _call(counts: Counts, kind: str) -> Work:
    """What a pass of one clip costs."""
    return Work(model=None, **cost_of({kind: 1}, counts, 0.0, 1, 1))


def _settings(planned: Planned, call: Work, on_gpu: bool) -> Settings:
    """call: what a pass of one clip costs."""
    operations = call.as_operations(on_gpu)
    fitting = max(1, min(int(MOST_OPERATIONS / operations), int(planned.config["evaluation"]["batch_size"])))
    clips, threads = CLIPS_ON_GPU if on_gpu else fitting, int(planned.config["threads"])
    return Settings(operations, call.seconds, clips, threads, on_gpu)
