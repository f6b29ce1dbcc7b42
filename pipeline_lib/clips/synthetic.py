"""Six classes of real video files that differ by motion only, laid out and listed like UCF101.

A video shows a texture, a sum of plane waves, that moves in one of six directions, 60 degrees apart. The waves' phases
are independent and uniform, and moving the texture only adds a constant to each phase: so the distribution of a single
frame is the same at every time and for every class, and only the order of the frames distinguishes the classes. For the
same reason every frame is encoded by itself with a constant quantizer: a decoded frame depends on that frame alone.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import ffmpeg
import numpy as np

from pipeline_lib.clips.splits import Ucf101
from pipeline_lib.entries.ranges import method
from pipeline_lib.errors import PipelineError
from pipeline_lib.ffmpeg_binary import piped
from pipeline_lib.jobs.limits import workers_within_open_files

# Degrees, counterclockwise from "to the right". The order is alphabetical, as in UCF101's classInd.txt.
DIRECTIONS = {
    "MoveDownLeft": 240,
    "MoveDownRight": 300,
    "MoveLeft": 180,
    "MoveRight": 0,
    "MoveUpLeft": 120,
    "MoveUpRight": 60,
}
TEST_GROUPS, TRAIN_GROUPS = range(1, 8), range(8, 26)
FRAME_RATES = (25, 30)
WAVES = 16
VIDEOS_PER_PROCESS = 16
ENCODERS = {
    ".mp4": {"vcodec": "libx264", "preset": "ultrafast", "qp": 12, "x264-params": "keyint=1:scenecut=0"},
    ".avi": {"vcodec": "mpeg4", "qscale": 2, "g": 1},
}

# Largest number of files open for one ffmpeg that writes videos: pipes for input, messages and the start.
DESCRIPTORS = 10


@method
class SyntheticActions:
    """Videos of moving textures.

    size: width and height in pixels, even. classes: names of DIRECTIONS, all by default. lengths: fewest and most
    frames. travel: least and most that the texture moves over the whole video, in units of the shorter side; that is an
    eighth of it between two of 8 sampled frames. angle: largest departure from the class's direction in degrees.
    contrast: largest departure of a pixel from its video's mean color, which lies in 0.45 to 0.55 (pixels in [0, 1]).
    seed: of the textures and motions.
    train_per_class, test_per_class: number of videos.
    """

    seed: int = 0
    size: tuple[int, int] = (64, 48)
    train_per_class: int = 90
    test_per_class: int = 28
    classes: list[str] | None = None
    lengths: tuple[int, int] = (24, 48)
    travel: tuple[float, float] = (0.8, 1.3)
    angle: float = 10.0
    contrast: float = 0.3

    def render(self, root: Path, workers: int) -> None:
        """Write videos and lists below `root`. The content depends on the fields only, not on `workers`.

        PipelineError names an invalid field, or the files that could not be written.
        """
        check(self)
        with ThreadPoolExecutor(workers_within_open_files(workers, DESCRIPTORS, "an ffmpeg process")) as pool:
            list(pool.map(lambda batch: render_videos(self, batch, root), batches(self)))
        # The lists are written last: if they exist, all videos exist.
        write_lists(self, root)


@dataclass(frozen=True)
class PlannedVideo:
    """A video to render: its class, its split and its number within both, from 0."""

    name: str
    split: str
    number: int

    @property
    def path(self) -> str:
        """`Class/v_Class_gNN_cNN.ext`: groups 1 to 7 are test, 8 to 25 train; the two codecs alternate."""
        groups = TRAIN_GROUPS if self.split == "train" else TEST_GROUPS
        group, clip = groups[self.number % len(groups)], self.number // len(groups) + 1
        return f"{self.name}/v_{self.name}_g{group:02}_c{clip:02}{list(ENCODERS)[self.number % 2]}"

    @property
    def frame_rate(self) -> int:
        """Frames per second; each rate is used with each codec."""
        return FRAME_RATES[self.number // 2 % 2]


def check(design: SyntheticActions) -> None:
    """Raise PipelineError when a field of the design is invalid."""
    unknown = sorted(set(design.classes or ()) - set(DIRECTIONS))
    if unknown:
        raise PipelineError(f"classes: no synthetic class {', '.join(unknown)}. Known: {', '.join(DIRECTIONS)}.")
    if any(side < 16 or side % 2 for side in design.size):
        raise PipelineError(f"size: {list(design.size)}, but width and height must be even and at least 16 pixels.")
    if not 0 < design.contrast <= 0.35:
        raise PipelineError(
            f"contrast: {design.contrast} is not above 0 and at most 0.35, which keeps pixels between 0 and 1."
        )
    if not 1 <= design.lengths[0] <= design.lengths[1]:
        raise PipelineError(f"lengths: {list(design.lengths)} is not a least and a largest number of frames.")


def class_names(design: SyntheticActions) -> list[str]:
    """The selected classes in the order of their labels."""
    return [name for name in DIRECTIONS if design.classes is None or name in design.classes]


def planned(design: SyntheticActions, split: str) -> list[PlannedVideo]:
    """All videos of a split, class by class."""
    number = design.train_per_class if split == "train" else design.test_per_class
    return [PlannedVideo(name, split, index) for name in class_names(design) for index in range(number)]


def batches(design: SyntheticActions) -> list[list[PlannedVideo]]:
    """All videos of both splits in batches of one frame rate."""
    videos = planned(design, "train") + planned(design, "test")
    by_rate = [[video for video in videos if video.frame_rate == rate] for rate in FRAME_RATES]
    step = VIDEOS_PER_PROCESS
    return [same[start : start + step] for same in by_rate for start in range(0, len(same), step)]


def write_lists(design: SyntheticActions, root: Path) -> None:
    """classInd.txt, trainlist01.txt (path and class number) and testlist01.txt (path), exactly as UCF101 has them."""
    folder = root / Ucf101().annotations
    folder.mkdir(parents=True, exist_ok=True)
    numbers = {name: number for number, name in enumerate(class_names(design), start=1)}
    lines = {
        "classInd.txt": [f"{number} {name}" for name, number in numbers.items()],
        "trainlist01.txt": [f"{video.path} {numbers[video.name]}" for video in planned(design, "train")],
        "testlist01.txt": [video.path for video in planned(design, "test")],
    }
    for name, content in lines.items():
        (folder / name).write_text("\n".join(content) + "\n", encoding="utf-8")


def render_videos(design: SyntheticActions, videos: Sequence[PlannedVideo], root: Path) -> None:
    """Write a few video files of one frame rate in one ffmpeg process: starting it costs more than encoding one."""
    paths = [root / Ucf101().videos / video.path for video in videos]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    encode([texture_frames(design, video) for video in videos], paths, videos[0].frame_rate)


def texture_frames(design: SyntheticActions, video: PlannedVideo) -> np.ndarray:
    """The frames of a video before encoding, (T, H, W, 3) uint8."""
    # A generator per video: the content does not depend on the order, on other videos or on `classes`.
    generator = np.random.default_rng(
        [design.seed, list(DIRECTIONS).index(video.name), ("train", "test").index(video.split), video.number]
    )
    count = int(generator.integers(design.lengths[0], design.lengths[1] + 1))
    direction = np.deg2rad(DIRECTIONS[video.name] + generator.uniform(-design.angle, design.angle))
    distance = generator.uniform(*design.travel) * min(design.size) * np.arange(count) / count
    # Rows grow downwards.
    position = distance[:, None] * np.array([np.cos(direction), -np.sin(direction)])
    mean = generator.uniform(0.45, 0.55, size=3)
    pixels = mean + design.contrast * np.tanh(plane_waves(design.size, position, generator))
    return np.rint(255 * pixels).astype(np.uint8)


def plane_waves(size: tuple[int, int], position: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A random sum of colored plane waves, shifted to each position (T, 2) in pixels: (T, H, W, 3), unit variance.

    Wavelengths are 0.3 to 1.2 of the shorter side: a step of up to 0.15 is less than half of each, so that the motion
    is unambiguous at 8 frames.
    """
    width, height = size
    wavelength = min(size) * np.exp(generator.uniform(np.log(0.3), np.log(1.2), WAVES))
    orientation, phase = generator.uniform(0, 2 * np.pi, (2, WAVES))
    wave = 2 * np.pi / wavelength * np.array([np.cos(orientation), np.sin(orientation)])
    color = generator.normal(size=(3, WAVES))
    color /= np.sqrt((color**2).sum(axis=1, keepdims=True) / 2)
    # cos(a + b) = cos a cos b - sin a sin b, with b for the columns, makes the sum over waves one matrix product.
    rows = (phase - position @ wave)[:, None, :] + np.arange(height)[:, None] * wave[1]
    columns = np.arange(width) * wave[0][:, None]
    left = np.concatenate([np.cos(rows), -np.sin(rows)], axis=2)[:, :, None, :] * np.tile(color, 2)
    return np.moveaxis(left @ np.concatenate([np.cos(columns), np.sin(columns)]), 2, 3)


