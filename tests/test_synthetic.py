import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline_lib.clips.decode import Decoding
from pipeline_lib.clips.sampling import UniformStride
from pipeline_lib.clips.splits import Ucf101
from pipeline_lib.clips.synthetic import DIRECTIONS, PlannedVideo, SyntheticActions, plane_waves, texture_frames
from pipeline_lib.clips.videos import VideoFiles
from pipeline_lib.errors import PipelineError
from pipeline_lib.ffmpeg_binary import ffmpeg_binary

DESIGN = SyntheticActions(seed=3, train_per_class=24, test_per_class=20, lengths=(8, 16))
SMALL = SyntheticActions(train_per_class=4, test_per_class=2, classes=["MoveUpLeft", "MoveLeft"], lengths=(4, 9))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    DESIGN.render(folder, workers=2)
    return folder


@pytest.fixture(scope="module")
def clips(root: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Decoded clips (N, 8, 32, 32, 3) and labels by split."""
    spec = VideoFiles(size=32, sampling=UniformStride(frames=8))
    splits = {}
    for split in ("train", "test"):
        videos = Ucf101().read(root, split)
        paths = [root / "UCF-101" / video.path for video in videos]
        frames = np.stack([clip.frames for clip in spec.decode(paths, Decoding(), workers=2)])
        splits[split] = frames, np.array([video.label for video in videos])
    return splits


def pooled(frames: np.ndarray) -> np.ndarray:
    """Color, contrast, detail and their values along each edge, for single frames (N, H, W, 3)."""
    levels = frames.astype(float)
    down, right = np.abs(np.diff(levels, axis=1)), np.abs(np.diff(levels, axis=2))
    regions = [levels[:, :4], levels[:, -4:], levels[:, :, :4], levels[:, :, -4:], levels]
    regions += [down[:, :4], down[:, -4:], right[:, :, :4], right[:, :, -4:], down, right]
    return np.concatenate([region.mean((1, 2)) for region in regions] + [levels.std((1, 2))], axis=1)


def raw(frames: np.ndarray) -> np.ndarray:
    return frames[:, ::2, ::2].reshape(len(frames), -1) / 255.0


@pytest.mark.parametrize("features", [raw, pooled])
@pytest.mark.parametrize("frame", [0, 5])
def test_a_single_frame_does_not_tell_the_class(clips: dict, features: Callable, frame: int) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=200))
    model.fit(features(clips["train"][0][:, frame]), clips["train"][1])
    accuracy = model.score(features(clips["test"][0][:, frame]), clips["test"][1])
    error = np.sqrt(1 / 6 * 5 / 6 / len(clips["test"][1]))
    assert accuracy < 1 / 6 + 4 * error


def direction_of(clip: np.ndarray) -> float:
    """Degrees of the motion in a clip (T, H, W, 3), by phase correlation of successive frames."""
    gray = clip.mean(-1) - clip.mean()
    spectra = np.fft.fft2(gray * np.outer(np.hanning(32), np.hanning(32)))
    cross = (spectra[1:] * np.conj(spectra[:-1])).sum(0)
    peaks = np.fft.fftshift(np.fft.ifft2(cross / np.sqrt(np.abs(cross))).real)[8:25, 8:25]
    row, column = np.unravel_index(peaks.argmax(), peaks.shape)
    return np.rad2deg(np.arctan2(8 - row, column - 8)) % 360


def test_the_motion_tells_the_class(clips: dict) -> None:
    frames, labels = clips["test"]
    angles = np.array([direction_of(clip) for clip in frames])[:, None]
    apart = np.abs((angles - list(DIRECTIONS.values()) + 180) % 360 - 180)
    assert (apart.argmin(1) == labels).mean() > 0.9


def test_pixels_stay_away_from_black_and_white(clips: dict) -> None:
    assert clips["train"][0].min() > 8
    assert clips["train"][0].max() < 247


def test_the_layout_is_that_of_ucf101(root: Path) -> None:
    assert Ucf101().class_names(root) == sorted(DIRECTIONS) == list(DIRECTIONS)
    listed = []
    for split, groups in (("train", range(8, 26)), ("test", range(1, 8))):
        videos = Ucf101().read(root, split)
        assert {int(video.path.split("_g")[1][:2]) for video in videos} == set(groups)
        assert set(Counter(video.label for video in videos).values()) == {24 if split == "train" else 20}
        listed += [video.path for video in videos]
    assert sorted(listed) == sorted(str(path.relative_to(root / "UCF-101")) for path in root.rglob("v_*"))
    first = (root / "ucfTrainTestlist/trainlist01.txt").read_text().splitlines()[0]
    assert first == "MoveDownLeft/v_MoveDownLeft_g08_c01.mp4 1"


def test_codecs_rates_and_lengths_are_mixed_alike_in_every_class(root: Path) -> None:
    kinds = Counter()
    for path in root.rglob("v_*"):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            kinds[path.parent.name, path.suffix, stream.codec_context.name, int(stream.average_rate)] += 1
            assert (stream.codec_context.width, stream.codec_context.height) == DESIGN.size
            assert DESIGN.lengths[0] <= sum(1 for _ in container.decode(stream)) <= DESIGN.lengths[1]
    assert {kind[1:] for kind in kinds} == {
        (suffix, codec, rate) for suffix, codec in ((".mp4", "h264"), (".avi", "mpeg4")) for rate in (25, 30)
    }
    assert set(kinds.values()) == {11}


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_files_depend_on_the_seed_alone(tmp_path: Path) -> None:
    SMALL.render(tmp_path / "one", workers=1)
    SMALL.render(tmp_path / "three", workers=3)
    replace(SMALL, seed=1).render(tmp_path / "seed", workers=1)
    one, seed = content(tmp_path / "one"), content(tmp_path / "seed")
    assert content(tmp_path / "three") == one
    assert [name for name in one if one[name] == seed[name]] == [name for name in one if name.endswith(".txt")]


def test_a_video_does_not_depend_on_the_classes_beside_it(tmp_path: Path) -> None:
    SMALL.render(tmp_path / "two", workers=1)
    replace(SMALL, classes=["MoveUpLeft"]).render(tmp_path / "one", workers=1)
    one = {name: data for name, data in content(tmp_path / "one").items() if not name.endswith(".txt")}
    assert one.items() <= content(tmp_path / "two").items()


def test_moving_the_texture_moves_the_pixels() -> None:
    waves = plane_waves((40, 32), np.array([[0.0, 0.0], [3.0, 2.0]]), np.random.default_rng(0))
    np.testing.assert_allclose(waves[1, 2:, 3:], waves[0, :-2, :-3], atol=1e-9)


def test_a_longer_video_shows_the_same_motion_in_more_steps() -> None:
    video = PlannedVideo("MoveUpLeft", "train", 5)
    short = texture_frames(replace(DESIGN, lengths=(8, 8)), video)
    long = texture_frames(replace(DESIGN, lengths=(24, 24)), video)
    assert (short == long[::3]).all()


def test_every_frame_is_encoded_by_itself(root: Path) -> None:
    for path in list(root.rglob("v_MoveDownLeft_g01*")):
        with av.open(str(path)) as container:
            assert all(packet.is_keyframe for packet in container.demux(video=0) if packet.size)


def test_encoding_keeps_the_texture(root: Path) -> None:
    video = PlannedVideo("MoveRight", "test", 0)
    command = [ffmpeg_binary(), "-v", "error", "-i", str(root / "UCF-101" / video.path), "-f", "rawvideo"]
    done = subprocess.run([*command, "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
    decoded = np.frombuffer(done.stdout, np.uint8).reshape(-1, 48, 64, 3)
    assert np.abs(decoded.astype(int) - texture_frames(DESIGN, video)).mean() < 8


@pytest.mark.parametrize(
    ("field", "value"),
    [("classes", ["MoveOn"]), ("size", (63, 48)), ("contrast", 0.6), ("lengths", (9, 4))],
)
def test_a_field_that_does_not_fit_is_named(tmp_path: Path, field: str, value: object) -> None:
    with pytest.raises(PipelineError, match=f"^{field}: "):
        replace(SMALL, **{field: value}).render(tmp_path, workers=1)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "UCF-101/MoveUpLeft/v_MoveUpLeft_g08_c01.mp4").mkdir(parents=True)
    with pytest.raises(PipelineError, match=r"v_MoveUpLeft_g08_c01\.mp4"):
        SMALL.render(tmp_path, workers=1)
