"""What a class declares about itself, and what the configuration checks of it before any job."""

import pytest
import torch
from torch import nn

import tiny
from configured import resolved
from own_files import HEAD, SIMPLE, changed, own
from pipeline_lib.attacks.crafting import craft
from pipeline_lib.configuration.entries import resolve, resolve_attack
from pipeline_lib.entries.building import build
from pipeline_lib.entries.facts import innermost, known_value, layers, margin_of
from pipeline_lib.errors import PipelineError
from pipeline_lib.evaluation.features import comparing
from pipeline_lib.jobs.costs import estimated_counts, passes
from pipeline_lib.precision import precision_of

__all__ = ["own"]

SHAPE = (4, 8, 8)
STUDY = {"title": "T", "dataset": "synthetic", "columns": {"mine": "mine"}, "rows": {"R": "standard"}}
FACTS = f"""{HEAD}{SIMPLE}
@dataclass(frozen=True, kw_only=True)
class Search(Simple):
    passes: ClassVar[str] = "iterations * restarts"
    iterations: int
    restarts: int = 2
    loss: str = "margin"
    learning: float = 0.1
    margin: float = 0.5
    goal: str = "any"
    steps: str = "many"
@dataclass(frozen=True, kw_only=True)
class Both:
    wraps: ClassVar[str] = "inner"
    passes: ClassVar[str] = "2 * inner.passes"
    inner: Attack
    def __call__(self, loss, clips, generators):
        return self.inner(loss, clips, generators)
    def quantize(self, adversarial, clean):
        return self.inner.quantize(adversarial, clean)
@dataclass(frozen=True, kw_only=True)
class Odd(Simple):
    passes: ClassVar[str] = "2 * turns"
@dataclass(frozen=True, kw_only=True)
class Kept(Simple):
    storage: str = "disk"
@dataclass(frozen=True, kw_only=True)
class Branchy(AdversarialTraining):
    branches: int = 2
    selector: str = "none"
    defense: str = "none"
@dataclass(frozen=True, kw_only=True)
class Wide:
    stem_width: ClassVar[str] = "channels"
    stage_count: ClassVar[int] = 2
    channels: int = 32
    width: str = "any"
    network: str = "any"
    def __call__(self, classes): ...
"""
SEARCH = {"method": "own_file:Search", "iterations": 100}


def test_an_own_attack_may_have_fields_of_any_name_and_costs_what_it_declares(own):
    own(FACTS)
    written = SEARCH | {"loss": "dlr", "learning": 0.5, "storage": "float32"}
    changes = ("attacks.mine", written), ("studies.mine", STUDY)
    plan = resolved(changed(*changes, ("models.at_pgd.defense.attack", "mine")))
    assert plan["attacks"]["mine"] == written
    assert plan["models"]["at_pgd-s0"]["defense"]["attack"] == SEARCH | {"loss": "dlr", "learning": 0.5}
    assert passes(plan["attacks"]["mine"], SHAPE) == 1 + 2 * 100
    assert passes({"method": "own_file:Both", "inner": SEARCH | {"restarts": 1}}, SHAPE) == 1 + 2 * 100
    attack = build(SEARCH)
    clips = torch.rand(2, 3, 2, 4, 4)
    crafted = craft(nn.Sequential(nn.Flatten(), nn.Linear(96, 2)), clips, torch.tensor([0, 1]), attack)
    torch.testing.assert_close(crafted, (clips + 0.1).clamp(0, 1))


def test_a_fact_that_names_no_field_is_an_error_with_file_and_class(own):
    own(FACTS)
    changes = ("attacks.mine", {"method": "own_file:Odd"}), ("studies.mine", STUDY)
    with pytest.raises(PipelineError, match="own_file.py: class Odd: passes is '2 . turns': .*epsilon.*turns"):
        resolved(changed(*changes))


def test_keys_of_the_workflow_are_reserved(own):
    own(FACTS)
    with pytest.raises(PipelineError, match="attacks.mine: .*class Kept has a field 'storage'; base, method"):
        resolve_attack("attacks.mine", {"method": "own_file:Kept"}, {})


