"""Losses that attacks climb: one number for each clip, in float32."""

import math

import pytest
import torch

from pipeline_lib.attacks.losses import cross_entropy, divergence

CLIPS = torch.rand(4, 3, 2, 8, 8, generator=torch.Generator().manual_seed(0))


def test_divergence_is_the_textbook_sum():
    p, q = torch.tensor([[0.7, 0.2, 0.1]]), torch.tensor([[0.1, 0.3, 0.6]])
    found = divergence(lambda clips: q.log() + 3, p.log())(CLIPS[:1])
    torch.testing.assert_close(found, (p * (p / q).log()).sum(1))
    assert divergence(lambda clips: p.log(), p.log())(CLIPS[:1]).item() == pytest.approx(0, abs=1e-7)


def test_cross_entropy_is_per_clip_in_float32():
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    losses = cross_entropy(lambda clips: logits.bfloat16(), torch.tensor([0, 2]))(CLIPS[:2])
    expected = [-2 + math.log(math.e**2 + 2), math.log(math.e + 2)]
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses, torch.tensor(expected))
