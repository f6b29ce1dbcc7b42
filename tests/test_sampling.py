import math

import numpy as np
import pytest

from pipeline_lib.clips.sampling import CenterWindow, Linspace, UniformStride, Windows, clips_of

SAMPLINGS = [UniformStride(frames=8), Linspace(frames=8), CenterWindow(frames=8), CenterWindow(frames=8, stride=3)]


def papers_protocol(count: int, frames: int) -> list[int]:
    """The released loader, literally, with frame numbers from 1 as in the names of its files."""
    if count < frames:
        indices = list(range(1, count + 1))
        for index in indices:
            if len(indices) >= frames:
                break
            indices.append(index)
    else:
        skip = int(np.floor(count / frames))
        indices = [1 + skip * number for number in range(frames)]
    return [index - 1 for index in indices[:frames]]


@pytest.mark.parametrize("frames", [1, 8, 40])
def test_uniform_stride_is_the_papers_protocol(frames: int) -> None:
    for count in range(1, 300):
        assert UniformStride(frames=frames)(count).tolist() == papers_protocol(count, frames)


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=repr)
def test_every_count_gives_existing_frames_in_order(sampling: UniformStride) -> None:
    for count in range(1, 200):
        index = sampling(count)
        assert index.shape == (8,)
        assert index.dtype == np.int64
        assert index.min() >= 0
        assert index.max() < count
        if count >= 22:
            assert (np.diff(index) > 0).all()


@pytest.mark.parametrize("sampling", [UniformStride(frames=8), Linspace(frames=8), CenterWindow(frames=8)], ids=repr)
def test_as_many_frames_as_asked_for_are_taken_once(sampling: UniformStride) -> None:
    assert sampling(8).tolist() == list(range(8))


def test_linspace_takes_both_ends() -> None:
    assert Linspace(frames=3)(101).tolist() == [0, 50, 100]


def test_center_window_leaves_as_much_before_as_after() -> None:
    for count in range(22, 60):
        index = CenterWindow(frames=8, stride=3)(count)
        assert set(np.diff(index)) == {3}
        assert 0 <= (count - 1 - index[-1]) - index[0] <= 1


def test_center_window_loops_a_short_video() -> None:
    assert CenterWindow(frames=5, stride=1)(3).tolist() == [0, 1, 2, 0, 1]


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=repr)
def test_a_video_without_frames_is_an_error(sampling: UniformStride) -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        sampling(0)


def framings_protocol(count: int, frames: int, clips: int) -> list[list[int]]:
    """The loader of validation clips in Hara et al.'s code, literally, with frame numbers from 1, and its padding."""
    step = max(1, math.ceil((count - 1 - frames) / (clips - 1)))
    found = [list(range(start, min(count + 1, start + frames))) for start in range(1, count, step)]
    for numbers in found:
        for number in numbers:
            if len(numbers) >= frames:
                break
            numbers.append(number)
    return [[number - 1 for number in numbers] for numbers in found]


@pytest.mark.parametrize("clips", [2, 3, 5])
def test_windows_are_the_clips_of_the_framings_protocol(clips: int) -> None:
    several = clips_of(Windows(frames=16, clips=clips))
    for count in range(3 * 16 + 1, 300):
        assert [one(count).tolist() for one in several] == framings_protocol(count, 16, clips)[:clips]


def test_windows_of_short_videos_exist_and_one_window_is_the_beginning() -> None:
    for count in range(1, 49):
        for number, one in enumerate(clips_of(Windows(frames=16))):
            assert one.frames == len(one(count)) == 16
            assert set(one(count)) <= set(range(count))
            assert count > 17 or one(count)[0] == 0 or number
    assert clips_of(Windows(frames=4, clips=1))[0](9).tolist() == Windows(frames=4)(9).tolist() == [0, 1, 2, 3]
    stride = UniformStride(frames=8)
    assert clips_of(stride) == [stride]


@pytest.mark.parametrize(
    ("count", "frames", "clips", "first"),
    [(4, 16, 3, [0, 0, 0]), (4, 1, 5, [0, 1, 2, 3, 3]), (1, 4, 3, [0, 0, 0])],
    ids=["shorter than a clip", "fewer frames than clips", "one frame"],
)
def test_no_clip_begins_behind_the_last_frame(count, frames, clips, first):
    starts = [one(count)[0] for one in clips_of(Windows(frames=frames, clips=clips))]
    assert starts == first
