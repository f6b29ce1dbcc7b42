"""The plan of a study: what it costs before it starts."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import tiny
from pipeline_lib.configuration.clip_numbers import numbers_of, official_numbers
from pipeline_lib.configuration.estimates import WORKSPACE, Estimates
from pipeline_lib.configuration.pass_costs import Work
from pipeline_lib.entries.building import build
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.costs import examples, forwards, passes
from pipeline_lib.jobs.counts import SHIPPED, Counts, key_of, read_counts, written_counts
from pipeline_lib.plan.__main__ import main
from pipeline_lib.plan.counting import PASSES, Counter, counted
from pipeline_lib.plan.planned import Planned, plan_of
from pipeline_lib.plan.rates import GPUS, UTILIZATION, named
from pipeline_lib.plan.summary import EACH, ONCE, summary_of

ROOT = Path(__file__).parents[1]
SHAPE = (4, 16, 16)
RESNEXT = tiny.NETWORK | {"method": "pipeline_lib.networks.resnet:ResNeXt3D", "depth": 50, "cardinality": 4}
SEARCHED = {"method": "pipeline_lib.attacks.search:SearchedRectangle", "height": 10, "width": 10, "search": "gradient"}
UCF101 = {"method": "pipeline_lib.clips.splits:Ucf101"}


@pytest.mark.parametrize("network", [tiny.NETWORK, RESNEXT])
def test_operations_are_those_of_torch_and_a_gradient_costs_a_forward_pass(network):
    """Also that of a convolution in groups; only the clips of a training need no gradient."""
    found = counted(network, tiny.STANDARD, SHAPE, 5)
    made = build(network)(5).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        made(torch.zeros(1, 3, *SHAPE))
    assert found.operations["forward"] == counter.get_total_flops()
    assert found.operations["to_input"] == 2 * counter.get_total_flops()
    with torch.no_grad(), FlopCounterMode(display=False) as stem:
        made.conv1(torch.zeros(1, 3, *SHAPE))
    assert found.operations["training"] == 3 * counter.get_total_flops() - stem.get_total_flops()
    assert found.parameters == sum(parameter.numel() for parameter in made.parameters())


def test_memory_grows_with_the_frames_and_holds_what_the_backward_pass_needs():
    short, long = (counted(tiny.NETWORK, tiny.STANDARD, (frames, 16, 16), 5) for frames in (4, 8))
    for name in ("forward", "to_input", "training"):
        assert long.memory[name] == pytest.approx(2 * short.memory[name], rel=0.05)
    saved: list[int] = []
    clips = torch.zeros(1, 3, *SHAPE, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel() * (t.dim() == 5)) or t, lambda t: t):
        build(tiny.NETWORK)(5).eval().requires_grad_(False)(clips)
    assert short.memory["to_input"] >= 4 * max(saved)
    assert short.memory["forward"] < short.memory["to_input"]


def test_memory_of_a_training_is_that_of_its_activations_and_not_of_its_gradients():
    """These exist at the end of a backward pass only, when the activations are gone."""
    wide = tiny.NETWORK | {"width": 32}
    found = counted(wide, tiny.STANDARD, SHAPE, 5)
    with torch.device("meta"):
        network, clips = build(wide)(5).eval(), torch.empty(400, 3, *SHAPE)
    with Counter() as counter:
        PASSES["training"](network, network, clips)
    assert 400 * found.memory["training"] == pytest.approx(counter.peak, rel=0.02)


def test_copies_of_the_weights_and_activations_are_not_in_memory_at_once(multibn):
    """A checkpoint is written when no activations are kept: three copies of the weights beside these, five without."""
    estimates, jobs = multibn.estimates, {"dataset": "ucf101", "model": "standard-s0"}
    key, passes = estimates.key("ucf101", "standard-s0"), ("forward", "to_input", "training")
    operations, batch = dict.fromkeys(passes, 1.0), estimates.plan["models"]["standard-s0"]["training"]["batch_size"]
    found = []
    for each in (0.0, 1e6, 1e10):
        counts = Counts(parameters=10**9, operations=operations, memory=dict.fromkeys(passes, each))
        estimated = Estimates(plan=estimates.plan, batch_size=8, counts={key: counts}, given=estimates.given)
        found.append(estimated.work("train", jobs))
    none, few, many = (work.memory for work in found)
    assert none == few > 5 * 4 * 1e3
    assert many - none == pytest.approx(batch * 1e4 * WORKSPACE - 2 * 4e3)
    assert [work.memory - work.activations for work in found] == pytest.approx([none] * 3)


def test_a_selection_module_is_part_of_every_pass():
    multibn = tiny.MULTIBN | {"method": "pipeline_lib.defenses.multibn:MultiBN", "selector": tiny.NETWORK}
    whole, alone = (counted(tiny.NETWORK, defense, SHAPE, 3) for defense in (multibn, tiny.STANDARD))
    assert whole.operations == {name: 2 * value for name, value in alone.operations.items()}


def test_the_key_of_a_network_is_without_its_attacks():
    keys = {key_of(tiny.NETWORK, defense, SHAPE) for defense in (tiny.AT_PGD, tiny.AT_PGD | {"attack": tiny.ROA})}
    assert len(keys) == 1
    more = {key_of(tiny.NETWORK, tiny.MULTIBN | {"branches": branches}, SHAPE) for branches in ({"a": []}, {"b": []})}
    assert len(more | keys | {key_of(tiny.NETWORK, tiny.AT_PGD, (8, 16, 16))}) == 4


@pytest.mark.parametrize(
    ("defense", "expected"),
    [
        (tiny.STANDARD, 1),
        (tiny.AT_PGD, 1),
        (tiny.TRADES, 2),
        (tiny.MAXIMUM, 2),
        (tiny.AVERAGE, 3),
        (tiny.AVERAGE | {"clean": False}, 2),
        (tiny.MULTIBN, 3),
        ({"method": "exponential_moving_average", "decay": 0.9, "defense": tiny.AVERAGE}, 3),
    ],
)
def test_examples_in_the_pass_of_a_training_step(defense, expected):
    assert examples(defense, SHAPE) == expected


def test_passes_without_a_gradient_are_among_all_passes():
    assert forwards(tiny.PGD, SHAPE) == 1  # the score at the end
    assert forwards(tiny.PGD | {"restarts": 3}, SHAPE) == 3 + 1
    assert forwards(tiny.PGD | {"region": SEARCHED}, (4, 40, 30)) == 20 + 1
    assert forwards(tiny.AT_PGD | {"attack": tiny.STEEPEST}, SHAPE) == 2 * 3 + 1
    assert passes(tiny.PGD, SHAPE) - 1 - forwards(tiny.PGD, SHAPE) == tiny.PGD["steps"]


def test_numbers_of_clips():
    assert official_numbers(UCF101)[:3] == (9537, 3783, 101)
    assert official_numbers({"method": "cifar10", "train_images": 500})[:3] == (500, 10_000, 10)
    assert official_numbers({"method": "class_folders"}).source == "assumed"
    rendered = {"render": {"method": "synthetic_shapes", "train_per_class": 7}, "lists": {"method": "image_lists"}}
    assert numbers_of(rendered)[:3] == (42, 120, 6)
    assert numbers_of({"root": "nowhere", "lists": UCF101}).source == "official"


def test_a_named_gpu_reaches_a_part_of_what_is_published():
    rate = named("NVIDIA A100")
    assert rate.by_precision["tf32"] == pytest.approx(156e12 * UTILIZATION["tf32"])
    assert named("t4").by_precision["bf16"] == named("T4").by_precision["fp32"]  # it has no bf16
    seconds = [rate.seconds(Work(operations=1e15), precision) for precision in ("bf16", "tf32", "fp32")]
    assert seconds[0] < seconds[1] < seconds[2]
    assert all(gpu.source for gpu in GPUS.values())


def test_counts_survive_their_file(tmp_path):
    found = {"one": counted(tiny.NETWORK, tiny.STANDARD, SHAPE, 5)}
    (tmp_path / "good.json").write_text(written_counts(found))
    (tmp_path / "bad.json").write_text('{"two": {"parameters": 1}}')
    assert read_counts([tmp_path / "good.json", tmp_path / "bad.json", tmp_path / "none.json"]) == found


@pytest.fixture(scope="module")
def multibn(tmp_path_factory) -> Planned:
    """The plan of a configuration whose data and weights are not there."""
    results = str(tmp_path_factory.mktemp("plan") / "results")
    return plan_of([ROOT / "config/multibn.yaml"], {"results": results}, ROOT)


def test_a_study_is_planned_before_its_data_are_there(multibn):
    assert {job.rule for job in multibn.jobs} >= {"decode", "train", "attack", "predict_clean", "table", "report"}
    assert not any(job.rule in ("render", "all", "results") for job in multibn.jobs)
    assert all(job.left for job in multibn.jobs)
    assert not multibn.uncounted
    missing = "\n".join(multibn.missing)
    assert "data set ucf101: its `root` is not given" in missing
    assert "weights/resnext-101-kinetics.pth, for 12 models" in missing
    clips = sum(job.work.disk for job in multibn.jobs if job.rule == "decode")
    assert clips == (9537 + 3783) * 40 * 112 * 112 * 3


def test_the_time_from_start_to_end_grows_with_the_jobs(multibn):
    rate, part = named("a100"), dataclasses.replace(multibn, jobs=multibn.jobs[:100])
    whole, some = (summary_of(planned, rate) for planned in (multibn, part))
    seconds = [3600 * (found.elapsed - found.total.hours) for found in (whole, some)]
    assert seconds[0] - seconds[1] == pytest.approx(EACH * (len(multibn.jobs) - 100))
    assert seconds[1] == pytest.approx(ONCE + 100 * EACH)


def test_a_training_passes_its_attacks_and_its_examples(multibn):
    """AT-PGD of 5 steps: per clip 5 gradients and a score, and the gradients of the weights once; AVG thrice."""
    work = {job.wildcards["model"]: job.work for job in multibn.jobs if job.rule == "train"}
    entry = multibn.estimates.plan["models"]["standard-s0"]
    counts = multibn.estimates.counts[key_of(entry["network"], entry["defense"], (40, 112, 112))].operations
    assert work["standard-s0"].operations == pytest.approx(
        6 * 9537 * (0.9 * counts["training"] + 0.1 * counts["forward"])
    )
    crafted = 5 * counts["to_input"] + counts["forward"]
    step, score = crafted + counts["training"], crafted + counts["forward"]
    assert work["at_pgd-s0"].operations == pytest.approx(6 * 9537 * (0.9 * step + 0.1 * score))
    assert work["avg-s0"].memory > 1.8 * work["at_pgd-s0"].memory
    assert work["multibn-s0"].memory > work["avg-s0"].memory


SWEEP = """
attacks: {short: {base: pgd, steps: 4}, long: {base: pgd, steps: 8}, other: {base: pgd, steps: 6, restarts: 2}}
studies:
  mine: {title: Mine, dataset: synthetic, rows: {Standard: standard}, columns: {S: short, L: long, O: other}}
