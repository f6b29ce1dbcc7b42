"""Which clips of a set are still to attack: every one once, in runs that one file can name."""

from itertools import combinations, pairwise

import numpy as np
import pytest

from pipeline_lib.evaluation.shards import missing_rows, shard_of

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
