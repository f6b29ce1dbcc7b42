"""Augmentation: crops and mirror images of the clip itself, each from its own generator."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as torchvision

from pipeline_lib.clips.augmentation import CropAndFlip, Unchanged
from pipeline_lib.errors import PipelineError
from pipeline_lib.randomness.generators import clip_generators

CLIPS = torch.rand(40, 3, 2, 6, 5, generator=torch.Generator().manual_seed(0)) + 0.1
NAMES = [f"clip {number}" for number in range(len(CLIPS))]


def generators(names: list[str] = NAMES) -> list[torch.Generator]:
    return clip_generators(3, names)


def possible(clip: torch.Tensor, padding: int) -> dict[tuple[int, int, bool], torch.Tensor]:
    """Every crop of the padded clip and its mirror image, by torchvision."""
    padded = torchvision.pad(clip, [padding])
    places = range(2 * padding + 1)
    crops = {(top, left): torchvision.crop(padded, top, left, *clip.shape[-2:]) for top in places for left in places}
    return {
        (*place, mirrored): torchvision.horizontal_flip(crop) if mirrored else crop
        for place, crop in crops.items()
        for mirrored in (False, True)
    }


def test_each_clip_becomes_one_of_its_crops_and_all_places_occur() -> None:
    augmented = CropAndFlip(padding=1)(CLIPS, generators())
    found = []
    for clip, changed in zip(CLIPS, augmented, strict=True):
        matches = [place for place, crop in possible(clip, 1).items() if torch.equal(crop, changed)]
        assert len(matches) == 1
        found += matches
    assert augmented.shape == CLIPS.shape
    assert [len(set(values)) for values in zip(*found, strict=True)] == [3, 3, 2]


def test_the_result_depends_on_the_clip_and_its_generator_only() -> None:
    whole = CropAndFlip(padding=4)(CLIPS, generators())
    order = np.random.default_rng(0).permutation(len(CLIPS))[:7]
    some = CropAndFlip(padding=4)(CLIPS[order], generators([NAMES[row] for row in order]))
    assert torch.equal(some, whole[order])


def test_without_padding_only_mirror_images_are_left() -> None:
    augmented = CropAndFlip(padding=0)(CLIPS, generators())
    kept = [torch.equal(clip, changed) for clip, changed in zip(CLIPS, augmented, strict=True)]
    mirrored = [torch.equal(clip.flip(-1), changed) for clip, changed in zip(CLIPS, augmented, strict=True)]
    assert all(a != b for a, b in zip(kept, mirrored, strict=True))
    assert 8 < sum(mirrored) < 32


def test_the_default_changes_nothing() -> None:
    assert Unchanged()(CLIPS, generators()) is CLIPS


def test_padding_below_zero_is_named() -> None:
    with pytest.raises(PipelineError, match="padding is -1"):
        CropAndFlip(padding=-1)
