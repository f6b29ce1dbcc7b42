"""Published framings: where their strips lie, what a file has to be, and that its content counts."""

import re

import numpy as np
import pytest
import torch

from configured import resolved, stacked
from pipeline_lib.attacks.framing import FixedPattern
from pipeline_lib.attacks.framing_file import FramingFile, around, read_strips
from pipeline_lib.attacks.regions import Border
from pipeline_lib.configuration.given_files import check_given_files, facts_of, inputs_of
from pipeline_lib.entries.facts import files_of
from pipeline_lib.errors import PipelineError
from pipeline_lib.plan.stand_ins import stand_ins

WIDTH, SIDE = 2, 9  # of the framing, of the whole picture
STRIPS = np.random.default_rng(0).normal(size=(3, WIDTH, SIDE - WIDTH, 4)).astype(np.float32)


def written(folder, **arrays) -> str:
    np.savez(folder / "framings.npz", **arrays)
    return str(folder / "framings.npz")


def by_pixel(strips: np.ndarray) -> np.ndarray:
    """Pixel by pixel, clockwise: strip k is the top of the picture after k quarter turns, mirrored for the sides."""
    width, length = strips.shape[1:3]
    picture = np.zeros((3, length + width, length + width), np.float32)
    for across in range(width):
        for along in range(length):
            picture[:, across, along] = strips[:, across, along, 0]
            picture[:, along, length + across] = strips[:, across, along, 1]
            picture[:, length + across, width + along] = strips[:, across, along, 2]
            picture[:, width + along, across] = strips[:, across, along, 3]
    return picture


def test_four_strips_cover_the_border_once():
    picture = around(torch.from_numpy(STRIPS))
    np.testing.assert_array_equal(picture, by_pixel(STRIPS))
    assert torch.equal((picture != 0).all(0), Border(width=WIDTH).mask(picture[None], []))
    assert int((picture != 0).sum()) == STRIPS.size  # no pixel has two strips


@pytest.mark.parametrize("dimensions", [4, 5])
def test_the_attack_draws_the_framing_around_every_frame(tmp_path, dimensions):
    start = FramingFile(file=written(tmp_path, w2=STRIPS), name="w2")
    attack = FixedPattern(region=Border(width=WIDTH), start=start, margin=WIDTH)
    shape = (2, 3, 4, SIDE, SIDE) if dimensions == 5 else (2, 3, SIDE, SIDE)
    clips = torch.full(shape, 0.25)
    found = attack(lambda clips: clips.sum(), clips, [])
    inside = (slice(WIDTH, -WIDTH),) * 2
    assert (found[..., *inside] == 0.25).all()
    border, expected = Border(width=WIDTH).mask(clips, []), torch.from_numpy(by_pixel(STRIPS)).sigmoid()
    for frame in found.movedim(1, -3).reshape(-1, 3, SIDE, SIDE):
        torch.testing.assert_close(frame[:, border], expected[:, border])
    assert (attack.ratio_to_bound(found, clips) <= 1).all()


@pytest.mark.parametrize(
    ("arrays", "name", "message"),
    [
        ({"w1": STRIPS}, "w2", "there is no array 'w2'; known: w1"),
        ({"w2": STRIPS[..., :3]}, "w2", "w2 is (3, 2, 7, 3), expected strips (channels, width, length, 4)"),
        ({"w2": STRIPS[:, :, :2]}, "w2", "w2 is (3, 2, 2, 4), expected strips"),  # they leave no picture inside
        (
            {"w2": STRIPS[:, :, :-1]},
            "w2",
            "of width 2 around 4 x 4 pixels, and the padded clips have 3 channels of 9 x 9",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_named(tmp_path, arrays, name, message):
    start = FramingFile(file=written(tmp_path, **arrays), name=name)
    with pytest.raises(PipelineError, match=rf"framings\.npz.*{re.escape(message)}"):
        start.first(torch.zeros(1, 3, 2, SIDE, SIDE), [])


def test_strips_may_be_as_wide_as_they_are_many(tmp_path):
    strips = np.zeros((3, 4, 5, 4), np.float32)
    assert read_strips(written(tmp_path, w4=strips), "w4").shape == strips.shape


def test_a_file_of_another_kind_is_named(tmp_path):
    (tmp_path / "text.npz").write_text("no framing")
    with pytest.raises(PipelineError, match=r"text\.npz cannot be read as an \.npz file of framings"):
        FramingFile(file=str(tmp_path / "text.npz"), name="w1").first(torch.zeros(1, 3, 2, SIDE, SIDE), [])


GIVEN = {"datasets": {"ucf101": {"root": "data"}}}


def test_a_framing_that_is_missing_is_named_before_any_job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = resolved(stacked("framing_published", given=GIVEN))
    weights = plan["models"]["released-s0"]["initial"]["file"]
    (tmp_path / weights).parent.mkdir()
    (tmp_path / weights).touch()
    with pytest.raises(PipelineError, match=r"attacks\.published_framing_1: there is no file .*framing_logits\.npz"):
        check_given_files(plan)
    (tmp_path / "framings").mkdir()
    np.savez("framings/framing_logits.npz", ucf101_w1=STRIPS)
    check_given_files(plan)


def test_the_content_of_the_file_counts(tmp_path):
    entry = {"method": "fixed_pattern", "start": {"method": "framing_file", "file": written(tmp_path, w2=STRIPS)}}
    before = facts_of(entry)
    assert files_of([{"defense": {"attack": entry}}]) == inputs_of(entry)["files"] == [entry["start"]["file"]]
    written(tmp_path, w2=STRIPS + 1)
    assert facts_of(entry) != before
    assert inputs_of({"method": "fixed_pattern"}) == facts_of({"method": "fixed_pattern"}) == {}


def test_a_plan_is_made_without_the_framings_and_names_their_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    empty = tmp_path / "empty"
    empty.touch()
    missing = stand_ins(stacked("framing_published", given=GIVEN), empty)
    attacks = [f"published_framing_{width}" for width in (1, 2, 3, 4)]
    assert missing.files == {"framings/framing_logits.npz": attacks}
    assert missing.config["attacks"] == {name: {"start": {"file": str(empty)}} for name in attacks}
    plan = resolved(stacked("framing_published", given=GIVEN | missing.config))
    check_given_files(plan)
