"""Where attacks may change a clip: sizes, counts and distributions."""

import pytest
import torch

from pipeline_lib.attacks import AdditiveLinf, Apgd, Ascent, Square
from pipeline_lib.attacks.regions import AllPixels, Border, FirstSampleOnly, RandomPixels, RandomRectangle
from pipeline_lib.errors import PipelineError
from pipeline_lib.randomness.generators import clip_generators

FRAMES, SIZE = 2000, (12, 9)
CLIPS = torch.zeros(2, 3, FRAMES, *SIZE)


def mask(region, seed: int = 0, clips: torch.Tensor = CLIPS) -> torch.Tensor:
    return region.mask(clips, clip_generators(seed, [f"video {i}" for i in range(len(clips))]))


def corners(masks: torch.Tensor) -> torch.Tensor:
    """(N, T, 2): first row and column inside, of masks (N, 1, T, H, W)."""
    first = [masks[:, 0].any(axis).int().argmax(-1) for axis in (-1, -2)]
    return torch.stack(first, -1)


REGIONS = [AllPixels(), RandomRectangle(height=3, width=4), Border(width=2), RandomPixels(count=5)]


@pytest.mark.parametrize("region", REGIONS)
def test_masks_are_boolean_and_broadcast_over_channels(region):
    found = mask(region)
    assert found.dtype == torch.bool
    assert found.broadcast_to(2, 1, FRAMES, *SIZE).shape == (2, 1, FRAMES, *SIZE)


@pytest.mark.parametrize("region", REGIONS)
def test_an_image_has_the_mask_of_a_clip_of_one_frame(region):
    image, clip = torch.zeros(2, 3, *SIZE), torch.zeros(2, 3, 1, *SIZE)
    found = mask(region, clips=image).broadcast_to(2, 1, *SIZE)
    assert torch.equal(found, mask(region, clips=clip).broadcast_to(2, 1, 1, *SIZE)[:, :, 0])


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("frames", [(), (6,)])
def test_a_region_admits_its_own_masks_and_nothing(region, frames):
    clips = torch.zeros(2, 3, *frames, *SIZE)
    changed = mask(region, clips=clips).broadcast_to(2, 1, *frames, *SIZE).clone()
    assert region.admits(changed).tolist() == [True, True]
    assert region.admits(torch.zeros_like(changed)).tolist() == [True, True]


@pytest.mark.parametrize("region", REGIONS[1:])
def test_a_region_does_not_admit_more_pixels_than_it_has(region):
    """In one frame of the second clip a whole column of pixels changes as well."""
    changed = mask(region, clips=CLIPS[:, :, :6]).broadcast_to(2, 1, 6, *SIZE).clone()
    changed[1, 0, 4, :, SIZE[1] // 2] = True
    assert region.admits(changed).tolist() == [True, False]


ONE_MORE = [
    (RandomPixels(count=3), [(0, 0), (5, 1), (11, 8)], (7, 7)),
    (RandomRectangle(height=3, width=4), [(2, 1), (4, 4)], (5, 2)),  # a fourth row
    (RandomRectangle(height=3, width=4), [(2, 1), (4, 4)], (3, 5)),  # a fifth column
    (Border(width=2), [(1, 4), (6, 1), (10, 4), (6, 7)], (2, 2)),
]


@pytest.mark.parametrize(("region", "pixels", "one_more"), ONE_MORE)
@pytest.mark.parametrize("frames", [(), (3,)])
def test_one_pixel_too_many_in_one_frame_is_not_admitted(region, pixels, one_more, frames):
    """As many in every frame are, whatever the other clip of the batch does."""
    changed = torch.zeros(2, 1, *frames, *SIZE, dtype=torch.bool)
    for row, column in pixels:
        changed[..., row, column] = True
    assert region.admits(changed).tolist() == [True, True]
    last = changed[1, 0] if not frames else changed[1, 0, -1]
    last[one_more] = True
    assert region.admits(changed).tolist() == [True, False]


def test_one_rectangle_for_a_video_has_to_hold_the_pixels_of_all_its_frames():
    changed = torch.zeros(2, 1, 2, *SIZE, dtype=torch.bool)
    changed[:, :, 0, 2, 3] = True
    changed[0, :, 1, 4, 6] = True  # the opposite corner of 3 x 4
    changed[1, :, 1, 5, 3] = True
    assert RandomRectangle(height=3, width=4, per="video").admits(changed).tolist() == [True, False]
    assert RandomRectangle(height=3, width=4).admits(changed).tolist() == [True, True]


def test_all_pixels():
    assert mask(AllPixels()).all()


def test_every_frame_has_one_rectangle():
    found = mask(RandomRectangle(height=3, width=4))
    upper, left = corners(found).unbind(-1)
    rows, columns = torch.arange(SIZE[0])[:, None], torch.arange(SIZE[1])[None, :]
    for clip in range(2):
        for frame in range(0, FRAMES, 100):
            top, first = upper[clip, frame], left[clip, frame]
            expected = (rows >= top) & (rows < top + 3) & (columns >= first) & (columns < first + 4)
            assert torch.equal(found[clip, 0, frame], expected)
    assert torch.equal(found.sum((1, 3, 4)), torch.full((2, FRAMES), 12))


@pytest.mark.parametrize("last_position", [False, True])
def test_positions_are_uniform_and_the_last_is_used_on_demand(last_position):
    found = corners(mask(RandomRectangle(height=3, width=4, last_position=last_position))).reshape(-1, 2)
    positions = 9 + last_position, 5 + last_position
    counts = torch.zeros(positions)
    counts.index_put_(tuple(found.T), torch.ones(len(found)), accumulate=True)
    expected = len(found) / counts.numel()
    # Chi-square over p positions has mean p - 1 and variance 2 (p - 1): five standard deviations.
    freedom = counts.numel() - 1
    assert ((counts - expected) ** 2 / expected).sum() < freedom + 5 * (2 * freedom) ** 0.5


def test_frames_and_clips_are_independent():
    found = corners(mask(RandomRectangle(height=3, width=4)))[..., 0].double()
    assert torch.corrcoef(found)[0, 1].abs() < 0.1
    assert torch.corrcoef(torch.stack([found[0, 1:], found[0, :-1]]))[0, 1].abs() < 0.1


def test_a_clip_keeps_its_places_in_any_batch():
    region = RandomRectangle(height=3, width=4)
    generators = clip_generators(0, ["b", "a", "c"])
    together = region.mask(torch.zeros(3, 3, 5, *SIZE), generators)
    alone = region.mask(torch.zeros(1, 3, 5, *SIZE), clip_generators(0, ["a"]))
    assert torch.equal(together[1:2], alone)
    assert not torch.equal(together[0], together[1])


def test_rectangles_need_a_position():
    whole = RandomRectangle(height=12, width=9, last_position=True)
    assert mask(whole).all()
    for region in (RandomRectangle(height=12, width=4), RandomRectangle(height=3, width=10, last_position=True)):
        with pytest.raises(PipelineError, match=r"no position in frames of 12 x 9"):
            mask(region)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomRectangle(height=0, width=3), "height is 0"),
        (lambda: RandomPixels(count=0), "count is 0"),
    ],
)
def test_regions_are_not_empty(make, message):
    with pytest.raises(PipelineError, match=message):
        make()


