"""Shards of an attack job: what was measured of each clip comes back, whatever was attacked at once."""

import numpy as np
import pytest

from pipeline_lib.evaluation.attacked import AttackedClips, BoundFacts, FirstStepFacts, Trace, columns_of, from_columns
from pipeline_lib.evaluation.prediction import Scores
from pipeline_lib.evaluation.shards import (
    attacked_clips,
    compressed_clips,
    finished_rows,
    measured_clips,
    shards_in,
    write_shard,
)

RANDOM = np.random.default_rng(0)


def facts(clips: int, iterations: int) -> AttackedClips:
    """Other numbers in every place."""

    def numbers(*more: int) -> np.ndarray:
        return RANDOM.random((clips, *more))

    scores = [Scores(RANDOM.integers(0, 9, clips), numbers(), RANDOM.integers(-1, 3, clips)) for _ in range(3)]
    return AttackedClips(
        FirstStepFacts(*(numbers() for _ in range(5))),
        Trace(numbers(iterations + 1), numbers(iterations + 1) > 0.5),
        BoundFacts(*(numbers() for _ in range(4))),
        *scores,
        model_gap=numbers(),
        goal_reached=numbers() > 0.5,
        crc32=RANDOM.integers(0, 2**32, clips, dtype=np.uint32),
    )


def same(found: AttackedClips, expected: AttackedClips) -> bool:
    first, second = columns_of(found), columns_of(expected)
    return first.keys() == second.keys() and all(
        first[name].dtype == second[name].dtype and (first[name] == second[name]).all() for name in first
    )


def test_the_columns_of_facts_are_named_by_their_groups():
    columns = columns_of(facts(2, 3))
    assert len(columns) == 5 + 2 + 4 + 3 * 3 + 3
    assert {"first_step.zero_gradient", "trace.loss", "stored.predictions", "live.predictions", "crc32"} < set(columns)
    del columns["trace.loss"]
    with pytest.raises(KeyError, match=r"trace\.loss"):
        from_columns(AttackedClips, columns)


def test_facts_and_chunks_come_back_in_the_order_of_the_clips(tmp_path):
    whole, chunks = facts(5, 2), [bytes([n]) * n for n in range(5)]  # the first chunk is empty
    for rows in (np.array([3, 4]), np.array([0]), np.array([1, 2])):
        some = from_columns(AttackedClips, {name: values[rows] for name, values in columns_of(whole).items()})
        write_shard(tmp_path, rows, some, [chunks[row] for row in rows])
    shards = shards_in(tmp_path)
    assert len(shards) == 3
    assert same(attacked_clips(shards), whole)
    assert list(compressed_clips(shards)) == chunks


def test_scores_without_clips_come_back_too(tmp_path):
    scores = [facts(count, 1).stored for count in (2, 3)]
    for rows, some in zip((np.array([0, 1]), np.array([2, 3, 4])), scores, strict=True):
        write_shard(tmp_path, rows, some, [])
    found = measured_clips(Scores, shards_in(tmp_path))
    for values, *parts in zip(found, *scores, strict=True):
        assert np.array_equal(values, np.concatenate(parts))
    assert finished_rows(tmp_path) == [0, 1, 2, 3, 4]
    assert list(compressed_clips(shards_in(tmp_path))) == []


def test_the_shorter_trace_stays_at_its_last_value(tmp_path):
    short, long = facts(1, 1), facts(2, 3)
    write_shard(tmp_path, np.array([0]), short, [b""])
    write_shard(tmp_path, np.array([1, 2]), long, [b"", b""])
    trace = attacked_clips(shards_in(tmp_path)).trace
    assert trace.loss[0].tolist() == [*short.trace.loss[0], *[short.trace.loss[0, -1]] * 2]
    assert trace.correct[0].tolist() == [*short.trace.correct[0], *[short.trace.correct[0, -1]] * 2]
    assert (trace.loss[1:] == long.trace.loss).all()


def test_finished_are_the_clips_of_whole_shards_and_damaged_ones_are_deleted(tmp_path, caplog):
    for first in (4, 0, 8):
        write_shard(tmp_path, np.arange(first, first + 3), facts(3, 1), [b"a", b"b", b"c"])
    _, whole, cut_off = shards_in(tmp_path)
    cut_off.write_bytes(cut_off.read_bytes()[:-40])
    np.savez(tmp_path / "clips00000000-00000002.npz", chunks=np.zeros(1, np.uint8), length=[1])  # without its facts
    (tmp_path / "other.npz").write_bytes(b"")
    assert sorted(finished_rows(tmp_path)) == [4, 5, 6]
    assert sorted(path.name for path in tmp_path.iterdir()) == [whole.name, "other.npz"]
    warned = [record.getMessage() for record in caplog.records]
    assert len(warned) == 2
    assert all("is damaged" in message and "attacked again" in message for message in warned)


def test_a_set_of_one_shard_comes_back(tmp_path):
    whole = facts(3, 2)
    write_shard(tmp_path, np.arange(3), whole, [b""] * 3)
    assert same(attacked_clips(shards_in(tmp_path)), whole)
