"""Audits: faults that are planted into a model or an attack are all seen, and sound runs are not flagged."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import tiny
from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.expectation import Expectation
from pipeline_lib.attacks.framing import FixedPattern
from pipeline_lib.attacks.losses import loss_and_gradient
from pipeline_lib.attacks.lp_perturbations import AdditiveL2
from pipeline_lib.attacks.perturbations import AdditiveLinf, RatioLinf
from pipeline_lib.attacks.regions import FirstSampleOnly, RandomPixels, RandomRectangle
from pipeline_lib.attacks.starts import Constant, UniformNoise
from pipeline_lib.clips.store import Clips
from pipeline_lib.entries.building import build
from pipeline_lib.errors import PipelineError
from pipeline_lib.evaluation import crafting
from pipeline_lib.evaluation.audit import audit_of
from pipeline_lib.evaluation.prediction import score
from pipeline_lib.evaluation.recording import RecordedLoss
from pipeline_lib.evaluation.shards import attacked_clips, shards_in, write_shard
from pipeline_lib.evaluation.source import Loaded, Settings
from pipeline_lib.models.trained import channels_last, view
from pipeline_lib.networks.multi_batchnorm import branch_out
from pipeline_lib.precision import Precision
from pipeline_lib.reporting.audits import OVERSHOT, UNFINISHED, verdict
from pipeline_lib.transforms.bpda import Transform, transformed
from test_transforms import TRANSFORMS

CPU = torch.device("cpu")
# Sound, with the few steps of these tests or with enough.
NO_FAULT = ("ok", OVERSHOT, UNFINISHED)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Clips:
    return Clips(tiny.write_clips(tmp_path_factory.mktemp("audit") / "clips.h5", count=32))


class Brightness(nn.Module):
    """Two classes by the mean of the clip, which is what tells the classes of the tiny clips apart."""

    def __init__(self, slope: float = 12.0) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        bright = self.slope * (clips.mean((1, 2, 3, 4)) - 0.43)
        return torch.stack([-bright, bright], 1)


class Codec(nn.Module):
    """A network behind a round trip through 32 levels; `cut` says how the gradient gets lost, or how it does not."""

    def __init__(self, cut: str) -> None:
        super().__init__()
        self.network, self.cut = Brightness(), cut

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        coded = (clips * 31).round() / 31
        if self.cut == "detached":
            coded = (clips.detach() * 31).round() / 31
        elif self.cut == "straight through":
            coded = clips + (coded - clips).detach()
        return self.network(coded)


class Shattered(nn.Module):
    """A network whose input is jagged: the gradient is steep, and says nothing of a step of some grey levels."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Brightness()

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return self.network(clips + 0.005 * (2000 * clips).sin())