@pytest.mark.parametrize("width", [1, 2, 4])
def test_the_border_has_the_pixels_it_must_have(width):
    height, breadth = SIZE
    found = mask(Border(width=width)).broadcast_to(2, 1, FRAMES, *SIZE)[0, 0, 0]
    assert found.sum() == height * breadth - (height - 2 * width) * (breadth - 2 * width)
    assert torch.equal(found, found.flip(0))
    assert torch.equal(found, found.flip(1))
    assert found[:width].all()
    assert not found[width, width]


def test_a_border_has_pixels_and_an_inside():
    with pytest.raises(PipelineError, match="width is 0: it must be at least 1"):
        Border(width=0)
    with pytest.raises(PipelineError, match="width is 5: a border must leave a part of frames of 12 x 9"):
        mask(Border(width=5))


def test_a_border_as_wide_as_half_of_the_frame_leaves_nothing():
    assert not mask(Border(width=3), clips=torch.zeros(1, 3, 2, 8, 7))[3:5, 3:4].any()
    for size in ((6, 9), (9, 6)):
        with pytest.raises(PipelineError, match="width is 3: a border must leave a part"):
            mask(Border(width=3), clips=torch.zeros(1, 3, 2, *size))


def test_pixels_are_drawn_with_replacement_anew_for_each_frame():
    count, places = 20, SIZE[0] * SIZE[1]
    found = mask(RandomPixels(count=count)).sum((1, 3, 4))
    assert found.max() <= count
    assert found.min() >= 1
    # Distinct places among `count` draws with replacement; the tolerance is five standard errors.
    expected = places * (1 - (1 - 1 / places) ** count)
    error = found.double().std() / found.numel() ** 0.5
    assert abs(found.double().mean() - expected) < 5 * error


def test_pixels_fall_everywhere_alike():
    count = 20
    fraction = mask(RandomPixels(count=count)).double().mean((0, 1, 2))
    expected = 1 - (1 - 1 / fraction.numel()) ** count
    assert (fraction - expected).abs().max() < 5 * (expected * (1 - expected) / (2 * FRAMES)) ** 0.5


def test_the_seed_and_the_name_choose_the_generator():
    choices = [(0, "a"), (0, "a"), (0, "b"), (1, "a")]
    draws = [torch.rand(4, generator=clip_generators(seed, [key])[0]) for seed, key in choices]
    assert torch.equal(draws[0], draws[1])
    assert len({tuple(draw.tolist()) for draw in draws}) == 3


class Nowhere:
    """No pixel of the second clip."""

    def mask(self, clips, generators):
        found = torch.ones_like(clips[:, :1], dtype=torch.bool)
        found[1] = False
        return found

    def admits(self, changed):
        return torch.ones(len(changed), dtype=torch.bool)


class MiddleRow:
    """One mask for all clips, most of whose rows are empty."""

    def mask(self, clips, generators):
        found = torch.zeros(clips.shape[-2:], dtype=torch.bool)
        found[2] = True
        return found

    def admits(self, changed):
        return ~changed[..., [0, 1, 3], :].flatten(1).any(1)


@pytest.mark.parametrize("kind", [lambda inside: inside, lambda inside: Apgd(inside=inside, steps=2), Square])
def test_a_region_without_pixels_is_refused_at_the_clip(kind):
    def attacked(region) -> torch.Tensor:
        inside = Ascent(perturbation=AdditiveLinf(epsilon=1.0, step_size=0.5), region=region, steps=1)
        attack = kind(inside) if kind is not Square else Square(inside=inside, queries=2)
        return attack(lambda some: some.flatten(1).sum(1), clips, clip_generators(0, ["a", "b"]))

    clips = torch.full((2, 3, 2, 4, 5), 0.5)
    with pytest.raises(PipelineError, match=r"region is Nowhere: it has no pixels in clips \[1\] of a batch"):
        attacked(Nowhere())
    assert (attacked(MiddleRow())[..., 2, :] != 0.5).any()
    # The authors' training code attacks the first clip of a batch only.
    assert (attacked(FirstSampleOnly(region=AllPixels()))[1] == 0.5).all()
