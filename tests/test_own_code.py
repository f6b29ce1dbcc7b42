"""What a user's code does wrongly while it runs, and what is said of it."""

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import tiny
from own_files import HEAD, SIMPLE, own
from pipeline_lib.attacks.crafting import craft
from pipeline_lib.attacks.perturbations import AdditiveLinf
from pipeline_lib.configuration.entries import resolve
from pipeline_lib.defenses.objective import adversarial_examples
from pipeline_lib.entries.building import build
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.adapter import job
from pipeline_lib.jobs.runs import STOPPED
from pipeline_lib.models import checkpoint
from pipeline_lib.models.trained import load_model, new_network
from pipeline_lib.reporting.audits import read_audit, verdict
from test_adversarial import CPU, attacked
from test_training import trained

__all__ = ["own"]

ATTACKS = f"""{HEAD}{SIMPLE}
class InPlace(Simple):
    def __call__(self, loss, clips, generators):
        loss(clips)
        clips += 16 * self.epsilon
        return clips
class InQuantize(Simple):
    def quantize(self, adversarial, clean):
        clean += self.epsilon
        return adversarial
@dataclass(frozen=True, kw_only=True)
class Unbounded:
    def __call__(self, loss, clips, generators):
        loss(clips)
        return 1 - clips
    def quantize(self, adversarial, clean):
        return (adversarial * 255).round() / 255
"""
UNBOUNDED = {"method": "own_file:Unbounded"}
IN_PLACE = {"method": "own_file:InPlace", "epsilon": 1 / 255}


def audit_of(folder: Path, entry: dict) -> dict:
    attacked(folder, folder, entry)
    return read_audit(folder / "audit.csv")


@pytest.fixture
def made(own) -> Path:
    """A trained model and its clips beside the user's attacks."""
    folder = own(ATTACKS)
    trained(folder, tiny.model_entry(tiny.STANDARD), tiny.write_clips(folder / "clips.h5"), "plain")
    return folder


def test_the_audit_sees_what_an_attack_does_to_its_argument(made):
    audit = audit_of(made, IN_PLACE)
    assert audit["live_bound_ratio"] == pytest.approx(16, rel=1e-3)
    assert verdict(audit) == "bound broken"


def test_an_attack_that_changes_the_clips_of_its_audit_is_refused(made):
    with pytest.raises(PipelineError, match="InQuantize writes into the arguments of quantize or ratio"):
        attacked(made, made, {"method": "own_file:InQuantize"})


def test_crafting_leaves_the_clips_as_they_are(own):
    own(ATTACKS)
    clips = torch.rand(4, 3, 2, 4, 4) / 2
    before = clips.clone()
    network = nn.Sequential(nn.Flatten(), nn.Linear(96, 2))
    adversarial = craft(network, clips, torch.zeros(4, dtype=torch.long), build(IN_PLACE), batch_size=3)
    assert torch.equal(clips, before)
    torch.testing.assert_close(adversarial - clips, torch.full_like(clips, 16 / 255))


def test_training_leaves_the_clean_clips_as_they_are(own):
    own(ATTACKS)
    clips, labels = torch.rand(4, 3, 2, 4, 4) / 2, torch.zeros(4, dtype=torch.long)
    before = clips.clone()
    network = nn.Sequential(nn.Flatten(), nn.Linear(96, 2))
    examples = adversarial_examples(network, network, build(IN_PLACE), clips, labels, [torch.Generator()] * 4)
    assert torch.equal(clips, before)
    torch.testing.assert_close(examples - clips, torch.full_like(clips, 16 / 255))


@pytest.mark.parametrize("entry", [UNBOUNDED, {"method": "expectation", "attack": UNBOUNDED, "samples": 1}])
def test_an_attack_without_a_bound_is_audited_as_such(made, entry):
    """It is no fault, and not `ok` either."""
    audit = audit_of(made, resolve("a", entry, {}))
    assert (audit["bound_ratio"], audit["live_bound_ratio"]) == (-1, -1)
    answers = {"answer_entropy": 1.0, "balanced_accuracy": 100.0}
    effective = audit | answers | {"stored_accuracy": 0.0, "clean_accuracy": 100.0}
    assert verdict(effective) == "no bound stated"
    assert verdict(effective | {"bound_ratio": 1, "live_bound_ratio": 1}) == "ok"
    assert verdict(effective | {"box_excess": 0.5}) == "bound broken"


def test_a_request_to_stop_keeps_its_status(tmp_path):
    config = {"gpu_share": 1, "lock_wait": 60}
    snakemake = SimpleNamespace(rule="attack", log=[str(tmp_path / "log")], resources={}, config=config)
    with pytest.raises(SystemExit) as end, job(snakemake):
        raise SystemExit(STOPPED)
    assert end.value.code == STOPPED


LINF = {"method": "additive_linf", "epsilon": "8/255", "step_size": "2/255"}
NO_BOUNDS = [
    (LINF | {"epsilon": 8}, "epsilon: 8.0 must be above 0, and at most 1 .8/255 for 8 grey levels"),
    (LINF | {"step_size": 2}, "step_size: 2.0 must be above 0, and at most 1"),
    (LINF | {"epsilon": float("inf")}, "epsilon: inf must be a finite number, above 0"),
    (LINF | {"epsilon": float("nan")}, "epsilon: expected a number or a fraction"),
    (LINF | {"epsilon": "-8/255"}, "epsilon: -0.03.* must be above 0"),
    ({"method": "ratio_linf", "epsilon": float("inf"), "step_size": 1.1}, "epsilon: inf must be a finite number"),
    ({"method": "additive_l2", "epsilon": 1, "step_size": float("inf")}, "step_size: inf must be a finite number"),
]


@pytest.mark.parametrize(("entry", "message"), NO_BOUNDS)
def test_a_bound_that_makes_no_sense_is_refused_while_planning(entry, message):
    with pytest.raises(PipelineError, match=f"a.perturbation.{message}"):
        resolve("a", {"method": "ascent", "perturbation": entry, "steps": 1}, {})


def test_a_bound_that_makes_no_sense_is_refused_from_python():
    with pytest.raises(PipelineError, match="epsilon is nan: it must be a finite number"):
        AdditiveLinf(epsilon=float("nan"), step_size=0.1)


def test_a_model_of_other_code_is_told_from_a_damaged_one(tmp_path):
    """A checkpoint from before the networks had a folder of their own."""
    entry = tiny.model_entry(tiny.STANDARD)
    network, _ = new_network(entry, 2)
    old = entry | {"network": tiny.NETWORK | {"method": "pipeline_lib.models.resnet:ResNet3D"}}
    checkpoint.save(tmp_path / "old.pt", network, entry=old, classes=tiny.CLASSES)
    with pytest.raises(PipelineError, match=r"old.pt: made by another version of this code.*delete it or rerun with"):
        load_model(tmp_path / "old.pt", CPU)


def test_an_audit_of_other_code_is_told_from_a_damaged_one(tmp_path):
    with (tmp_path / "audit.csv").open("w") as file:
        csv.writer(file).writerows([["clips", "promised_rise"], [1, 2]])
    with pytest.raises(PipelineError, match="audit.csv: made by another version of this code"):
        read_audit(tmp_path / "audit.csv")
