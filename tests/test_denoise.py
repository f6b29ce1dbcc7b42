"""Feature Denoising against einsum over single positions, the counted parameters, and the forms of the block."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline_lib.errors import PipelineError
from pipeline_lib.models.trained import parameter_count
from pipeline_lib.networks.denoise import FeatureDenoising, attended
from pipeline_lib.networks.resnet import ResNet3D

PAPER = ResNet3D(depth=18, shortcut="A")
SMALL = ResNet3D(depth=10, width=6, stages=1, stem_kernel=3, stem_pool=False)
SHAPES = [(2, 6, 3, 4, 4), (1, 6, 3, 5, 7)]


def block(**fields: object) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = FeatureDenoising(network=SMALL, after=["layer1"], **fields)(2)
    part = network.layer1.denoise.block.double()
    for weight in part.parameters():
        nn.init.normal_(weight, generator=torch.Generator().manual_seed(weight.numel()))
    return part


def features(shape: tuple[int, ...]) -> Tensor:
    return torch.rand(shape, dtype=torch.double, generator=torch.Generator().manual_seed(1))


def embedded(weight: Tensor, x: Tensor) -> Tensor:
    return torch.einsum("oi,nithw->nothw", weight[:, :, 0, 0, 0], x)


def framewise(theta: Tensor, phi: Tensor, x: Tensor) -> Tensor:
    scores = torch.einsum("nitab,nitcd->ntabcd", theta, phi) / theta.shape[1] ** 0.5
    weights = scores.exp() / scores.exp().sum(dim=(4, 5), keepdim=True)
    return torch.einsum("ntabcd,nitcd->nitab", weights, x)


def clipwise(theta: Tensor, phi: Tensor, x: Tensor) -> Tensor:
    scores = torch.einsum("nisab,nitcd->nsabtcd", theta, phi) / theta.shape[1] ** 0.5
    weights = scores.exp() / scores.exp().sum(dim=(4, 5, 6), keepdim=True)
    return torch.einsum("nsabtcd,nitcd->nisab", weights, x)


def literal(part: nn.Module, attention: str, x: Tensor) -> Tensor:
    """The authors' block."""
    if attention == "frame_separate":
        theta, phi = (
            torch.stack([torch.einsum("oi,nihw->nohw", f.weight[:, :, 0, 0], x[:, :, t]) for t, f in each], dim=2)
            for each in (list(enumerate(part.theta.frames)), list(enumerate(part.phi.frames)))
        )
        return x + embedded(part.output.weight, framewise(theta, phi, x))
    theta, phi = embedded(part.theta.weight, x), embedded(part.phi.weight, x)
    attend = clipwise if attention == "spatiotemporal" else framewise
    return (x + embedded(part.output.weight, attend(theta, phi, x))).relu()


