"""Searched rectangles against loops over every place: with the loss written out, and as ROA's authors search."""

import pytest
import torch
from torch.nn import functional

from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.perturbations import AdditiveLinf
from pipeline_lib.attacks.search import SearchedRectangle, undecided
from pipeline_lib.attacks.starts import Constant, UniformNoise
from pipeline_lib.errors import PipelineError
from pipeline_lib.randomness.generators import clip_generators

CLIPS = torch.rand(3, 3, 2, 7, 6, generator=torch.Generator().manual_seed(0))
# Places interact across frames, so that the order of the search matters.
WEIGHT = torch.randn(CLIPS.shape[1:], generator=torch.Generator().manual_seed(1))
IMAGES = torch.rand(6, 3, 9, 9, generator=torch.Generator().manual_seed(2))
LABELS = torch.arange(6) % 4


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


def covered(clip: torch.Tensor, places: list[tuple[int, int] | None], grey: float = 0.5) -> torch.Tensor:
    """2 x 3 grey rectangles in the frames that have a place."""
    shown = clip.clone()
    for frame, place in enumerate(places):
        if place is not None:
            shown[:, frame, place[0] : place[0] + 2, place[1] : place[1] + 3] = grey
    return shown


def places(stride: int = 1, last: bool = False) -> list[tuple[int, int]]:
    """Of 2 x 3 in 7 x 6; without the last row and column, unless said otherwise."""
    rows, columns = range(0, stride * (5 // stride + last), stride), range(0, stride * (3 // stride + last), stride)
    return [(row, column) for row in rows for column in columns]


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
def test_an_exhaustive_search_finds_the_best_place_of_a_video(stride, last):
    region = SearchedRectangle(height=2, width=3, search="exhaustive", stride=stride, last_position=last)
    found = region.place(loss, CLIPS, generators())
    for clip, mask in zip(CLIPS, found, strict=True):
        best = max(places(stride, last), key=lambda place, clip=clip: loss(covered(clip, [place] * 2)[None]).item())
        assert corners(mask) == [best, best]
        assert mask.sum() == 2 * 6
    assert stride > 1 or len({tuple(corners(mask)) for mask in found}) > 1


def test_frames_are_searched_one_after_the_other():
    region = SearchedRectangle(height=2, width=3, search="exhaustive", per="frame")
    found = region.place(loss, CLIPS, generators())
    for clip, mask in zip(CLIPS, found, strict=True):
        first = max(places(), key=lambda place, clip=clip: loss(covered(clip, [place, None])[None]).item())
        second = max(places(), key=lambda place, clip=clip, a=first: loss(covered(clip, [a, place])[None]).item())
        assert corners(mask) == [first, second]


@pytest.mark.parametrize("per", ["video", "frame"])
@pytest.mark.parametrize("candidates", [1, 4])
def test_a_gradient_search_tries_the_windows_of_largest_squared_gradient(per, candidates):
    region = SearchedRectangle(height=2, width=3, search="gradient", candidates=candidates, per=per)
    found = region.place(loss, CLIPS, generators())
    leaf = CLIPS.clone().requires_grad_()
    squares = torch.autograd.grad(loss(leaf).sum(), leaf)[0].square().sum(1)
    for clip, square, mask in zip(CLIPS, squares, found, strict=True):
        chosen: list[tuple[int, int] | None] = [None, None]
        for frames in ([0, 1],) if per == "video" else ([0], [1]):

            def energy(place, square=square, frames=frames):
                return square[frames, place[0] : place[0] + 2, place[1] : place[1] + 3].sum().item()

            def reached(place, clip=clip, frames=frames, chosen=chosen):
                return loss(covered(clip, [place if i in frames else chosen[i] for i in (0, 1)])[None]).item()

            best = max(sorted(places(), key=energy)[-candidates:], key=reached)
            chosen = [best if i in frames else chosen[i] for i in (0, 1)]
        assert corners(mask) == chosen


def test_tiny_gradients_find_the_same_windows():
    """Their squares are below the smallest number of float32."""
    region = SearchedRectangle(height=2, width=3, search="gradient", candidates=1)
    tiny = region.place(lambda clips: 1e-30 * loss(clips), CLIPS, generators())
    assert torch.equal(tiny, region.place(loss, CLIPS, generators()))


@pytest.mark.parametrize("search", ["exhaustive", "gradient"])
def test_more_candidates_are_every_place(search):
    every = SearchedRectangle(height=2, width=3, search="exhaustive").place(loss, CLIPS, generators())
    many = SearchedRectangle(height=2, width=3, search=search, candidates=1000).place(loss, CLIPS, generators())
    assert torch.equal(every, many)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("per", ["video", "frame"])
@pytest.mark.parametrize("flat", [lambda clips: 0 * clips[:, 0, 0, 0, 0], lambda clips: 1 + 0 * clips[:, 0, 0, 0, 0]])
def test_losses_that_say_nothing_leave_an_exhaustive_search_to_chance(flat, per, stride):
    region = SearchedRectangle(height=2, width=3, search="exhaustive", per=per, stride=stride)
    found = region.place(flat, CLIPS, generators())
    assert torch.equal(found, region.mask(CLIPS, generators()))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("last", [False, True])
def test_chance_takes_every_place_that_is_searched_and_no_other(stride, last):
    region = SearchedRectangle(height=2, width=3, search="gradient", stride=stride, last_position=last, per="frame")
    drawn = region.mask(CLIPS[:1].expand(200, -1, -1, -1, -1), generators(200))
    assert {place for mask in drawn for place in corners(mask)} == set(places(stride, last))
    assert any(first != second for first, second in map(corners, drawn))


def test_equal_losses_leave_a_gradient_search_at_the_largest_gradient():
    """A loss that is 0 everywhere, with a gradient: nothing is drawn."""

    def level(clips):
        value = (clips * WEIGHT).flatten(1).sum(1)
        return value - value.detach()

    region, draws = SearchedRectangle(height=2, width=3, search="gradient"), generators()
    energy = WEIGHT.square().sum((0, 1))
    best = max(places(), key=lambda place: energy[place[0] : place[0] + 2, place[1] : place[1] + 3].sum().item())
    assert [corners(mask) for mask in region.place(level, CLIPS, draws)] == [[best] * 2] * 3
    assert [g.get_state().tolist() for g in draws] == [g.get_state().tolist() for g in generators()]


def classified(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropies of a small network with fixed weights."""
    draw = torch.Generator().manual_seed(3)
    kernel, weight = torch.randn(4, 3, 3, 3, generator=draw), torch.randn(196, 4, generator=draw)
    hidden = functional.conv2d(images, kernel).relu().flatten(1)
    return functional.cross_entropy(hidden @ weight / 14, labels, reduction="none")


def tried_by_the_authors(image: torch.Tensor, label: torch.Tensor, place: tuple[int, int]) -> float:
    """The loss with a grey sticker of 3 x 2 there."""
    sticker = image.clone()
    for row in range(place[0], place[0] + 3):
        for column in range(place[1], place[1] + 2):
            sticker[:, row, column] = 0.5
    return classified(sticker[None], label[None]).item()


def found_by_the_authors(image: torch.Tensor, label: torch.Tensor, stride: int, candidates: int | None):
    """Their two searches for one square image, image by image and place by place; None where they draw."""
    rows, columns = (9 - 3) // stride, (9 - 2) // stride
    grid = [(stride * row, stride * column) for column in range(columns) for row in range(rows)]
    if candidates is not None:
        leaf = image.clone().requires_grad_()
        gradient = torch.autograd.grad(classified(leaf[None], label[None]).mean(), leaf)[0]
        gradient = gradient / gradient.abs().max()
        energy = {(r, c): gradient[:, r : r + 3, c : c + 2].square().sum().item() for r, c in grid}
        grid = sorted(grid, key=energy.__getitem__, reverse=True)[:candidates]
    best, highest, ties = grid[0], -100.0 if candidates is None else 0.0, 0
    for place in grid:
        reached = tried_by_the_authors(image, label, place)
        best = place if reached > highest else best
        ties += reached == highest
        highest = max(highest, reached)
    drawn = candidates is None and (ties >= 0.9 * rows * columns or highest == 0)
    return None if drawn else best


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("candidates", [None, 1, 5])
def test_places_are_those_of_the_authors_code(candidates, stride):
    """One image at a time, or all at once."""
    how = {"search": "exhaustive"} if candidates is None else {"search": "gradient", "candidates": candidates}
    region = SearchedRectangle(height=3, width=2, stride=stride, **how)
    found = region.place(lambda images: classified(images, LABELS), IMAGES, generators(6))
    expected = [found_by_the_authors(*pair, stride, candidates) for pair in zip(IMAGES, LABELS, strict=True)]
    assert [corners(mask)[0] for mask in found[:, :, None]] == expected
    assert len(set(expected)) > 1
    for i in range(6):
        one = slice(i, i + 1)
        alone = region.place(lambda images, one=one: classified(images, LABELS[one]), IMAGES[one], generators(6)[one])
        assert torch.equal(alone, found[one])


def test_the_grey_that_is_tried_is_not_what_the_attack_starts_from():
    """A rectangle of noise is searched in grey, and drawn once."""
    region = SearchedRectangle(height=2, width=3, search="gradient", candidates=100, tried=0.9)
    start = UniformNoise(radius=0.2)
    step = AdditiveLinf(epsilon=0.2, step_size=1e-6)
    found = Ascent(perturbation=step, region=region, start=start, steps=1)(loss, CLIPS, generators())
    mask = region.place(loss, CLIPS, generators())
    for clip, shown in zip(CLIPS, mask, strict=True):
        best = max(places(), key=lambda place, clip=clip: loss(covered(clip, [place] * 2, grey=0.9)[None]).item())
        assert corners(shown) == [best, best]
    expected = torch.where(mask, start.first(CLIPS, generators()).clamp(0, 1), CLIPS)
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-6)


@pytest.mark.parametrize("search", ["exhaustive", "gradient"])
@pytest.mark.parametrize("per", ["video", "frame"])
def test_clips_are_searched_alike_in_any_batch_and_as_images(search, per):
    region = SearchedRectangle(height=2, width=3, search=search, per=per)
    together = region.place(loss, CLIPS, generators())
    alone = region.place(loss, CLIPS[1:2], generators()[1:2])
    assert torch.equal(together[1:2], alone)
    images, one = CLIPS[:, :, 0], CLIPS[:, :, :1]
    as_images = region.place(loss, images, generators())
    assert torch.equal(as_images, region.place(loss, one, generators())[:, :, 0])


def test_the_attack_climbs_where_the_search_put_it():
    """Grey is tried, and it is what the rectangle starts from; quantized clips are inside the bound."""
    region = SearchedRectangle(height=2, width=3, search="exhaustive")
    roa = Ascent(
        perturbation=AdditiveLinf(epsilon=1.0, step_size=0.2), region=region, start=Constant(value=0.5), steps=3
    )
    found = roa(loss, CLIPS, generators())
    mask = region.place(loss, CLIPS, generators())
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

    SearchedRectangle(height=2, width=3, search="exhaustive").place(counted, CLIPS, generators())
    assert calls == [False] * 15
    calls.clear()
    region = SearchedRectangle(height=2, width=3, search="gradient", candidates=5, per="frame")
    region.place(counted, CLIPS, generators())
    assert calls == [True] + [False] * 10


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SearchedRectangle(height=0, width=1, search="gradient"), "height is 0: it must be at least 1"),
        (lambda: SearchedRectangle(height=1, width=1, search="gradient", stride=0), "stride is 0"),
        (
            lambda: SearchedRectangle(height=8, width=1, search="exhaustive").place(loss, CLIPS, generators()),
            "8 x 1 has no position in frames of 7 x 6 at stride 1",
        ),
    ],
)
def test_impossible_searches_are_refused(make, message):
    with pytest.raises(PipelineError, match=message):
        make()


def test_places_decide_unless_nine_of_ten_tie_at_the_top_or_the_top_is_zero():
    """Each column is a clip of its own; one place alone has nothing to tie with."""
    nine, eight = [2.0] * 9 + [1.0], [2.0] * 8 + [1.0, 0.0]
    falling, zero, nothing = [1.0 - k / 10 for k in range(10)], [0.0] + [-1.0] * 9, [0.0] * 10
    losses = torch.tensor([nine, eight, falling, zero, nothing]).T
    assert undecided(losses).tolist() == [True, False, False, True, True]
    assert undecided(torch.tensor([[3.0, 0.0]])).tolist() == [False, True]