def test_what_is_inside_of_an_attack_is_found_in_entries_and_objects_alike(own):
    own(FACTS)
    entry = {"method": "own_file:Both", "inner": {"method": "expectation", "attack": tiny.PGD | {"precision": "bf16"}}}
    whole = resolve("a", entry, {})
    assert [layer["method"].partition(":")[2] for layer in layers(whole)] == ["Both", "Expectation", "Ascent"]
    attack = build(whole)
    assert [type(layer).__name__ for layer in layers(attack)] == ["Both", "Expectation", "Ascent"]
    assert innermost(whole) == whole["inner"]["attack"]
    assert precision_of(attack, "fp32") == "bf16"
    frame = {"method": "fixed_pattern", "region": {"method": "border", "width": 1}, "margin": 3}
    frame |= {"start": {"method": "constant", "value": 0}}
    assert margin_of(build(resolve("a", {"method": "own_file:Both", "inner": frame}, {}))) == 3
    assert margin_of(build(SEARCH)) == 0


def test_an_own_defense_and_network_may_have_fields_of_any_name(own):
    own(FACTS)
    defense = {"method": "own_file:Branchy", "attack": "pgd", "branches": 3}
    network = {"method": "own_file:Wide"}
    plan = resolved(changed(("models.at_pgd.defense", defense), ("networks.own", network)))
    assert plan["models"]["at_pgd-s0"]["defense"]["branches"] == 3
    assert known_value(network, "channels") == 32
    plain = tiny.NETWORK | {"width": 32}
    assert estimated_counts(network, (8, 32, 32)).parameters == estimated_counts(plain, (8, 32, 32)).parameters


