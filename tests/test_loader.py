import numpy as np
import torch

from pipeline_lib.clips.loader import as_clips, as_frames, batches


def test_every_level_survives_the_round_trip() -> None:
    frames = np.arange(256, dtype=np.uint8).reshape(2, 4, 4, 8, 1).repeat(3, axis=-1)
    clips = as_clips(frames, "cpu")
    assert clips.shape == (2, 3, 4, 4, 8)
    assert clips.dtype == torch.float32
    assert (as_frames(clips) == frames).all()


def test_clips_are_levels_over_255_with_channels_first() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5, 3), dtype=np.uint8)
    expected = torch.from_numpy(frames.astype(np.float32) / np.float32(255)).permute(0, 4, 1, 2, 3)
    assert torch.equal(as_clips(frames, "cpu"), expected)


def test_frames_are_rounded_to_the_nearest_level_and_clipped() -> None:
    clips = torch.tensor([-0.1, 0.49 / 255, 0.51 / 255, 254.6 / 255, 1.2]).reshape(1, 1, 1, 1, 5)
    assert as_frames(clips).ravel().tolist() == [0, 0, 1, 255, 255]


def test_frames_of_clips_that_need_a_gradient() -> None:
    assert as_frames(torch.ones(1, 3, 1, 2, 2, requires_grad=True)).min() == 255


def test_batches_are_all_rows_in_order() -> None:
    rows = np.array([5, 3, 9, 1, 7])
    parts = list(batches(rows, 2))
    assert [len(part) for part in parts] == [2, 2, 1]
    assert (np.concatenate(parts) == rows).all()
    assert list(batches(rows[:0], 2)) == []
