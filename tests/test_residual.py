"""Shortcut "A", which has no parameters, on clips and on images."""

import pytest
import torch

from pipeline_lib.networks.residual import SubsampledIdentity


@pytest.mark.parametrize(("size", "after"), [((4, 5, 6), (2, 3, 3)), ((5, 6), (3, 3))], ids=["clips", "images"])
def test_shortcut_a_takes_every_second_position_and_adds_empty_channels(size, after):
    features = torch.rand(2, 3, *size)
    shortcut = SubsampledIdentity(3, 5, 2)(features)
    kept = features[:, :, ::2, ::2, ::2] if len(size) == 3 else features[:, :, ::2, ::2]
    assert torch.equal(shortcut[:, :3], kept)
    assert shortcut.shape == (2, 5, *after)
    assert not shortcut[:, 3:].any()
