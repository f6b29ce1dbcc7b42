"""Searched rectangles against a loop over every place, with the loss written out."""

import pytest
import torch

from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.perturbations import AdditiveLinf
from pipeline_lib.attacks.randomness import clip_generators
from pipeline_lib.attacks.search import SearchedRectangle
from pipeline_lib.attacks.starts import Constant
from pipeline_lib.errors import PipelineError

CLIPS = torch.rand(3, 3, 2, 7, 6, generator=torch.Generator().manual_seed(0))
# Places interact across frames, so that the order of the search matters.
WEIGHT = torch.randn(CLIPS.shape[1:], generator=torch.Generator().manual_seed(1))
GREY = torch.full_like(CLIPS, 0.5)


def generators(n: int = 3) -> list[torch.Generator]:
    return clip_generators(5, [f"video {i}" for i in range(n)])


def loss(clips: torch.Tensor) -> torch.Tensor:
    frames = (clips * WEIGHT.view(3, -1, 7, 6)[:, : clips[0, 0].numel() // 42].reshape(clips.shape[1:])).sum(
        (1, -1, -2)
    )
    return 3 + frames.reshape(len(clips), -1).prod(1) + frames.reshape(len(clips), -1).sum(1)


def corners(mask: torch.Tensor) -> list[tuple[int, int]]:
    """Of each frame of one clip's mask, (1, T, H, W)."""
    return [(int(frame.any(1).int().argmax()), int(frame.any(0).int().argmax())) for frame in mask[0]]


def covered(clip: torch.Tensor, places: list[tuple[int, int] | None]) -> torch.Tensor:
    """2 x 3 grey rectangles in the frames that have a place."""
    shown = clip.clone()
    for frame, place in enumerate(places):
        if place is not None:
            shown[:, frame, place[0] : place[0] + 2, place[1] : place[1] + 3] = 0.5
    return shown


def places(stride: int) -> list[tuple[int, int]]:
    return [(row, column) for row in range(0, 6, stride) for column in range(0, 4, stride)]


@pytest.mark.parametrize("stride", [1, 2])
def test_an_exhaustive_search_finds_the_best_place_of_a_video(stride):
    region = SearchedRectangle(height=2, width=3, search="exhaustive", stride=stride)
    found = region.place(loss, GREY, CLIPS, generators())
    for clip, mask in zip(CLIPS, found, strict=True):
        best = max(places(stride), key=lambda place, clip=clip: loss(covered(clip, [place] * 2)[None]).item())
        assert corners(mask) == [best, best]
        assert mask.sum() == 2 * 6
    assert len({tuple(corners(mask)) for mask in found}) > 1


def test_frames_are_searched_one_after_the_other():
    region = SearchedRectangle(height=2, width=3, search="exhaustive", per="frame")
    found = region.place(loss, GREY, CLIPS, generators())
    for clip, mask in zip(CLIPS, found, strict=True):
        first = max(places(1), key=lambda place, clip=clip: loss(covered(clip, [place, None])[None]).item())
        second = max(places(1), key=lambda place, clip=clip, a=first: loss(covered(clip, [a, place])[None]).item())
        assert corners(mask) == [first, second]


@pytest.mark.parametrize("per", ["video", "frame"])
@pytest.mark.parametrize("candidates", [1, 4])
def test_a_gradient_search_tries_the_windows_of_largest_squared_gradient(per, candidates):
    region = SearchedRectangle(height=2, width=3, search="gradient", candidates=candidates, per=per)
    found = region.place(loss, GREY, CLIPS, generators())
    leaf = CLIPS.clone().requires_grad_()
    squares = torch.autograd.grad(loss(leaf).sum(), leaf)[0].square().sum(1)
    for clip, square, mask in zip(CLIPS, squares, found, strict=True):
        chosen: list[tuple[int, int] | None] = [None, None]
        for frames in ([0, 1],) if per == "video" else ([0], [1]):

            def energy(place, square=square, frames=frames):
                return square[frames, place[0] : place[0] + 2, place[1] : place[1] + 3].sum().item()

            def reached(place, clip=clip, frames=frames, chosen=chosen):
                return loss(covered(clip, [place if i in frames else chosen[i] for i in (0, 1)])[None]).item()

            best = max(sorted(places(1), key=energy)[-candidates:], key=reached)
            chosen = [best if i in frames else chosen[i] for i in (0, 1)]
        assert corners(mask) == chosen


@pytest.mark.parametrize("search", ["exhaustive", "gradient"])
def test_more_candidates_are_every_place(search):
    every = SearchedRectangle(height=2, width=3, search="exhaustive").place(loss, GREY, CLIPS, generators())
    many = SearchedRectangle(height=2, width=3, search=search, candidates=1000).place(loss, GREY, CLIPS, generators())
    assert torch.equal(every, many)


@pytest.mark.parametrize(
    "flat", [lambda clips: clips.flatten(1).sum(1) * 0, lambda clips: 1 + clips[:, 0, 0, 0, 0] * 0]
)
@pytest.mark.parametrize("search", ["exhaustive", "gradient"])
def test_a_loss_that_says_nothing_leaves_the_place_to_chance(flat, search):
    region = SearchedRectangle(height=2, width=3, search=search)
    assert torch.equal(region.place(flat, GREY, CLIPS, generators()), region.mask(CLIPS, generators()))


@pytest.mark.parametrize("search", ["exhaustive", "gradient"])
@pytest.mark.parametrize("per", ["video", "frame"])
def test_clips_are_searched_alike_in_any_batch_and_as_images(search, per):
    region = SearchedRectangle(height=2, width=3, search=search, per=per)
    together = region.place(loss, GREY, CLIPS, generators())
    alone = region.place(loss, GREY[1:2], CLIPS[1:2], generators()[1:2])
    assert torch.equal(together[1:2], alone)
    images, one = CLIPS[:, :, 0], CLIPS[:, :, :1]
    as_images = region.place(loss, GREY[:, :, 0], images, generators())
    assert torch.equal(as_images, region.place(loss, GREY[:, :, :1], one, generators())[:, :, 0])


def test_the_attack_climbs_where_the_search_put_it():
    """Grey is tried, and it is what the rectangle starts from; quantized clips are inside the bound."""
    region = SearchedRectangle(height=2, width=3, search="exhaustive")
    roa = Ascent(
        perturbation=AdditiveLinf(epsilon=1.0, step_size=0.2), region=region, start=Constant(value=0.5), steps=3
    )
    found = roa(loss, CLIPS, generators())
    mask = region.place(loss, GREY, CLIPS, generators())
    assert torch.equal((found != CLIPS).any(1, keepdim=True), mask)
    assert (loss(found) > loss(torch.where(mask, 0.5, CLIPS))).all()
    assert roa.ratio_to_bound(found, CLIPS).max() <= 1
    moved = CLIPS.clone()
    moved[:, :, 0, :2, :3], moved[:, :, 1, 3:5, :3] = 0.5, 0.5
    assert roa.ratio_to_bound(moved, CLIPS).isinf().all()


def test_the_cost_is_what_is_documented():
    calls = []

    def counted(clips):
        calls.append(clips.requires_grad)
        return loss(clips)

    SearchedRectangle(height=2, width=3, search="exhaustive").place(counted, GREY, CLIPS, generators())
    assert calls == [False] * 24
    calls.clear()
    region = SearchedRectangle(height=2, width=3, search="gradient", candidates=5, per="frame")
    region.place(counted, GREY, CLIPS, generators())
    assert calls == [True] + [False] * 10


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SearchedRectangle(height=0, width=1, search="gradient"), "height is 0: it must be at least 1"),
        (lambda: SearchedRectangle(height=1, width=1, search="gradient", stride=0), "stride is 0"),
        (
            lambda: SearchedRectangle(height=8, width=1, search="exhaustive").place(loss, GREY, CLIPS, generators()),
            "8 x 1 has no position in frames of 7 x 6",
        ),
    ],
)
def test_impossible_searches_are_refused(make, message):
    with pytest.raises(PipelineError, match=message):
        make()
