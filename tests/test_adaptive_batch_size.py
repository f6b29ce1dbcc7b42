"""Batches that fit: halved when they do not, and remembered for the next job of the kind."""

from types import SimpleNamespace

import pytest
import torch

from pipeline_lib.errors import PipelineError
from pipeline_lib.evaluation.source import Settings
from pipeline_lib.models.adaptive_batch_size import AdaptiveBatchSize, memory_of

OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    torch.AcceleratorError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
]


class SmallDevice:
    """Has memory for `clips` at once, and notes what it was given."""

    def __init__(self, clips: int, error: RuntimeError = OUT_OF_MEMORY[0]) -> None:
        self.clips, self.error, self.given = clips, error, []

    def __call__(self, micro_batch: slice) -> list[int]:
        self.given.append(micro_batch.stop - micro_batch.start)
        if self.given[-1] > self.clips:
            raise self.error
        return list(range(micro_batch.start, micro_batch.stop))


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=str)
def test_halved_until_it_fits_without_losing_a_clip(error):
    device = SmallDevice(3, error)
    assert [clip for micro_batch in AdaptiveBatchSize(8)(device, 10) for clip in micro_batch] == list(range(10))
    assert device.given == [8, 4, 2, 2, 2, 2, 2]


def test_a_later_micro_batch_that_does_not_fit_is_halved_too():
    """Another program takes memory after the first."""
    given: list[tuple[int, int]] = []

    def work(micro_batch: slice) -> None:
        given.append((micro_batch.start, micro_batch.stop))
        if len(given) == 2:
            raise OUT_OF_MEMORY[0]

    AdaptiveBatchSize(4)(work, 8)
    assert given == [(0, 4), (4, 8), (4, 6), (6, 8)]


def test_a_saved_size_of_one_clip_counts(tmp_path):
    (tmp_path / "memory").write_text("1\n")
    assert AdaptiveBatchSize(8, tmp_path / "memory").size == 1


def test_a_job_begins_with_the_size_that_was_saved_for_its_work_if_it_is_given_a_folder(tmp_path, monkeypatch):
    def memory(folder, device, share, *work):
        """As on a GPU."""
        return folder / f"{share} {work[0]} {work[-1]}"

    monkeypatch.setattr("pipeline_lib.evaluation.source.memory_of", memory)
    (tmp_path / "3 predict [4, 8, 8, 3]").write_text("2\n")
    for folder, shape, size in ((tmp_path, (4, 8, 8, 3), 2), (tmp_path, (4, 9, 9, 3), 8), (None, (4, 8, 8, 3), 8)):
        settings = Settings(batch_size=8, device=torch.device("cpu"), gpu_share=3, batch_sizes=folder)
        assert settings.batches(torch.nn.Linear(1, 1), shape, "predict").size == size


@pytest.mark.parametrize("error", [torch.AcceleratorError("CUDA error: misaligned address"), RuntimeError("shapes")])
def test_other_errors_of_torch_stay_what_they_are(error):
    with pytest.raises(type(error), match=str(error)):
        AdaptiveBatchSize(8)(SmallDevice(3, error), 10)


def test_what_fitted_is_remembered_and_never_more_than_asked_for(tmp_path):
    memory = tmp_path / "batch_sizes" / "key"
    AdaptiveBatchSize(8, memory)(SmallDevice(3), 10)
    device = SmallDevice(3)
    AdaptiveBatchSize(8, memory)(device, 4)
    assert device.given == [2, 2]
    assert AdaptiveBatchSize(1, memory).size == 1
    assert AdaptiveBatchSize(8, tmp_path / "other").size == 8


def test_nothing_is_written_where_everything_fits(tmp_path):
    AdaptiveBatchSize(8, tmp_path / "key")(SmallDevice(8), 10)
    assert list(tmp_path.iterdir()) == []
    assert memory_of(tmp_path, torch.device("cpu"), 1, "predict") is None


def test_what_fits_beside_other_jobs_is_remembered_apart(tmp_path, monkeypatch):
    card = SimpleNamespace(name="card", total_memory=1 << 34)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    keys = {memory_of(tmp_path, torch.device("cuda"), gpu_share, "predict") for gpu_share in (1, 2, 2)}
    assert len(keys) == 2


def test_one_clip_too_much_is_told():
    with pytest.raises(PipelineError, match="out of memory with a single clip"):
        AdaptiveBatchSize(2)(SmallDevice(0), 2)


@pytest.mark.parametrize("content", [b"", b"0", b"-4", b"\xb36", b"many"])
def test_a_damaged_memory_is_passed_over(tmp_path, content):
    (tmp_path / "memory").write_bytes(content)
    assert AdaptiveBatchSize(8, tmp_path / "memory").size == 8
