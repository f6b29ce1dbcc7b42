"""First clips: distributions and lengths, one generator for each clip."""

import pytest
import torch

from pipeline_lib.attacks.starts import GaussianNoise, LogUniform, UniformBox, UniformNoise
from pipeline_lib.errors import PipelineError
from pipeline_lib.randomness.generators import clip_generators

CLIPS = torch.rand(3, 3, 4, 20, 20, generator=torch.Generator().manual_seed(0))


def first(start, clips=CLIPS, names="abc"):
    return start.first(clips, clip_generators(0, list(names)))


@pytest.mark.parametrize("radius", [0.5, 4.0])
def test_uniform_box_starts_on_the_ball_and_in_the_box(radius):
    found = first(UniformBox(radius=radius))
    torch.testing.assert_close((found - CLIPS).flatten(1).norm(dim=1), torch.full((3,), radius))
    assert found.min() >= 0
    assert found.max() <= 1


def test_uniform_box_is_uniform_where_the_ball_is_large():
    found = first(UniformBox(radius=1000.0))
    assert abs(found.mean() - 0.5) < 5 / (12 * found.numel()) ** 0.5
    assert abs(found.var() - 1 / 12) < 0.002
    assert abs(torch.corrcoef(torch.stack([found.flatten(), CLIPS.flatten()]))[0, 1]) < 5 / found.numel() ** 0.5


def test_draws_are_added_or_multiplied_as_they_come():
    """One draw for each value of a clip, in the order of its memory: results of earlier versions come again."""
    generator = clip_generators(0, ["b"])[0]
    noise = torch.empty(CLIPS.shape[1:]).uniform_(-0.1, 0.1, generator=generator)
    assert torch.equal(first(UniformNoise(radius=0.1))[1], CLIPS[1] + noise)
    generator = clip_generators(0, ["b"])[0]
    reach = torch.tensor(1.5, dtype=torch.float64).log().item()
    exponent = torch.empty(CLIPS.shape[1:]).uniform_(-reach, reach, generator=generator)
    assert torch.equal(first(LogUniform(ratio=1.5))[1], CLIPS[1] * exponent.exp())
    assert torch.equal(first(LogUniform(ratio=1.0)), CLIPS)
    assert torch.equal(first(UniformNoise(radius=0.0)), CLIPS)


def test_gaussian_noise_has_its_deviation():
    noise = first(GaussianNoise(deviation=0.001)) - CLIPS
    assert abs(noise.mean()) < 5 * 0.001 / noise.numel() ** 0.5
    assert noise.std().item() == pytest.approx(0.001, rel=5 / (2 * noise.numel()) ** 0.5)
    assert noise.abs().max() > 0.003


@pytest.mark.parametrize("start", [UniformBox(radius=2.0), GaussianNoise(deviation=0.1)])
def test_a_clip_starts_alike_in_any_batch_and_with_or_without_a_frame_dimension(start):
    together = first(start)
    torch.testing.assert_close(together[1:2], first(start, CLIPS[1:2], "b"), rtol=0, atol=1e-7)
    images = CLIPS[:, :, 0]
    assert torch.equal(first(start, images), first(start, images[:, :, None])[:, :, 0])
    assert torch.equal(start.center(CLIPS, CLIPS > 0), CLIPS)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UniformBox(radius=0), "radius is 0: it must be above 0"),
        (lambda: GaussianNoise(deviation=-1), "deviation is -1: it must be at least 0"),
    ],
)
def test_impossible_starts_are_refused(make, message):
    with pytest.raises(PipelineError, match=message):
        make()
