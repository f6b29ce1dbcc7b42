import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from pipeline_lib.clips.loader import Prefetched, as_clips, as_frames, batches
from pipeline_lib.clips.store import Clips
from pipeline_lib.errors import PipelineError


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


def stored(folder: Path) -> Clips:
    return Clips(tiny.write_clips(folder / "clips.h5"))


@pytest.mark.parametrize("device", ["cpu", "meta"])  # without and with a thread
def test_prefetched_batches_are_those_read_one_by_one_in_order(tmp_path: Path, device: str) -> None:
    data, order = stored(tmp_path), np.random.default_rng(0).permutation(10)
    with Prefetched(data, batches(order, 3), torch.device(device)) as prefetched:
        got = [(rows.tolist(), frames.clone()) for rows, frames in prefetched]
    assert [rows for rows, _ in got] == [rows.tolist() for rows in batches(order, 3)]
    assert all((frames.numpy() == data.read(rows)).all() for rows, frames in got)


def test_batches_are_read_while_the_taker_works(tmp_path: Path) -> None:
    data = Slow(stored(tmp_path))
    with Prefetched(data, batches(np.arange(10), 1), torch.device("meta")) as prefetched:  # any device but the CPU
        for number, _ in enumerate(prefetched, 1):
            assert number == 10 or data.begun[number].wait(60)  # the next one, before this one is given back
    assert data.threads == {"prefetch_0"}


def test_for_the_cpu_each_batch_is_read_when_it_is_taken(tmp_path: Path) -> None:
    data = Slow(stored(tmp_path))
    with Prefetched(data, batches(np.arange(10), 5), torch.device("cpu")) as prefetched:
        for number, _ in enumerate(prefetched, 1):
            assert data.count == number
    assert data.threads == {threading.main_thread().name}
    assert prefetched.waited >= 0.06
    assert 0 < prefetched.fraction_waited() <= 1


class Slow:
    """Clips that take 30 ms to read, and an event for each batch of which the reading has begun."""

    def __init__(self, clips: Clips) -> None:
        self.clips, self.threads, self.count = clips, set(), 0
        self.begun = [threading.Event() for _ in range(10)]

    def read(self, rows: np.ndarray) -> np.ndarray:
        self.begun[self.count].set()
        self.count += 1
        self.threads.add(threading.current_thread().name)
        time.sleep(0.03)
        return self.clips.read(rows)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_an_error_while_reading_comes_when_its_batch_is_due(tmp_path: Path, device: str) -> None:
    data = stored(tmp_path)
    data.crc32[7] ^= 1
    seen = []
    with (
        pytest.raises(PipelineError, match="v_07.avi is damaged"),
        Prefetched(data, batches(np.arange(10), 2), torch.device(device)) as prefetched,
    ):
        for rows, _ in prefetched:
            seen += rows.tolist()
    assert seen == [0, 1, 2, 3, 4, 5]


def test_clips_are_read_into_the_array_that_is_given(tmp_path: Path) -> None:
    data, into = stored(tmp_path), np.zeros((2, *tiny.SHAPE), np.uint8)
    assert data.read([4, 1], into) is into
    assert (into == data.read([4, 1])).all()


@pytest.mark.gpu
def test_pinned_buffers_are_not_filled_before_the_gpu_has_taken_them(tmp_path: Path) -> None:
    data, device = stored(tmp_path), torch.device("cuda")
    order = np.random.default_rng(0).integers(0, 10, 400)
    with Prefetched(data, batches(order, 2), device) as prefetched:
        got = torch.cat([as_clips(frames, device) for _, frames in prefetched])
    assert torch.equal(got.cpu(), as_clips(data.read(order), "cpu"))
