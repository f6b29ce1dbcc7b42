"""Several clips of one video: intervals and tests count videos."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from configured import CONFIG, changed, resolved
from pipeline_lib.clips.splits import Video
from pipeline_lib.configuration.layout_keys import units_of
from pipeline_lib.configuration.layouts import Layouts
from pipeline_lib.configuration.paths import Paths
from pipeline_lib.reporting.audits import FAULTS, build_audit, read_audit, verdict
from pipeline_lib.reporting.cell_details import details_of
from pipeline_lib.reporting.cells import measured
from pipeline_lib.reporting.claim_files import COUNTS_VIDEOS, units_note
from pipeline_lib.reporting.clusters import effective_clips, per_video, videos_of
from pipeline_lib.reporting.column_means import mean_of_columns
from pipeline_lib.reporting.difference_files import caption
from pipeline_lib.reporting.faults import faults_of
from pipeline_lib.reporting.metrics import accuracy, fraction_of_clips, wilson
from pipeline_lib.reporting.paired import compare
from pipeline_lib.reporting.pairs import pair_notes
from pipeline_lib.reporting.table_files import interval_note
from pipeline_lib.reporting.worst_cases import worst_note
from test_audit_table import audit_entry


def clips_of(videos: np.ndarray) -> pd.Series:
    """Whether each clip is correct, from videos x clips."""
    names = [f"{video}.avi#clip={clip + 1}" for video in range(len(videos)) for clip in range(videos.shape[1])]
    return pd.Series(videos.reshape(-1), pd.Index(names, name="video"))


def drawn(rng: np.random.Generator, videos: int, clips: int, rate: float, shared: float) -> np.ndarray:
    """Clips that are correct at a rate; each takes its video's draw with probability `shared`, else one of its own."""
    own, together = rng.random((videos, clips)) < rate, rng.random((videos, 1)) < rate
    return np.where(rng.random((videos, clips)) < shared, together, own)


@pytest.mark.parametrize("interval", [(None, None), (3.0, 5.5), (1.5, None)])
def test_a_clip_has_the_name_of_its_video_without_its_number(interval):
    names = [Video("Class/a#b.avi", 0, *interval, clip=clip).name for clip in (None, 1, 12)]
    assert videos_of(pd.Index(names)).tolist() == names[:1] * 3
    assert videos_of(pd.Index(["clip=3.avi", "x#clip=a"])).tolist() == ["clip=3.avi", "x#clip=a"]


def test_one_clip_of_each_video_has_its_wilson_interval_to_the_bit():
    correct = pd.Series([True, False, True, True], [f"v{i}" for i in range(4)])
    assert effective_clips(correct) == 4
    found = fraction_of_clips(correct)
    assert (found.low, found.high) == wilson(75.0, 4)


@pytest.mark.parametrize("clips", [2, 3, 7])
def test_clips_of_a_video_that_agree_count_as_one(clips):
    agreeing = np.repeat([[True], [False], [True], [True], [True]], clips, axis=1)
    assert effective_clips(clips_of(agreeing)) == 5
    assert effective_clips(clips_of(np.ones((5, clips), bool))) == 5  # no variance: the widest interval
    assert effective_clips(clips_of(np.ones((1, clips), bool))) == 1
    found = mean_of_columns(pd.DataFrame({"a": clips_of(agreeing), "b": clips_of(~agreeing)}))
    alone = mean_of_columns(pd.DataFrame({"a": agreeing[:, 0], "b": ~agreeing[:, 0]}))
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high))


def test_the_effective_number_is_the_variance_of_a_ratio_estimate():
    """v = K / (K - 1) sum_i (x_i - p m)^2 / n^2, by hand for three videos of two clips with 2, 1 and 0 correct ones."""
    videos = np.array([[True, True], [True, False], [False, False]])
    variance = 3 / 2 * (1 + 0 + 1) / 36
    assert effective_clips(clips_of(videos)) == pytest.approx(max(3, 0.25 / variance))
    alternating = np.array([[True, False]] * 4)  # every video has the same rate
    assert effective_clips(clips_of(alternating)) == 8


def test_the_effective_number_is_between_those_of_videos_and_clips():
    """By hand: residuals 1, 0, 0 and -1 of four videos of two clips; 1/2 and -1/2 of two videos of three."""
    four = np.array([[True, True], [True, False], [False, True], [False, False]])
    assert effective_clips(clips_of(four)) == pytest.approx(0.25 / (4 / 3 * 2 / 64))
    two = np.array([[True, False, True], [True, False, False]])
    assert effective_clips(clips_of(two)) == 6  # 9, by the formula, but there are only 6 clips
    assert effective_clips(clips_of(np.array([[True, False]]))) == 1


