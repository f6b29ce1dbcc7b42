"""The check of robustness: planted faults are flagged for their reason, sound evaluations are not."""

import copy
import dataclasses
from functools import partial

import pytest
import torch
from torch import nn

from pipeline_lib.check import Options, evaluate, measurements
from pipeline_lib.errors import PipelineError
from pipeline_lib.reporting.check_page import headline, results
from planted import (
    CLASSES,
    EPSILON,
    THREAT,
    Masked,
    Noisy,
    Rounded,
    Sampled,
    Wrapped,
    cross_entropy,
    data,
    eot,
    few_pixels,
    half_mean,
    in_train_mode,
    normalized_and_clipped,
    on_another,
    own_pgd,
    pgd,
    robust,
    standard,
)

CLIPS, LABELS = data()
QUICK = Options(steps=(4,))


@pytest.fixture(autouse=True)
def _quick(monkeypatch, request):
    """Few passes, on one thread: the faults are plain. The full check is in the slow tests."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    if "full" not in request.fixturenames:
        changes = {
            "APGD_STEPS": 8,
            "TARGETED_STEPS": 4,
            "MOST_TARGETS": 1,
            "RESTARTS": 1,
            "EOT_SAMPLES": 6,
            "QUERIES": 6,
        }
        for name, value in (
            changes | {"CLIPS_OF_BOUNDS": 10, "NOISE_DRAWS": 1, "QUERIES": 6, "GROWTH": (4.0,)}
        ).items():
            monkeypatch.setattr(measurements, name, value)
    yield
    torch.set_num_threads(threads)


def constant(logits):
    return 0 * logits + torch.arange(float(CLASSES))


# The planted set of 14 faulty evaluations.
FAULTS = {
    "cut gradient": (lambda: {"network": Wrapped(before=torch.Tensor.detach)}, "zero gradients"),
    "wrong mask": (
        lambda: {"network": standard(), "threat": "rectangle:3x3", "attack": partial(own_pgd, loss=cross_entropy)},
        "wrong mask",
    ),
    "train mode": (lambda: {"network": copy.deepcopy(standard()).train()}, "train mode"),
    "normalized input clipped": (
        lambda: {"network": Wrapped(before=lambda clips: ((clips - 0.5) / 0.25).clamp(0, 1))},
        "clipped input",
    ),
    "fp16 mean loss": (lambda: {"network": standard(), "attack": partial(own_pgd, loss=half_mean)}, "float16"),
    "softmax output": (lambda: {"network": Wrapped(after=lambda logits: logits.softmax(1))}, "softmax output"),
    "random output without EOT": (
        lambda: {"network": Sampled(), "attack": partial(own_pgd, loss=cross_entropy)},
        "weak attack",
    ),
    "quantized logits": (
        lambda: {"network": Wrapped(after=lambda logits: (logits / 2).round())},
        "quantized logits",
    ),
    "detached transform": (lambda: {"network": nn.Sequential(Rounded(), standard())}, "detached transform"),
    "another model attacked": (lambda: {"network": standard(), "attack": on_another}, "another model attacked"),
    "labels shifted": (lambda: {"network": standard(), "labels": (LABELS + 1) % CLASSES}, "shifted labels"),
    "bound in wrong units": (
        lambda: {"network": standard(), "attack": partial(pgd, epsilon=4 / 255 / 255)},
        "bound in wrong units",
    ),
    "zero steps": (lambda: {"network": standard(), "attack": lambda n, x, y: x}, "zero steps"),
    "constant model": (lambda: {"network": Wrapped(after=constant)}, "constant model"),
}
# Other forms of these faults, and a gradient that nothing but attacks reveals.
VARIANTS = {
    "mask of few pixels": (
        lambda: {"network": standard(), "attack": lambda n, x, y: own_pgd(n, x, y, cross_entropy, few_pixels(x))},
        "weak attack",
    ),
    "attack in train mode": (lambda: {"network": standard(), "attack": in_train_mode}, "train mode"),
    "attack clips normalized input": (
        lambda: {"network": standard(), "attack": normalized_and_clipped},
        "bound in wrong units",
    ),
    "classes permuted": (
        lambda: {"network": standard(), "labels": torch.tensor([2, 3, 1, 0])[LABELS]},
        "shifted labels",
    ),
    "input of gray levels": (
        lambda: {"network": Wrapped(before=lambda clips: clips / 255)},
        "input in other units",
    ),
    "gradient of something else": (lambda: {"network": Masked()}, "unbounded attack fails"),
}
FLAGGED = FAULTS | VARIANTS
# The planted set of 10 sound evaluations.
SOUND = {
    "standard": lambda: {"network": standard()},
    "adversarially trained": lambda: {"network": robust()},
    "images": lambda: {"network": standard(0), "clips": data(0)[0]},
    "log-softmax": lambda: {"network": Wrapped(after=lambda logits: logits.log_softmax(1))},
    "saturated": lambda: {"network": Wrapped(after=lambda logits: 300 * logits)},
    "some noise": lambda: {"network": Noisy(0.02)},
    "own attack": lambda: {"network": robust(), "attack": partial(own_pgd, loss=cross_entropy)},
    "own attack with EOT": lambda: {"network": Noisy(0.1), "attack": partial(own_pgd, loss=eot)},
    "l2": lambda: {"network": standard(), "threat": "l2:1.5"},
    "rectangle": lambda: {"network": standard(), "threat": "rectangle:4x4"},
}
# A gradient that is zero on half of the pixels, because no pass uses them.
ALSO_SOUND = {
    "one frame of two is ignored": lambda: {"network": Wrapped(before=lambda clips: clips[:, :, :1].expand_as(clips))},
}
UNFLAGGED = SOUND | ALSO_SOUND


def check(options=QUICK, attack=None, **given):
    given = {"clips": CLIPS, "labels": LABELS, "threat": THREAT, **given}
    stand_in = standard(0) if given["clips"].dim() == 4 else robust()
    return evaluate(**given, options=dataclasses.replace(options, attack=attack, stand_in=stand_in))


@pytest.mark.parametrize("fault", FLAGGED)
def test_a_fault_is_flagged_for_its_reason(fault):
    make, name = FLAGGED[fault]
    found = check(**make())
    assert found.flagged
    assert name in [one.name for one in found.findings]
    assert found.findings[0].severity != "note"


@pytest.mark.parametrize("evaluation", UNFLAGGED)
def test_a_sound_evaluation_is_not_flagged(evaluation):
    found = check(**UNFLAGGED[evaluation]())
    assert not found.flagged, found.findings
    assert found.worst.percent < 100


@pytest.fixture
def full():
    """The check as the command runs it."""


@pytest.mark.slow
@pytest.mark.parametrize("fault", FLAGGED)
def test_a_fault_is_flagged_by_the_full_check(fault, full):
    make, name = FLAGGED[fault]
    assert name in [one.name for one in check(options=Options(), **make()).findings if one.severity != "note"]


@pytest.mark.slow
@pytest.mark.parametrize("evaluation", UNFLAGGED)
def test_a_sound_evaluation_is_not_flagged_by_the_full_check(evaluation, full):
    found = check(options=Options(), **UNFLAGGED[evaluation]())
    assert not found.flagged, found.findings


def test_the_worst_case_is_what_no_attack_inside_the_bound_fools():
    found = check(network=robust(), threat="linf:16/255")
    inside = [part for part in found.parts if part.kind != "growing bound"]
    expected = [all(part.by_row().get(row, True) for part in inside) for row in found.worst.rows]
    assert list(found.worst.correct) == expected
    assert found.worst.percent <= min(part.percent for part in inside)


@pytest.mark.parametrize("threat", ["linf:32/255", "l1:20", "ratio_linf:1.5", "border:1", "pixels:9"])
def test_growing_bounds_of_every_kind_leave_nothing(threat):
    found = check(network=standard(), threat=threat)
    bounds = [part for part in found.parts if part.kind == "growing bound"]
    assert bounds[-1].percent == 0
    assert not found.flagged


def test_a_search_without_gradients_shows_that_they_are_masked(monkeypatch):
    """It fools what no gradient leads to, although nothing else of this network is suspicious."""
    monkeypatch.setattr(measurements, "QUERIES", 150)
    found = check(network=Masked(), threat="rectangle:5x5")
    assert "gradient free is stronger" in [one.name for one in found.findings]
    assert found.verdict == "gradients are masked"
    assert found.worst.percent < found.named("pgd_4").percent - 20


def test_a_network_is_left_as_it_was():
    network = copy.deepcopy(standard()).train()
    network[1].eval()
    modes = [part.training for part in network.modules()]
    state = {name: value.clone() for name, value in network.state_dict().items()}
    check(network=network)
    assert [part.training for part in network.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert not network._forward_hooks
    assert not network._forward_pre_hooks


def test_a_stopped_check_continues_with_the_same_result(tmp_path):
    unkept = dataclasses.replace(QUICK, stand_in=robust())
    options = dataclasses.replace(unkept, folder=tmp_path)
    lines = []

    def stop(line):
        lines.append(line)
        if line.startswith("APGD"):
            raise KeyboardInterrupt

    arguments = (standard(), CLIPS, LABELS, THREAT)
    with pytest.raises(KeyboardInterrupt):
        evaluate(*arguments, options=options, say=stop)
    names = {path.name for path in tmp_path.rglob("*.json")}
    assert {"clean.json", "noise.json", "pgd_4.json", "cascade.json"} <= names
    resumed, whole = (evaluate(*arguments, options=kept) for kept in (options, unkept))
    timeless = [[dataclasses.replace(part, seconds=0) for part in found.parts] for found in (resumed, whole)]
    assert timeless[0] == timeless[1]
    assert resumed.verdict == whole.verdict
    other = evaluate(standard(), CLIPS, LABELS, "linf:2/255", options=options)
    assert other.worst.percent > resumed.worst.percent


def test_a_budget_leaves_out_and_says_so():
    lines = []
    found = evaluate(standard(), CLIPS, LABELS, THREAT, options=Options(minutes=1e-5), say=lines.append)
    assert found.verdict == "not decided within the budget"
    assert found.flagged
    assert {"PGD, 10 steps", "clean"} <= {one.title for one in found.left_out}
    assert any(": no clips" in line for line in lines)
    assert headline(found).startswith("Robust accuracy: not measured (clean: ")
    assert results(found).index.tolist() == ["clean"]


class Returning(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.network, self.kind = standard(), kind

    def forward(self, clips):
        return self.kind(self.network(clips))


def attacked(attack):
    return dataclasses.replace(QUICK, attack=attack)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": Returning(lambda logits: (logits, logits))}, "the network returns a tuple: wrap it"),
        ({"network": Returning(lambda logits: {"logits": logits})}, "the network returns a dict: wrap it"),
        ({"network": Returning(lambda logits: logits[:, :2])}, "a label is 3, and the network returns 2 logits"),
        ({"network": Returning(lambda logits: logits * torch.nan)}, "NaN or infinite logits on 2 clips"),
        ({"network": Returning(lambda logits: logits.bfloat16())}, "the network returns torch.bfloat16"),
        ({"options": Options(classes=7)}, "returns 4 logits, and 7 classes are stated"),
        ({"clips": CLIPS * 255}, "clips range from 0 to 255"),
        ({"clips": CLIPS - 0.5}, "clips range from -0.5"),
        ({"labels": LABELS - 1}, "a label is -1"),
        ({"labels": LABELS + 1}, "a label is 4, and the network returns 4 logits"),
        ({"labels": LABELS[:3]}, "give 48 integers"),
        ({"threat": "linf:4"}, "for gray levels give linf:4/255"),
        ({"threat": "linf:-1/255"}, "no size above 0"),
        ({"threat": "linf:a/b"}, "no size above 0"),
        ({"threat": "linf 4/255"}, "give one of linf:4/255, l2:1.5"),
        ({"threat": "lift:4/255"}, "give one of linf:4/255, l2:1.5"),
        ({"threat": "ratio_linf:0.9"}, "the ratio must be above 1"),
        ({"threat": "rectangle:30"}, "height x width, such as rectangle:30x30"),
        ({"threat": "rectangle:9x4"}, "does not fit into frames of 8x8"),
        ({"threat": "border:4"}, "does not fit into frames of 8x8"),
        ({"threat": "pixels:65"}, "does not fit into frames of 8x8"),
        ({"names": ["a"] * 48}, "1 different names for 48 clips"),
        ({"options": attacked(lambda n, x, y: x[:1])}, r"the given attack returns \(1, 3, 2, 8, 8\)"),
        ({"options": attacked(lambda n, x, y: x * torch.nan)}, "clips with NaN"),
    ],
)
def test_bad_input_is_one_sentence(change, message):
    given = {"network": standard(), "clips": CLIPS, "labels": LABELS, "threat": THREAT, "options": QUICK} | change
    with pytest.raises(PipelineError, match=message) as error:
        evaluate(**given)
    assert "\n" not in str(error.value)


def test_the_given_bound_is_measured_in_the_unit_of_the_threat():
    found = check(network=standard(), attack=partial(pgd, epsilon=EPSILON / 2))
    assert found.named("given").facts["ratio"] == pytest.approx(0.5, abs=1e-3)