only: [mine]
"""


def test_sets_of_a_sweep_of_steps_are_counted_as_made_by_one_run(tmp_path):
    """An attack with restarts does not begin as a longer one does. Only the scores of the shorter one are its own."""
    (tmp_path / "sweep.yaml").write_text(f"extends: demo\n{SWEEP}")
    plan = plan_of([tmp_path / "sweep.yaml"], {"results": str(tmp_path / "results")}, ROOT)
    jobs = {job.wildcards["attack"]: job for job in plan.jobs if job.rule == "attack"}
    counts = plan.estimates.counted("synthetic", "standard-s0").operations
    clips = plan.estimates.numbers["synthetic"].test
    made = 8 * counts["to_input"] + (3 + 2) * counts["forward"]
    assert jobs["long"].work.operations == pytest.approx(clips * made)
    assert jobs["short"].work.operations == 0
    assert jobs["short"].work.disk == jobs["long"].work.disk
    assert jobs["other"].work.operations > clips * 12 * counts["to_input"]
    assert jobs["short"].asked.minutes > 0  # it makes its own clips if the other one fails


def test_the_counts_of_the_repository_are_those_of_its_networks(multibn):
    """Also a number: 3D ResNeXt-101 on 40 x 112 x 112 has 24 billion multiplications."""
    shipped = read_counts([SHIPPED])
    large = shipped[multibn.estimates.key("ucf101", "standard-s0")]
    assert large.operations["forward"] == pytest.approx(48.1e9, rel=0.01)
    model = multibn.estimates.plan["models"]["standard-s0"]
    assert large == counted(model["network"], model["defense"], multibn.estimates.shape("ucf101"), 101)


def test_the_command_says_what_it_found(multibn, tmp_path, capsys):
    page, results = tmp_path / "plan.html", f"results={tmp_path / 'results'}"
    files = ["--configfile", str(ROOT / "config/multibn.yaml"), "--config", results]
    assert main([*files, "--gpu", "h100", "--html", str(page)]) == 0
    text = capsys.readouterr().out
    assert f"| total            | 0    | {len(multibn.jobs)}  |" in text
    assert "NVIDIA H100" in text
    assert "From start to end on one machine about " in text
    assert "weights weights/resnet-18-kinetics.pth" in text
    assert "<h2>missing</h2>" in page.read_text()
    assert "SNAKEMAKE" not in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--gpu", "abacus"], "--gpu abacus: unknown (this machine is measured without it); known: a100, h100"),
        (["--configfile", "absent.yaml"], "absent.yaml"),
        (["--config", "wrong"], "--config wrong"),
        (["--gpu", "t4", "--config", f"attacks={json.dumps({'pgd': {'stepz': 3}})}"], "stepz"),
        (["--gpu", "t4", "--config", "datasets=3"], "datasets"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(options, words, capsys):
    assert main(options) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_an_unknown_gpu_is_no_rate():
    with pytest.raises(PipelineError, match="abacus"):
        named("abacus")