@pytest.mark.parametrize("shared", [0.0, 0.5, 1.0])
def test_intervals_of_clustered_clips_cover_in_94_percent_and_more_and_by_clips_they_do_not(shared):
    rng, rate, found, naive = np.random.default_rng(5), 0.7, [], []
    for _ in range(400):
        correct = clips_of(drawn(rng, 100, 3, rate, shared))
        one = fraction_of_clips(correct)
        low, high = wilson(one.percent, len(correct))
        found.append(one.low <= 100 * rate <= one.high)
        naive.append(low <= 100 * rate <= high)
    assert 0.93 <= np.mean(found) <= 0.98
    assert np.mean(naive) < (0.8 if shared == 1 else 0.98)


def test_rows_are_compared_video_by_video():
    """Ten videos of three clips that agree, of which five change: p is that of five discordant clips, not of 15."""
    first, second = np.ones((10, 3), bool), np.ones((10, 3), bool)
    second[:5] = False
    rows = [measured([fraction_of_clips(clips_of(row))], [0]) for row in (first, second)]
    found = compare(rows[0].scores, rows[1].scores, "t", "c", "a", "b")
    assert (found.n, found.difference, found.p) == (10, 50.0, 2 * 0.5**5)
    assert [row.cell.n for row in rows] == [30, 30]  # accuracies count clips


def test_scores_of_single_clips_stay_as_they_are():
    scores = pd.DataFrame({0: [1.0, 0.0]}, ["a", "b"])
    assert per_video(scores) is scores


def test_videos_keep_their_order():
    scores = pd.DataFrame({0: [1.0, 0.0, 1.0]}, ["b#clip=1", "a#clip=1", "b#clip=2"])
    assert per_video(scores)[0].to_dict() == {"b": 1.0, "a": 0.0}
    assert per_video(scores).index.tolist() == ["b", "a"]


def test_predictions_of_several_clips_have_the_accuracy_of_their_clips():
    names = clips_of(np.ones((2, 2), bool)).index
    table = pd.DataFrame({"video": names, "label": 1, "prediction": [1, 1, 1, 0], "loss": 0.5})
    assert accuracy(table).percent == 75


def test_the_caption_states_that_clips_are_clustered():
    layout = {"summaries": []}
    table = pd.DataFrame({"sd": [None]})
    assert interval_note(table, layout) == "Wilson"
    assert "between videos, of 3 clips each" in interval_note(table, layout | {"clips_by_video": 3})


def test_differences_count_videos_in_their_caption():
    found = pd.DataFrame({"n": [30], "seeds": ["0"], "under": [""], "faults": [""]})
    layout = {"dataset": "mine", "note": "A note."}
    clips, videos = (caption(found, layout | beside) for beside in ({}, {"clips_by_video": 3}))
    assert "exact over clips (McNemar for one seed)" in clips
    assert "mine, n = 30 clips, seed 0." in clips
    assert "exact over videos" in videos
    assert "mine, n = 30 videos of 3 clips each, seed 0." in videos
    assert units_note([{}, {"clips_by_video": 3}]) == COUNTS_VIDEOS
    assert units_note([{}]) == ""


def test_layouts_and_figures_know_how_many_clips_a_video_has():
    figures, layouts = {}, {}
    for clips, config in ((1, CONFIG), (3, changed("datasets.synthetic.sampling", {"method": "windows", "frames": 8}))):
        plan = resolved(config)
        layouts[clips] = Layouts(plan, Paths("out"), "").studies["multibn_white_box"]
        figures[clips] = plan["figures"]["iterations_pgd"]["needs"]
    assert "clips_by_video" not in layouts[1] | figures[1]
    assert layouts[3]["clips_by_video"] == figures[3]["clips_by_video"] == 3


