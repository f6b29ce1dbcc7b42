"""Which clips of a set are still to attack: every one once, in runs that one file can name."""

from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest

from pipeline_lib.evaluation.shards import compressed_clips, finished_rows, joined_columns, missing_rows, shard_of

COUNT, BATCH = 7, 3


@pytest.mark.parametrize("size", range(COUNT + 1))
def test_what_is_left_is_cut_where_clips_are_finished_and_where_batches_end(size):
    """Any finished clips: the runs are the longest stretches of others that are neighbors and of one batch."""
    for finished in combinations(range(COUNT), size):
        runs = [list(rows) for rows in missing_rows(COUNT, BATCH, list(finished))]
        assert sum(runs, []) == [row for row in range(COUNT) if row not in finished]  # noqa: RUF017
        for run in runs:
            assert run == list(range(run[0], run[-1] + 1))
            assert run[0] // BATCH == run[-1] // BATCH
        for before, after in pairwise(runs):
            assert after[0] > before[-1] + 1 or after[0] % BATCH == 0


def test_a_run_is_named_by_its_first_and_last_clip(tmp_path):
    assert shard_of(tmp_path, np.array([3, 4, 5])) == tmp_path / "clips00000003-00000005.npz"
    assert [shard_of(tmp_path, rows).stem for rows in missing_rows(5, 4, [1])] == [
        "clips00000000-00000000",
        "clips00000002-00000003",
        "clips00000004-00000004",
    ]


def write_shard(folder: Path, first: int, chunks: list[bytes], **columns: list) -> Path:
    shard = shard_of(folder, np.arange(first, first + len(chunks)))
    joined, lengths = np.frombuffer(b"".join(chunks), np.uint8), [len(chunk) for chunk in chunks]
    np.savez(shard, chunks=joined, length=lengths, **{name: np.array(values) for name, values in columns.items()})
    return shard


def test_shards_are_joined_in_the_order_given(tmp_path):
    """A trace that is shorter in one of them stays at its last value."""
    later = write_shard(tmp_path, 2, [b"cc"], loss=[3.0], trace=[[5.0, 6.0]], wide=[[True]])
    first = write_shard(
        tmp_path, 0, [b"a", b"bbb"], loss=[1.0, 2.0], trace=[[1.0, 2.0, 3.0, 4.0]] * 2, wide=[[False]] * 2
    )
    found = joined_columns([first, later])
    assert found.keys() == {"loss", "trace", "wide"}
    assert found["loss"].tolist() == [1.0, 2.0, 3.0]
    assert found["trace"].tolist() == [[1.0, 2.0, 3.0, 4.0]] * 2 + [[5.0, 6.0, 6.0, 6.0]]
    assert found["wide"].tolist() == [[False], [False], [True]]
    assert list(compressed_clips([first, later])) == [b"a", b"bbb", b"cc"]
    assert list(compressed_clips([later])) == [b"cc"]


def test_finished_are_the_clips_of_whole_shards_and_damaged_ones_are_deleted(tmp_path, caplog):
    whole = write_shard(tmp_path, 4, [b"a", b"b", b"c"], loss=[1.0, 2.0, 3.0])
    cut_off = write_shard(tmp_path, 0, [b"a", b"b"], loss=[1.0, 2.0])
    cut_off.write_bytes(cut_off.read_bytes()[:-40])
    without_clips = shard_of(tmp_path, np.array([7]))
    np.savez(without_clips, loss=[1.0])
    (tmp_path / "other.npz").write_bytes(b"")
    assert sorted(finished_rows(tmp_path)) == [4, 5, 6]
    assert sorted(path.name for path in tmp_path.iterdir()) == [whole.name, "other.npz"]
    warned = [record.getMessage() for record in caplog.records]
    assert len(warned) == 2
    assert all("is damaged" in message and "attacked again" in message for message in warned)