FIELDS = {
    "frame": {},
    "frame_separate": {"attention": "frame_separate", "frames": [3]},
    "spatiotemporal": {"attention": "spatiotemporal"},
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("attention", FIELDS)
def test_values_and_gradients_are_those_of_the_literal_block(attention, shape):
    part, x = block(**FIELDS[attention]), features(shape).requires_grad_()
    ours, theirs = part(x), literal(part, attention, x)
    torch.testing.assert_close(ours, theirs)
    inputs = [x, *part.parameters()]
    expected = torch.autograd.grad(theirs.square().sum(), inputs)
    for gradient, other in zip(torch.autograd.grad(ours.square().sum(), inputs), expected, strict=True):
        assert gradient.any()
        torch.testing.assert_close(gradient, other)


def test_the_fair_form_has_a_batchnorm_and_no_relu():
    part, x = block(form="fair").eval(), features(SHAPES[0]) - 0.5
    theta, phi = (embedded(p.weight, x) for p in (part.theta, part.phi))
    convolution, norm = part.output
    expected = x + norm(embedded(convolution.weight, framewise(theta, phi, x)))
    torch.testing.assert_close(part(x), expected)


def published(weights: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """`denoising` of Xie et al.'s code for images (n, C, H, W) at inference, in NumPy: `non_local_op` with embedding
    and softmax over all positions, a 1x1 convolution, and BatchNorm; `use_bias=False` holds for every convolution."""
    n, channels, height, width = x.shape
    pixels = x.reshape(n, channels, height * width)
    theta, phi = weights["theta"] @ pixels, weights["phi"] @ pixels
    scores = np.swapaxes(theta, 1, 2) @ phi / np.sqrt(theta.shape[1])
    exponents = np.exp(scores - scores.max(axis=2, keepdims=True))
    attention = exponents / exponents.sum(axis=2, keepdims=True)
    output = weights["conv"] @ (pixels @ np.swapaxes(attention, 1, 2))
    centered = (output - weights["mean"][:, None]) / np.sqrt(weights["variance"][:, None] + 1e-5)
    return x + (weights["gamma"][:, None] * centered + weights["beta"][:, None]).reshape(x.shape)


def test_the_fair_form_is_the_published_block_and_has_no_other_parameters():
    part, draw = block(form="fair").eval(), np.random.default_rng(0)
    shapes = {"theta": (3, 6), "phi": (3, 6), "conv": (6, 6), "gamma": 6, "beta": 6, "mean": 6, "variance": 6}
    weights = {name: draw.uniform(0.5, 1.5, shape) * (1 - 2 * (name == "phi")) for name, shape in shapes.items()}
    names = {
        "theta": "theta.weight",
        "phi": "phi.weight",
        "conv": "output.0.weight",
        "gamma": "output.1.weight",
        "beta": "output.1.bias",
        "mean": "output.1.running_mean",
        "variance": "output.1.running_var",
    }
    own = part.state_dict()
    assert set(own) == {*names.values(), "output.1.num_batches_tracked"}
    loaded = {key: torch.from_numpy(weights[name]).view(own[key].shape) for name, key in names.items()}
    part.load_state_dict(own | loaded)
    images = draw.normal(size=(2, 6, 4, 5))
    found = part(torch.from_numpy(images)[:, :, None])[:, :, 0]
    np.testing.assert_allclose(found.detach().numpy(), published(weights, images), rtol=1e-10)


def test_the_fair_form_starts_as_the_identity_with_small_embeddings():
    network = FeatureDenoising(network=ResNet3D(width=32, stages=1), after=["layer1"], form="fair")(2)
    part = network.layer1.denoise.block
    x = torch.rand(2, 32, 2, 4, 4) - 0.5
    assert torch.equal(part(x), x)
    assert part.theta.weight.std().item() == pytest.approx(0.01, rel=0.2)
    assert part.output[0].weight.std().item() == pytest.approx((2 / 32) ** 0.5, rel=0.2)


def test_frames_do_not_see_one_another():
    x = features(SHAPES[0])
    changed = x.clone()
    changed[:, :, 1] = 0
    same = [torch.equal(block()(x)[:, :, t], block()(changed)[:, :, t]) for t in range(3)]
    assert same == [True, False, True]
    part = block(attention="spatiotemporal")
    assert not torch.equal(part(x)[:, :, 0], part(changed)[:, :, 0])


def test_attention_of_any_width_up_to_that_of_the_values():
    generator = torch.Generator().manual_seed(0)
    queries, keys = (torch.randn(2, 5, 3, dtype=torch.double, generator=generator) for _ in range(2))
    values = torch.randn(2, 5, 7, dtype=torch.double, generator=generator)
    expected = (queries @ keys.mT / 3**0.5).softmax(-1) @ values
    torch.testing.assert_close(attended(queries, keys, values), expected)


@pytest.mark.parametrize(
    ("fields", "added"),
    [
        # The authors' Xie-A counts 698,240 with 1,920 of BatchNorms that it declares and never uses.
        ({}, 698_240 - 2 * (64 + 128 + 256 + 512)),
        ({"attention": "spatiotemporal"}, 698_240 - 2 * (64 + 128 + 256 + 512)),
        ({"form": "fair"}, 698_240),
        ({"attention": "frame_separate", "frames": [20, 10, 5, 3]}, 1_708_032),
    ],
)
def test_parameters_added_to_resnet18(fields, added):
    with torch.device("meta"):
        network = FeatureDenoising(network=PAPER, **fields)(101)
        assert network(torch.empty(1, 3, 40, 112, 112)).shape == (1, 101)
    assert parameter_count(network) == 33_081_893 + added


def test_separate_frames_are_checked_against_the_clip():
    with pytest.raises(PipelineError, match=r"frames: .* is for 3 time steps, its features have 2; give"):
        block(**FIELDS["frame_separate"])(features((1, 6, 2, 4, 4)))


def test_the_memory_of_spatiotemporal_attention_is_not_quadratic():
    """4,096 positions: one attention matrix in float32 takes 67 MB, the tensors of the block 1 MB."""
    part, x = block(attention="spatiotemporal").float(), torch.rand(1, 6, 4, 32, 32)
    with torch.profiler.profile(profile_memory=True) as profile:
        part(x)
    assert max(event.self_cpu_memory_usage for event in profile.events()) < 20e6


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"frames": [20, 10, 5, 3]}, "frames: .* for attention 'frame_separate' only"),
        ({"attention": "frame_separate"}, "frames: give the time steps after each stage"),
        ({"attention": "frame_separate", "frames": [20]}, "frames: 1 time steps for the 4 stages of 'after'"),
    ],
)
def test_wrong_fields_are_named(fields, message):
    with pytest.raises(PipelineError, match=message):
        FeatureDenoising(network=PAPER, **fields)