class OneBranchCut(nn.Module):
    """A network of two branches that sees its clips through a detached codec in one of them, the stronger one."""

    def __init__(self, other: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.network, self.other = Codec("detached"), other

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return self.network(clips) + self.other(clips)


def against(clips: torch.Tensor) -> torch.Tensor:
    """The same answer, but the other way around."""
    return -0.5 * Brightness()(clips)


def contrast(clips: torch.Tensor) -> torch.Tensor:
    """What the classes do not differ in."""
    return torch.stack([clips.std((1, 2, 3, 4)), -clips.std((1, 2, 3, 4))], 1)


class Behind(nn.Module):
    """The network behind a transform, attacked by BPDA where that has no gradient."""

    def __init__(self, transform: Transform, slope: float = 12.0) -> None:
        super().__init__()
        self.transform, self.network = transform, Brightness(slope)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return self.network(transformed(self.transform, clips))


class ClippedInput(nn.Module):
    """A network that normalizes its input and then clips it to [0, 1], as if it were a picture."""

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        normalized = ((clips - 0.45) / 0.05).clamp(0, 1)
        bright = normalized.mean((1, 2, 3, 4)) - 0.4
        return torch.stack([-bright, bright], 1)


class Always(Brightness):
    """A network that always answers the first class."""

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return super().forward(clips) + torch.tensor([100.0, 0.0])


class Unrelated(nn.Module):
    """A network whose answers change from clip to clip, and say nothing of the class."""

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        waves = (1e5 * clips.mean((1, 2, 3, 4))).sin()
        return torch.stack([waves, -waves], 1)


class OtherBranch(nn.Module):
    """A network with branches whose evaluation, without gradients, goes through another one."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList([Brightness(12.0), Brightness(4.0)])

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return self.branches[0 if torch.is_grad_enabled() and clips.requires_grad else 1](clips)


class Overflowing(Brightness):
    """A network whose logits are not finite on bright clips."""

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return super().forward(clips) + 0 * (0.45 - clips.mean((1, 2, 3, 4), keepdim=True)[:, :, 0, 0, 0]).log()


class MeanOfHalves(RecordedLoss):
    """The mean over the batch, with its gradient in float16."""

    def __call__(self, clips: torch.Tensor) -> torch.Tensor:
        if clips.requires_grad:
            clips.register_hook(lambda gradient: (gradient / len(gradient)).half().float())
        return super().__call__(clips)


@dataclass(frozen=True, kw_only=True)
class WrongMask(RandomPixels):
    """A region whose mask is not the one that it says: more pixels than `count`."""

    def mask(self, clips, generators):
        return RandomPixels(count=2 * self.count + 8).mask(clips, generators)


@dataclass(frozen=True, kw_only=True)
class Flicker:
    """A user's own attack: one step along the sign of the mean gradient, which is 0 where that is NaN."""

    epsilon: float

    def __call__(self, loss, clips, generators):
        _, gradient = loss_and_gradient(loss, clips)
        return (clips + self.epsilon * gradient.mean((1, 3, 4), keepdim=True).sign()).clamp(0, 1)

    def quantize(self, adversarial, clean):
        return (adversarial * 255).round() / 255

    def ratio_to_bound(self, adversarial, clean):
        return (adversarial - clean).abs().flatten(1).amax(1) / self.epsilon


@dataclass(frozen=True, kw_only=True)
class ClippedNormalized(Ascent):
    """PGD whose steps are made on normalized clips, which are then clipped to [0, 1] in these units."""

    def __call__(self, loss, clips, generators):
        mean, std = 0.45, 0.225
        normalized = (super().__call__(loss, clips, generators) - mean) / std
        return normalized.clamp(0, 1) * std + mean


@dataclass(frozen=True, kw_only=True)
class OutsideTheBox(Ascent):
    """PGD that forgets the box: dark and bright pixels leave [0, 1]."""

    def __call__(self, loss, clips, generators):
        return super().__call__(loss, clips, generators) - 0.5


# The classes are 60 levels apart: these bounds are large enough to move a clip over.
LINF = AdditiveLinf(epsilon=40 / 255, step_size=20 / 255)
PGD = Ascent(perturbation=LINF, start=UniformNoise(radius=40 / 255), steps=3)
STEP = Ascent(perturbation=AdditiveLinf(epsilon=40 / 255, step_size=40 / 255), steps=1)
WEAK = Ascent(perturbation=AdditiveLinf(epsilon=8 / 255, step_size=4 / 255), steps=3)
ANYWHERE = AdditiveLinf(epsilon=1.0, step_size=0.5)


def audit(
    clips: Clips, network: nn.Module, attack: Ascent, branch: str | None = None, precision: Precision = "fp32"
) -> dict[str, float]:
    """The row that a set's audit has, of two batches."""
    model = view(network.eval(), branch)
    settings = Settings(batch_size=8, device=CPU, precision=precision)
    source = Loaded(network, model, {})
    made = crafting.Crafting(attack=attack, loss_transform=lambda loss: loss, source=source, settings=settings)
    with tempfile.TemporaryDirectory() as folder:
        for rows in np.arange(len(clips)).reshape(2, -1):
            write_shard(Path(folder), rows, *crafting.attack_clips(made, clips, rows, clips.read(rows)))
        return audit_of(attacked_clips(shards_in(Path(folder))), clips.labels, precision)._asdict()


def branched() -> nn.Module:
    torch.manual_seed(0)
    network = branch_out(channels_last(build(tiny.NETWORK)(2)), ["clean", "lp"])
    for name, values in network.named_parameters():
        if ".branches.1." in name:
            values.data += torch.rand(values.shape)
    return network


SOUND = {
    "pgd": (Brightness, PGD),
    "one step": (Brightness, STEP),
    "rectangle": (Brightness, Ascent(perturbation=ANYWHERE, region=RandomRectangle(height=6, width=6), steps=2)),
    "pixels": (Brightness, Ascent(perturbation=ANYWHERE, region=RandomPixels(count=40), steps=2)),
    "straight-through codec": (lambda: Codec("straight through"), PGD),
    "ratio": (Brightness, Ascent(perturbation=RatioLinf(epsilon=1.6, step_size=1.3), steps=2)),
    "noise with EOT": (lambda: Behind(TRANSFORMS["noise_injection"]), Expectation(attack=PGD, samples=3)),
    "l2": (Brightness, Ascent(perturbation=AdditiveL2(epsilon=6.0, step_size=3.0), steps=2)),
}


SPOTS = Ascent(perturbation=ANYWHERE, region=RandomPixels(count=1), start=Constant(value=0.0), steps=2)


@pytest.mark.parametrize("network", [Brightness, lambda: Behind(TRANSFORMS["median_filter"])], ids=["plain", "median"])
@pytest.mark.parametrize("attack", [WEAK, SPOTS], ids=["small bound", "few pixels"])
def test_a_model_that_withstands_a_weak_attack_is_not_masked(clips, network, attack):
    row = audit(clips, network(), attack)
    assert row["clean_accuracy"] == row["stored_accuracy"] == 100
    assert verdict(row) == "no effect", row


# Equalization takes away the brightness, which is all that the network looks at.
@pytest.mark.parametrize("name", sorted(TRANSFORMS.keys() - {"histogram_equalization"}))
@pytest.mark.parametrize(
    ("levels", "expected"), [(2, ("no effect",)), pytest.param(40, NO_FAULT, marks=pytest.mark.slow)]
)
def test_no_transform_masks_what_bpda_passes(clips, name, levels, expected):
    linf = AdditiveLinf(epsilon=levels / 255, step_size=levels / 510)
    attack = Ascent(perturbation=linf, start=UniformNoise(radius=levels / 255), steps=3)
    row = audit(clips, Behind(TRANSFORMS[name]), attack)
    # Behind some of them the network, which is not trained for them, gives one answer only.
    assert verdict(row | {"classes": 0}) in expected, row


@pytest.mark.parametrize(("network", "attack"), SOUND.values(), ids=SOUND)
def test_sound_runs_are_not_flagged(clips, network, attack):
    row = audit(clips, network(), attack)
    assert verdict(row) in NO_FAULT, row
    assert row["clean_accuracy"] > row["stored_accuracy"]


def test_a_sound_attack_in_bf16_is_not_flagged_and_another_model_still_is(clips):
    row = audit(clips, branched(), PGD, "lp", "bf16")
    assert 1e-6 < row["model_gap"] < row["gap_allowed"] / 4, row
    assert verdict(row | {"model_gap": 0.06}) != "other model evaluated"
    assert verdict(row | {"model_gap": 0.3}) == "other model evaluated"


@pytest.mark.parametrize("branch", ["clean", "lp"])
def test_a_branch_is_attacked_and_evaluated_alike(clips, branch):
    """Untrained branches answer anything: only the gap is sound, and it is that of rounding."""
    assert audit(clips, branched(), PGD, branch)["model_gap"] < 1e-4


FAULTS = {
    "detached codec": (lambda: Codec("detached"), PGD, "masked gradient"),
    "rounding codec": (lambda: Codec("rounded"), PGD, "masked gradient"),
    "wrong mask": (Brightness, Ascent(perturbation=ANYWHERE, region=WrongMask(count=4), steps=2), "bound broken"),
    "constant model": (Always, PGD, "one answer"),
    "model that has learned nothing": (Unrelated, PGD, "answers at random"),
    "other branch": (OtherBranch, PGD, "other model evaluated"),
    "network that clips what it normalized": (ClippedInput, PGD, "masked gradient"),
    "attack that clips what is normalized": (
        Brightness,
        ClippedNormalized(**vars(PGD)),
        "bound broken",
    ),
    "outside of [0, 1]": (Brightness, OutsideTheBox(perturbation=ANYWHERE, steps=1), "bound broken"),
    "mask of the first clip only": (
        Brightness,
        Ascent(perturbation=ANYWHERE, region=FirstSampleOnly(region=RandomPixels(count=40)), steps=2),
        "clips left out",
    ),
    "shattered gradient": (Shattered, PGD, "masked gradient"),
    "shattered gradient of a step": (Shattered, STEP, "masked gradient"),
    "one branch cut, the other leads astray": (lambda: OneBranchCut(against), PGD, "masked gradient"),
    "one branch cut, the other is weak": (lambda: OneBranchCut(contrast), PGD, "no effect"),
}


@pytest.mark.parametrize(("network", "attack", "expected"), FAULTS.values(), ids=FAULTS)
def test_planted_faults_are_seen(clips, network, attack, expected):
    row = audit(clips, network(), attack)
    assert verdict(row) == expected, row


@pytest.mark.parametrize(
    ("attack", "what"),
    [
        (PGD, "the attacked clips are"),
        (Flicker(epsilon=0.1), "the loss under attack is"),
        (FixedPattern(region=RandomPixels(count=4), start=Constant(value=0.0)), "the loss as evaluated is"),
    ],
    ids=["pgd", "own attack", "fixed_pattern"],
)
def test_clips_on_which_the_network_overflows_are_named(clips, attack, what):
    """Neither a gradient of NaN, whose sign is 0, nor a framing that asks for none passes for robustness."""
    with pytest.raises(
        PipelineError, match=rf"^{what} not finite for Right/v_01\.avi, Right/v_03\.avi, Right/v_05\.avi and 5 more"
    ):
        audit(clips, Overflowing(), attack)


def test_half_precision_of_a_mean_is_seen(clips, monkeypatch):
    """Gradients of confident clips, divided by the batch and kept in float16, are zero."""
    sound = audit(clips, Brightness(60.0), PGD)
    assert verdict(sound) == UNFINISHED, sound
    monkeypatch.setattr(crafting, "RecordedLoss", MeanOfHalves)
    row = audit(clips, Brightness(60.0), PGD)
    assert verdict(row) == "masked gradient", row


def test_another_branch_is_seen_in_a_real_network(clips, monkeypatch):
    """The attack sees one branch, all that is evaluated another."""
    network, scored = branched(), []

    def other(model, seen, labels, draws):
        scored.append(len(seen))
        return score(view(network, "clean"), seen, labels, draws)

    monkeypatch.setattr(crafting, "score", other)
    assert verdict(audit(clips, network, PGD, "lp")) == "other model evaluated"
    assert scored == [16, 16, 16, 1] * 2  # clean, live and stored clips of a batch, and the probe


def test_an_attack_that_never_asks_for_the_loss_is_audited_too(clips):
    class Noise(Ascent):
        def __call__(self, loss, clips, generators):
            return self.start.first(clips, generators).clamp(0, 1)

    row = audit(clips, Brightness(), Noise(**vars(PGD)))
    assert row["model_gap"] == row["zero_gradients"] == 0
    assert row["start_loss"] == row["end_loss"]
