"""Which epoch is the model: the most accurate one on clips that training does not see."""

from pathlib import Path

import numpy as np
import pytest

import tiny
from pipeline_lib.clips.store import Clips
from pipeline_lib.models import checkpoint
from pipeline_lib.training.selection import split_rows
from training_runs import history, stopped_once, trained, trained_step_by_step, with_training


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    return tiny.write_clips(tmp_path_factory.mktemp("clips") / "train.h5")


@pytest.mark.parametrize("select_on", ["held_out", "test"])
@pytest.mark.parametrize("defense", ["standard", "at_pgd", "multibn", "trades"])
def test_the_epoch_most_accurate_on_other_clips_is_the_model(tmp_path, clips, select_on, defense):
    entry = with_training(tiny.DEFENSES[defense], select_on=select_on, epochs=4, held_out=0.2)
    other = {"test": tiny.write_clips(tmp_path / "test.h5", seed=5)} if select_on == "test" else {}
    weights = trained(tmp_path / "a", entry, clips, **other)
    assert trained(tmp_path / "b", entry, clips, **other).read_bytes() == weights.read_bytes()
    scores = [float(row["selection_accuracy"]) for row in history(weights)]
    content = checkpoint.load(weights)
    assert content["run"]["epoch"] == 1 + scores.index(max(scores))


def test_epochs_of_a_single_step_are_scored_too(tmp_path, clips):
    rows = history(trained(tmp_path, with_training(select_on="test", epochs=3, batch_size=10), clips, test=clips))
    assert [0 <= float(row["selection_accuracy"]) <= 100 for row in rows] == [True] * 3


def test_by_default_the_epoch_is_selected_on_held_out_training_clips(tmp_path, clips):
    entry = with_training(epochs=4)
    del entry["training"]["select_on"]
    assert checkpoint.load(trained(tmp_path, entry, clips))["run"]["select_on"] == "held_out"


@pytest.mark.parametrize("defense", ["standard", "multibn"])
def test_stopped_at_every_step_and_batch_of_a_selection_it_ends_with_the_same_bytes(
    tmp_path, clips, monkeypatch, defense
):
    entry = with_training(tiny.DEFENSES[defense], select_on="test", epochs=3)
    test = tiny.write_clips(tmp_path / "test.h5", seed=5)
    expected = trained(tmp_path / "whole", entry, clips, test=test)
    interrupted, stops = trained_step_by_step(tmp_path / "cut", entry, clips, monkeypatch, test=test)
    assert stops == 3 * (2 + 3)  # epochs of two steps, scored in three batches
    assert interrupted.read_bytes() == expected.read_bytes()
    assert history(interrupted) == history(expected)


def test_a_checkpoint_between_two_batches_of_a_selection_holds_what_is_counted(tmp_path, clips, monkeypatch):
    entry = with_training(select_on="test")
    folder = stopped_once(tmp_path, entry, clips, monkeypatch, times=4, test=clips)
    rows, correct, count = checkpoint.load(folder / "checkpoint.pt")["scored"]
    assert (rows, count) == (8, 8)
    assert 0 <= correct <= 8


def test_held_out_clips_are_the_last_of_each_class_and_not_trained_on(clips):
    data = Clips(clips)
    rows, held = split_rows(data, 0.3)
    assert sorted([*rows, *held]) == list(range(10))
    assert [data.videos[row] for row in held] == [
        "Left/v_06.avi",
        "Right/v_07.avi",
        "Left/v_08.avi",
        "Right/v_09.avi",
    ]


def test_the_last_of_each_class_by_name_are_held_out():
    class Unordered:
        labels = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
        videos = ("c", "a", "b", "x", "z", "y", "k", "l", "m")

        def __len__(self):
            return 9

    rows, held = split_rows(Unordered(), 0.3)
    assert (rows.tolist(), held.tolist()) == ([1, 2, 3, 5, 6, 7], [0, 4, 8])