WRONG = f"""{HEAD}{SIMPLE}
@dataclass(frozen=True, kw_only=True)
class NoQuantize:
    def __call__(self, loss, clips, generators): ...
@dataclass(frozen=True, kw_only=True)
class NoCall:
    def quantize(self, adversarial, clean): ...
@dataclass(frozen=True, kw_only=True)
class Quantise(NoQuantize):
    def quantise(self, adversarial, clean): ...
@dataclass(frozen=True, kw_only=True)
class Blur:
    differentiable: ClassVar[bool] = True
    def __call__(self, clips): ...
@dataclass(frozen=True, kw_only=True)
class NoObjective:
    def extend(self, network): ...
@dataclass(frozen=True, kw_only=True)
class NoLoss(Simple):
    def __call__(self, clips): ...
@dataclass(frozen=True, kw_only=True)
class Greedy(Simple):
    def __call__(self, *arguments): ...
    def quantize(self, adversarial, clean, /, bits=8, *, nearest): ...
@dataclass(frozen=True, kw_only=True)
class Negative:
    differentiable: ClassVar[bool] = True
    stochastic: ClassVar[bool] = False
    def __call__(self): ...
@dataclass(frozen=True, kw_only=True)
class Alone:
    def extend(self, network): ...
    def objective(self, network, clips, labels): ...
class Net(nn.Module):
    def forward(self, clips): ...
@dataclass(frozen=True, kw_only=True)
class Short:
    stage_count: ClassVar[int] = 1
    def __call__(self, classes): ...
@dataclass(frozen=True, kw_only=True)
class Flat(Short):
    stage_count: ClassVar[int] = 0
"""
USED = ("studies.mine", STUDY)
BLURRED = {"method": "transformed", "transform": {"method": "own_file:Blur"}, "defense": {"method": "standard"}}
AFTER = {"method": "oudefend", "network": "own", "after": ["layer2"]}
FEATURES = {"method": "features", "dataset": "synthetic", "attack": "pgd", "rows": {"R": "flat"}}
FLAT = {"network": "own", "training": "scratch", "defense": {"method": "standard"}}
BALL = {"method": "ascent", "steps": 2}
LARGE_L1 = BALL | {"perturbation": {"method": "additive_l1", "epsilon": 30000, "step_size": 1}}
NO_QUANTIZE, NO_CALL = {"method": "own_file:NoQuantize"}, {"method": "own_file:NoCall"}
EXTENDED = [("networks.more", AFTER), ("models.at_pgd.network", "more")]
UNKNOWN_STAGE = "networks.more: after: unknown stage 'layer2'; this network has layer1"
INTERFACES = {
    "quantize": (
        [("attacks.mine", NO_QUANTIZE), USED],
        "attacks.mine: .*own_file.py: class NoQuantize has no quantize",
    ),
    "call": ([("attacks.mine", NO_CALL), USED], "attacks.mine: .*own_file.py: class NoCall has no __call__"),
    "inner": (
        [("attacks.mine", {"method": "expectation", "attack": NO_QUANTIZE}), USED],
        "attacks.mine.attack: .*own_file.py: class NoQuantize has no quantize",
    ),
    "trained on": ([("models.at_pgd.defense.attack", NO_CALL)], "defense.attack: .*class NoCall has no __call__"),
    "transform": (
        [("models.at_pgd.defense", BLURRED)],
        "transform: .*own_file.py: class Blur has no stochastic",
    ),
    "misnamed": (
        [("attacks.mine", {"method": "own_file:Quantise"}), USED],
        "attacks.mine: .*class Quantise has no quantize, which a LatticeAttack .* needs; it has quantise",
    ),
    "defense": ([("models.at_pgd.defense", {"method": "own_file:NoObjective"})], "NoObjective has no objective"),
    "arguments": (
        [("attacks.mine", {"method": "own_file:NoLoss"}), USED],
        "attacks.mine: .*own_file.py: class NoLoss: __call__ takes 1 argument, and a LatticeAttack .*is called with 3",
    ),
    "by name": (
        [("attacks.mine", {"method": "own_file:Greedy"}), USED],
        "class Greedy: quantize takes 2 to 3 arguments and nearest by name, and a LatticeAttack .*is called with 2",
    ),
    "trained on without a loss": (
        [("models.at_pgd.defense.attack", {"method": "own_file:NoLoss"})],
        "defense.attack: .*class NoLoss: __call__ takes 1 argument, and an Attack .*is called with 3",
    ),
    "transform of nothing": (
        [("models.at_pgd.defense", BLURRED | {"transform": {"method": "own_file:Negative"}})],
        "transform: .*class Negative: __call__ takes 0 arguments, and a Deterministic .*is called with 1 argument",
    ),
    "defense without draws": (
        [("models.at_pgd.defense", {"method": "own_file:Alone"})],
        "class Alone: objective takes 3 arguments, and a Defense .*is called with 4",
    ),
    "apgd inside apgd": (
        [("attacks.mine", {"method": "apgd", "inside": {"method": "apgd", "inside": "pgd"}}), USED],
        "attacks.mine.inside: .*apgd.py: class Apgd is not an Ascent",
    ),
    "steepest of another": (
        [("attacks.mine", {"method": "steepest", "steps": 2, "attacks": ["pgd", "pgd_worst"]}), USED],
        r"attacks.mine.attacks\[1\]: .*class WorstCase is not an Ascent",
    ),
    "l2 bound": (
        [("attacks.mine", BALL | {"perturbation": {"method": "additive_l2", "epsilon": 157, "step_size": 1}}), USED],
        "attacks.mine: AdditiveL2 has the epsilon 157, larger than the distance between any two clips of synthetic",
    ),
    "l1 bound in training": (
        [("models.standard.defense", {"method": "adversarial_training", "attack": LARGE_L1})],
        "models.standard: AdditiveL1 has the epsilon 30000",
    ),
    "module": (
        [("networks.tiny", {"method": "own_file:Net"})],
        "networks[.][a-z]+: .*file.py: class Net is an nn.Module",
    ),
    "stage": ([("networks.own", {"method": "own_file:Short"}), *EXTENDED], UNKNOWN_STAGE),
    "stage by default": (
        [
            ("networks.own", {"method": "resnet_3d", "stages": 2}),
            ("networks.more", {"method": "oudefend", "network": "own"}),
            ("models.at_pgd.network", "more"),
        ],
        "networks.more: after: unknown stage 'layer3'; this network has layer1, layer2",
    ),
    "our stage": ([("networks.own", {"method": "resnet_3d", "stages": 1}), *EXTENDED], UNKNOWN_STAGE),
    "features": (
        [("networks.own", {"method": "own_file:Flat"}), ("models.flat", FLAT), ("figures.f", FEATURES)],
        "figures.f.rows.R: this network has no stages layer1, layer2",
    ),
}


@pytest.mark.parametrize(("changes", "message"), INTERFACES.values(), ids=INTERFACES)
def test_a_class_of_the_wrong_shape_is_named_before_any_job(own, changes, message):
    own(WRONG)
    with pytest.raises(PipelineError, match=message):
        resolved(changed(*changes))


def test_an_attack_that_is_only_trained_on_needs_no_quantize(own):
    own(WRONG)
    resolved(changed(("attacks.mine", NO_QUANTIZE), ("models.at_pgd.defense.attack", "mine")))


def test_stages_that_no_class_declares_are_checked_in_the_job_with_the_same_words():
    message = "features: this network has no stages layer1, layer2, ... to compare"
    with pytest.raises(PipelineError, match=message), comparing(nn.Linear(2, 2), {}):
        pass
