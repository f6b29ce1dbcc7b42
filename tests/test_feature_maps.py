"""Feature maps of one clip: what the job keeps, and what the figure shows of it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import tiny
from configured import CONFIG, changed, resolved
from pipeline_lib.clips.adversarial_store import AdversarialClips
from pipeline_lib.clips.loader import as_clips
from pipeline_lib.clips.store import Clips
from pipeline_lib.errors import PipelineError
from pipeline_lib.evaluation.feature_maps import keeping, over_time, write_feature_maps
from pipeline_lib.evaluation.source import Source
from pipeline_lib.models.trained import load_model
from pipeline_lib.records.feature_maps import FeatureMaps
from pipeline_lib.reporting.figures.feature_maps import MapsOfFeatures, draw_maps, lines_of, read_maps
from sets import attacked
from test_features import Linear
from training_runs import trained

CLIPS = torch.rand(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("stage", "factor"), [("stem", 1), ("layer1", 3), ("layer2", -6)])
def test_a_stage_gives_a_copy_that_later_layers_do_not_change(stage, factor):
    network = Linear()
    with keeping(network, stage) as kept:
        network(CLIPS.clone())
    network(CLIPS.clone())  # the hook has ended
    assert len(kept) == 1
    torch.testing.assert_close(kept[0], factor * CLIPS)


def test_a_stage_that_the_network_lacks_is_named():
    with pytest.raises(PipelineError, match="unknown stage 'layer9'; this network has stem, layer1, layer2"):
        keeping(Linear(), "layer9").__enter__()


def test_maps_of_images_have_one_time():
    assert over_time(CLIPS[:, :, 0]).shape == (2, 3, 1, 8, 8)
    assert over_time(CLIPS).shape == (2, 3, 4, 8, 8)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with clips, a model and a set."""
    folder = tmp_path_factory.mktemp("maps")
    tiny.write_clips(folder / "clips.h5")
    trained(folder, tiny.model_entry(tiny.STANDARD), folder / "clips.h5", "plain")
    attacked(folder, folder)
    return folder


def written(folder: Path, name: str, clip: int) -> Path:
    given = {"clips": folder / "clips.h5", "adversarial": folder / "set.h5", "stage": "layer1", "clip": clip}
    output = folder / name
    write_feature_maps(Source(weights=folder / "plain.pt"), **given, output=output, device=torch.device("cpu"))
    return output


def test_a_file_has_the_clip_what_the_stage_makes_of_it_and_the_answers(made):
    found = read_maps(str(written(made, "maps.npz", 1)))
    clean = Clips(made / "clips.h5")
    sets = clean, AdversarialClips(made / "set.h5", clean)
    assert str(found.video) == clean.videos[1]
    assert str(found.truth) == clean.classes[clean.labels[1]]
    network = load_model(made / "plain.pt", torch.device("cpu")).network
    for place, frames in enumerate(one.read([1]) for one in sets):
        np.testing.assert_array_equal(found.frames[place], frames[0])
        with torch.no_grad(), keeping(network, "layer1") as kept:
            answer = network(as_clips(frames, "cpu")).argmax(1)
        np.testing.assert_allclose(found.maps[place], kept[0][0], rtol=1e-4, atol=1e-6)
        assert found.answers[place] == clean.classes[answer]
    assert written(made, "again.npz", 1).read_bytes() == written(made, "maps.npz", 1).read_bytes()


def test_a_clip_that_the_split_lacks_is_named(made):
    count = len(Clips(made / "clips.h5"))
    with pytest.raises(PipelineError, match=f"clip {count}: there are {count} test clips, the first one is 0"):
        written(made, "none.npz", count)


def test_an_entry_with_a_stage_that_a_network_lacks_is_refused():
    entry = CONFIG["figures"]["feature_maps_multav"]
    needs = resolved(CONFIG)["figures"]["feature_maps_multav"]["needs"]
    assert needs["Mult"].arguments == ("synthetic", "at_multav_linf-s0", "multav_linf", "layer1", "0")
    with pytest.raises(PipelineError, match="stage: rows.Mult: unknown stage 'layer9'; this network has stem, layer1"):
        resolved(changed("figures.feature_maps_multav", entry | {"stage": "layer9"}))


def maps(times: int = 4, length: int = 8) -> FeatureMaps:
    """Two channels; each value is 100 if attacked, plus 10 times the channel, plus the time."""
    values = np.zeros((2, 2, times, 2, 2), np.float32) + np.arange(times, dtype=np.float32)[:, None, None]
    values = values + 100 * np.arange(2)[:, None, None, None, None] + 10 * np.arange(2)[:, None, None, None]
    frames = np.zeros((2, length, 4, 4, 3), np.uint8) + np.arange(length, dtype=np.uint8)[:, None, None, None]
    return FeatureMaps("v", "walk", np.array(["walk", "jump"]), frames, values)


def test_lines_are_evenly_spaced_times_with_the_frame_in_their_middle():
    assert [line.frame for line in lines_of("Mult", maps(), [], 3)] == [1, 5, 7]
    assert [line.frame for line in lines_of("Mult", maps(times=2), [], 3)] == [2, 6]
    assert [line.frame for line in lines_of("Mult", maps(times=8), [], 1)] == [0]


def test_means_share_a_scale_and_each_channel_has_its_own():
    lines = lines_of("Mult", maps(), [1], 2)
    clean, attacked, channel = lines[1].pictures
    assert [line.pictures[2].values.max() for line in lines] == [110, 113]
    assert clean.scale == attacked.scale == (5, 108)
    assert channel.scale == (110, 113)
    assert (clean.values == 8).all()
    assert (attacked.values == 108).all()
    with pytest.raises(PipelineError, match="channels: there is no 2; this stage has 2, the first one is 0"):
        lines_of("Mult", maps(), [0, 2], 2)


def test_the_figure_has_a_line_for_each_model_and_frame(tmp_path):
    lines = [line for label in ("Mult", "Add") for line in lines_of(label, maps(), [0, 1], 3)]
    figure = draw_maps(lines, "layer1 under multav_linf")
    figure.canvas.draw()
    assert len(figure.axes) == 2 * 3 * 5
    shown = [axes.images[0].get_array() for axes in figure.axes[5:10]]
    assert (shown[0] == 5).all()  # the frame
    assert [float(one.max()) for one in shown[1:]] == [7, 107, 102, 112]
    assert all(axes.images[0].get_clim() == lines[0].pictures[0].scale for axes in (figure.axes[1], figure.axes[2]))
    np.savez(tmp_path / "maps.npz", **maps()._asdict())
    kind = MapsOfFeatures(dataset="d", attack="a", rows={"Mult": "m"}, stage="layer1", channels=[0])
    numbers = kind.numbers({"Mult": str(tmp_path / "maps.npz")})
    assert list(numbers.columns) == ["row", "video", "frame", "quantity", "smallest", "mean", "largest"]
    expected = pd.Series(["mean, clean", "mean, attacked", "channel 0, attacked"] * 3, name="quantity")
    pd.testing.assert_series_equal(numbers["quantity"], expected)