@pytest.mark.parametrize(
    ("changes", "alone", "of_five"),
    [
        # Guessing is 50, two standard errors over 300 clips 5.8 points, over their 60 videos 12.9.
        ({"classes": 2, "answer_entropy": 1.0, "balanced_accuracy": 60.0}, "ok", "answers at random"),
        ({"classes": 2, "answer_entropy": 1.0, "balanced_accuracy": 63.0}, "ok", "ok"),
        # Five of 300 clips may be those of one video; more than 1.5 videos are not.
        ({"recovered_clips": 5 / 300}, "last iterate worse", "ok"),
        ({"recovered_clips": 8 / 300}, "last iterate worse", "last iterate worse"),
    ],
)
def test_verdicts_of_audits_count_videos(tmp_path, changes, alone, of_five):
    path = tmp_path / "audit.csv"
    Path(audit_entry(tmp_path, **changes)["audit"]).rename(path)
    found = {clips: verdict(read_audit(path), clips) for clips in (1, 5)}
    assert found == {1: alone, 5: of_five}
    assert [faults_of({"pgd": [str(path)]}, clips)["pgd"] for clips in (1, 5)] == [
        [one] if one in FAULTS else [] for one in (alone, of_five)
    ]
    record = {"row": "a", "column": "pgd", "measured": 50.0, "low": 40.0, "high": 60.0, "n": 300, "seeds": "0"}
    record |= {"paper": None, "faults": "", "flag": ""}
    for clips in (1, 5):
        layout = {"rows": [{"label": "a", "audits": {"pgd": [str(path)]}}], "clips_by_video": clips}
        assert dict(details_of(record, layout))["audit"] == found[clips]


def audited(folder: Path, attack: str, videos: np.ndarray) -> dict[str, Any]:
    """The entry of a set on which clips are correct, from videos x clips."""
    correct = clips_of(videos)
    path = folder / f"{attack}.csv"
    rows = {"video": correct.index, "label": 1, "prediction": correct.to_numpy().astype(int), "loss": 0.5}
    pd.DataFrame(rows).sample(frac=1, random_state=0).to_csv(path, index=False)
    rate = 100 * float(correct.mean())
    entry = audit_entry(folder, attack=attack, clips=len(correct), live_accuracy=rate, stored_accuracy=rate)
    return entry | {"clips_by_video": videos.shape[1], "predictions": str(path)}


@pytest.mark.parametrize(
    ("fallen", "found"),
    [
        (np.repeat([[True]] * 2, 3, axis=1), "ok"),  # six clips of two videos
        (np.eye(3, dtype=bool)[[0, 1, 2, 0, 1, 2]], "weak attack: clips of 6 videos more fall"),
        (np.repeat([[True]] * 6, 3, axis=1), "weak attack: clips of 6 videos more fall"),
        (np.repeat([[True]] * 5, 3, axis=1), "ok"),  # p = 2 / 2 ** 5
    ],
)
def test_a_worst_case_counts_the_videos_of_which_more_clips_fall(tmp_path, fallen, found):
    own = np.ones((40, 3), bool)
    own[20:] = False
    worst = own.copy()
    worst[: len(fallen)] &= ~fallen
    entries = [audited(tmp_path, "pgd", own) | {"worst": "pgd_worst"}, audited(tmp_path, "pgd_worst", worst)]
    assert build_audit(entries)["verdict"].tolist() == [found, "ok"]
    own_scores, worst_scores = (measured([fraction_of_clips(clips_of(one))], [0]) for one in (own, worst))
    assert (compare(own_scores.scores, worst_scores.scores, "t").p < 0.05) == (found != "ok")  # as the table marks it


def test_the_audit_reads_predictions_only_where_videos_have_several_clips():
    windows = changed("datasets.synthetic.sampling", {"method": "windows", "frames": 8, "clips": 4})
    one, several = (Layouts(resolved(config), Paths("out"), "") for config in (CONFIG, windows))
    assert one.audited_predictions() == []
    sets = several.audited_sets
    sets = [entry for entry in sets if entry["dataset"] == "synthetic"]  # the images have one each
    assert {entry["clips_by_video"] for entry in sets} == {4}
    assert several.audited_predictions() == [
        f"out/synthetic/predictions/{entry['source']}/{entry['source']}/{entry['attack']}.csv" for entry in sets
    ]


def test_notes_state_what_the_tests_count():
    table = pd.DataFrame({"worst": [1.0], "weak": [True], "other": ["b"], "row": ["a"], "minus": [1.0]})
    layouts = {"clips": {}, "videos": {"clips_by_video": 2}}
    for units, layout in layouts.items():
        assert units_of(layout) == units
        assert f"exact paired test over {units}, 5 %" in worst_note(table, units)
        assert "in the same bound. \u00b6 Weak attack" in worst_note(table, units)
        assert f"exact paired test over {units}, Holm" in pair_notes(table, units)[0]