def encode(videos: Sequence[np.ndarray], paths: Sequence[Path], frame_rate: int) -> None:
    """Write videos, each (T, H, W, 3) uint8 and of one size, as .mp4 (H.264) or .avi (MPEG-4).

    The same frames give the same bytes: one thread per encoder, no version strings. PipelineError names the files
    when ffmpeg fails.
    """
    height, width = videos[0].shape[1:3]
    ends = np.cumsum([len(frames) for frames in videos]).tolist()
    source = ffmpeg.input("pipe:0", format="rawvideo", pix_fmt="rgb24", s=f"{width}x{height}", framerate=frame_rate)
    # All videos are sent through one pipe in sequence; each output trims it to its own video.
    branches = source.video.split()
    outputs = [
        ffmpeg.output(
            branches[number].trim(start_frame=start, end_frame=end).setpts("PTS-STARTPTS"),
            f"file:{path.absolute()}",
            **{"pix_fmt": "yuv420p", "threads": 1, "fflags": "+bitexact", "flags:v": "+bitexact"},
            **ENCODERS[path.suffix],
        )
        for number, (path, start, end) in enumerate(zip(paths, [0, *ends], ends, strict=False))
    ]
    merged = ffmpeg.merge_outputs(*outputs).global_args("-filter_complex_threads", "1").overwrite_output()
    try:
        piped(merged.get_args(), b"".join(frames.tobytes() for frames in videos))
    except PipelineError as error:
        raise PipelineError(f"{', '.join(map(str, paths))} could not be written: {error}") from error
