import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pipeline_lib.clips.decode import Decoding, Part
from pipeline_lib.clips.ffmpeg_command import Limits, Request
from pipeline_lib.clips.ffmpeg_process import run_ffmpeg
from pipeline_lib.clips.sampling import Linspace, UniformStride, Windows
from pipeline_lib.clips.status import DecodedClip, Status
from pipeline_lib.clips.videos import VideoFiles, decode_batch
from pipeline_lib.errors import PipelineError
from videos import B_FRAMES, SPEC, counted_by_pyav, decode, encode, every_frame

# Each is decoded by another combination of container, codec, frame order and pixel format.
KINDS = {
    "packed.avi": B_FRAMES,
    "plain.avi": ["-c:v", "mpeg4", "-qscale", "3"],
    "motion.avi": ["-c:v", "mjpeg", "-pix_fmt", "yuvj422p"],
    "pyramid.mp4": ["-c:v", "libx264", "-bf", "3"],
    "ten_bit.mkv": ["-c:v", "libx264", "-pix_fmt", "yuv420p10le"],
    "varying.mkv": ["-c:v", "libx264", "-vf", "select='not(mod(n,3))+not(mod(n,5))'", "-fps_mode", "vfr"],
    "program.mpg": ["-c:v", "mpeg1video"],
    "portrait.avi": [*B_FRAMES, "-vf", "transpose"],
    "odd.mkv": ["-c:v", "ffv1", "-vf", "crop=61:45:0:0"],
    "gray.avi": ["-c:v", "ffv1", "-pix_fmt", "gray"],
    "small.avi": [*B_FRAMES, "-vf", "scale=20:16"],
    "sound.avi": ["-f", "lavfi", "-i", "sine=d=2", *B_FRAMES, "-c:a", "pcm_s16le"],
    "two words %03d [1] 'x':y.avi": B_FRAMES,
    "空手 é.avi": B_FRAMES,
    "-i.avi": B_FRAMES,
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("videos")
    return {name: encode(folder / name, *options) for name, options in KINDS.items()}


@pytest.fixture
def good(videos: dict[str, Path]) -> Path:
    return videos["packed.avi"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spec", [SPEC, VideoFiles(size=24, sampling=Linspace(frames=5))], ids=["stride", "linspace"])
def test_the_clip_is_the_sampled_frames_of_the_whole_video(
    videos: dict[str, Path], kind: str, spec: VideoFiles
) -> None:
    [clip] = decode(videos[kind], spec=spec)
    frames = every_frame(videos[kind], spec.size)
    assert (clip.status, clip.message) == (Status.OK, "")
    assert clip.index.tolist() == spec.sampling(len(frames)).tolist()
    assert (clip.frames == frames[clip.index]).all()
    assert clip.frames.flags.c_contiguous


def test_the_number_of_frames_is_that_of_pyav(videos: dict[str, Path]) -> None:
    everything = [path for name, path in videos.items() if name != "varying.mkv"]
    spec = VideoFiles(size=16, sampling=Linspace(frames=2))
    clips = decode(*everything, videos["varying.mkv"], spec=spec)
    assert [clip.index[-1] + 1 for clip in clips[:-1]] == [41] * len(everything)
    for path, clip in zip([*everything, videos["varying.mkv"]], clips, strict=True):
        assert clip.index[-1] + 1 == counted_by_pyav(path)


def test_frames_are_near_pils_bilinear_resize(videos: dict[str, Path]) -> None:
    [clip] = decode(videos["packed.avi"])
    with av.open(str(videos["packed.avi"])) as container:
        images = [frame.to_image() for frame in container.decode(video=0)]
    for number, frame in zip(clip.index, clip.frames, strict=True):
        resized = images[number].resize((42, 32), Image.Resampling.BILINEAR).crop((5, 0, 37, 32))
        assert np.abs(np.asarray(resized).astype(int) - frame).mean() < 2.5


@pytest.mark.parametrize(("videos_per_process", "workers"), [(1, 1), (3, 2), (8, 1), (64, 3)])
def test_batches_and_workers_change_nothing(videos: dict[str, Path], videos_per_process: int, workers: int) -> None:
    paths = [*videos.values(), videos["packed.avi"]]
    alone = [decode(path)[0] for path in paths]
    together = decode(*paths, workers=workers, videos_per_process=videos_per_process)
    for one, other in zip(alone, together, strict=True):
        assert (one.frames == other.frames).all()
        assert (one.index == other.index).all()
        assert (one.status, one.message) == (other.status, other.message)


@pytest.mark.parametrize("workers", [1, 4])
def test_several_clips_of_each_video_follow_each_other(videos: dict[str, Path], workers: int) -> None:
    paths = [videos["packed.avi"], videos["small.avi"]]
    spec = VideoFiles(size=24, sampling=Windows(frames=8, clips=3))
    clips = decode(*paths, spec=spec, workers=workers)
    assert [clip.index[0] for clip in clips] == [0, 16, 32] * 2  # of 41 frames
    for path, several in zip(paths, (clips[:3], clips[3:]), strict=True):
        frames = every_frame(path, 24)
        for clip in several:
            assert (clip.frames == frames[clip.index[0] :][:8]).all()


def test_repeated_and_unordered_frames(good: Path) -> None:
    @dataclass(frozen=True)
    class Backwards:
        frames: int = 4

        def __call__(self, count: int) -> np.ndarray:
            return np.array([count - 1, 7, 7, 0])

    [clip] = decode(good, spec=VideoFiles(size=32, sampling=Backwards()))
    assert (clip.frames == every_frame(good, 32)[[40, 7, 7, 0]]).all()


def test_a_short_video_is_looped(tmp_path: Path) -> None:
    path = encode(tmp_path / "short.avi", *B_FRAMES, frames=3)
    [clip] = decode(path)
    assert (clip.status, clip.message) == (Status.SHORT, "3 frames")
    assert (clip.frames == every_frame(path, 32)[[0, 1, 2, 0, 1, 2, 0, 1]]).all()


def test_a_change_of_resolution_does_not_restart_the_count(tmp_path: Path) -> None:
    first = encode(tmp_path / "first.mpg", "-c:v", "mpeg1video")
    second = encode(tmp_path / "second.mpg", "-c:v", "mpeg1video", size="60x80")
    path = tmp_path / "both.mpg"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    [clip] = decode(path)
    assert clip.index.tolist() == UniformStride(frames=8)(counted_by_pyav(path)).tolist()
    assert (clip.frames[:4] == every_frame(first, 32)[clip.index[:4]]).all()


def test_the_deadline_ends_a_slow_process(good: Path) -> None:
    start = time.monotonic()
    clips = decode(good, good, deadline=1e-6)
    assert [clip.message for clip in clips] == ["ffmpeg took longer than the deadline of 1e-06 s"] * 2
    assert time.monotonic() - start < 20


def test_a_video_longer_than_allowed_fails(good: Path) -> None:
    assert decode(good, max_frames=41)[0].status is Status.OK
    assert decode(good, max_frames=40)[0].message == "more than max_frames = 40 frames"


def test_counting_stops_one_frame_past_the_longest_video_allowed(good: Path) -> None:
    limits = Limits(max_pixels=1 << 24, max_frames=10, deadline=60)
    output = run_ffmpeg([Request(good, np.array([0, 3, 30]))], 16, limits)
    assert output.videos[0].count == 11
    assert len(output.videos[0].frames) == 2


def test_no_more_is_decoded_ahead_than_is_soon_needed(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def batch(paths: Sequence[Part], *rest: object) -> list[DecodedClip]:
        started.append(paths)
        return decode_batch(paths, SPEC, Decoding())

    monkeypatch.setattr("pipeline_lib.clips.videos.decode_batch", batch)
    clips = SPEC.decode([good] * 40, Decoding(videos_per_process=2), workers=2)
    for taken in range(1, 12):
        next(clips)
        assert 2 * len(started) <= taken + 2 * 5


def test_max_pixels_is_the_largest_resolution(good: Path) -> None:
    assert decode(good, max_pixels=320 * 240)[0].status is Status.OK
    assert decode(good, max_pixels=80 * 60 - 1)[0].status is Status.FAILED


def test_leaving_early_leaves_nothing_open(good: Path) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    clips = SPEC.decode([good] * 40, Decoding(videos_per_process=2), workers=2)
    next(clips)
    clips.close()  # type: ignore[attr-defined]
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_sizes_that_make_no_clip_are_told() -> None:
    with pytest.raises(PipelineError, match="size is 0: it must be at least 1"):
        VideoFiles(size=0, sampling=UniformStride(frames=8))
    with pytest.raises(PipelineError, match=r"videos_per_process is 0: it must"):
        Decoding(videos_per_process=0)


def test_no_videos() -> None:
    assert decode() == []
