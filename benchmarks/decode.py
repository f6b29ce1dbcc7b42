"""Decoding speed of the pipeline's decoder and of other ways to the same clips, in one interleaved run.

python benchmarks/decode.py --videos /data/UCF-101 --count 32
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import av.filter
import ffmpeg
import numpy as np

from pipeline_lib.clips.binary import ffmpeg_binary, ffmpeg_version
from pipeline_lib.clips.decode import Decoding
from pipeline_lib.clips.sampling import UniformStride
from pipeline_lib.clips.videos import VideoFiles

SPEC = VideoFiles(size=112, sampling=UniformStride(frames=16))
SCALE = "if(lt(iw,ih),112,trunc(112*iw/ih))", "if(lt(iw,ih),trunc(112*ih/iw),112)"
BASELINE = "ffmpeg-python, one process per video"

Decoder = Callable[[Sequence[Path], int], None]


def ours(paths: Sequence[Path], workers: int) -> None:
    """The pipeline's decoder."""
    for _ in SPEC.decode(paths, Decoding(), workers):
        pass


def process_per_video(paths: Sequence[Path], workers: int) -> None:
    """ffmpeg-python as in its documentation, with the same filters."""

    def decode(path: Path) -> np.ndarray:
        scaled = ffmpeg.input(str(path)).video.filter("scale", *SCALE, flags="bilinear").filter("crop", 112, 112)
        output = scaled.output("pipe:", format="rawvideo", pix_fmt="rgb24", fps_mode="passthrough")
        frames, _ = output.run(cmd=ffmpeg_binary(), capture_stdout=True, capture_stderr=True)
        return chosen(np.frombuffer(frames, np.uint8).reshape(-1, 112, 112, 3))

    in_threads(decode, paths, workers)


def decoding_alone(paths: Sequence[Path], workers: int) -> None:
    """ffmpeg that discards the frames (`-f null`), eight videos per process."""

    def decode(batch: Sequence[Path]) -> None:
        outputs = [ffmpeg.input(str(path), threads=1).video.output("-", format="null") for path in batch]
        ffmpeg.merge_outputs(*outputs).run(cmd=ffmpeg_binary(), capture_stderr=True)

    in_threads(decode, [paths[start : start + 8] for start in range(0, len(paths), 8)], workers)


def pyav(paths: Sequence[Path], workers: int) -> None:
    """PyAV with the same filters, in threads."""

    def decode(path: Path) -> np.ndarray:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            graph = av.filter.Graph()
            steps = [
                graph.add_buffer(template=stream),
                graph.add("scale", f"w='{SCALE[0]}':h='{SCALE[1]}':flags=bilinear"),
                graph.add("format", "rgb24"),
                graph.add("crop", "112:112"),
                graph.add("buffersink"),
            ]
            graph.link_nodes(*steps).configure()
            frames = []
            for frame in container.decode(stream):
                graph.push(frame)
                frames.append(graph.pull().to_ndarray())
        return chosen(np.stack(frames))

    in_threads(decode, paths, workers)


def in_threads(work: Callable, items: Sequence, workers: int) -> None:
    """Call `work` with each item."""
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, items))


def chosen(frames: np.ndarray) -> np.ndarray:
    """A copy of the clip's frames, so that the others can be freed."""
    return frames[SPEC.sampling(len(frames))]


DECODERS: dict[str, Decoder] = {
    BASELINE: process_per_video,
    "this pipeline": ours,
    "PyAV": pyav,
    "ffmpeg -f null": decoding_alone,
}


def render(folder: Path, count: int) -> None:
    """Renders videos in UCF101's format: 320 x 240, 25 frames per second, 7 s, MPEG-4 with B-frames in AVI."""
    for number in range(count):
        source = ffmpeg.input(f"mandelbrot=size=320x240:rate=25:start_scale={1 / (number + 1)}", f="lavfi", t=7)
        output = source.output(str(folder / f"{number}.avi"), vcodec="mpeg4", qscale=5, bf=2, pix_fmt="yuv420p")
        output.run(cmd=ffmpeg_binary(), capture_stderr=True)


def measured(paths: Sequence[Path], workers: int, rounds: int) -> dict[str, list[float]]:
    """Seconds by decoder and round; the first round, which fills the file cache, is not measured."""
    seconds: dict[str, list[float]] = {name: [] for name in DECODERS}
    for number in range(rounds + 1):
        for name, decode in DECODERS.items():
            start = time.perf_counter()
            decode(paths, workers)
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def table(seconds: dict[str, list[float]], videos: int) -> str:
    """Markdown: videos per second, and the factor over the baseline (median of pairs, minimum to maximum)."""
    lines = ["| decoder | videos/s | times the baseline |", "|---|---|---|"]
    for name, times in seconds.items():
        ratios = [base / own for base, own in zip(seconds[BASELINE], times, strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        lines.append(f"| {name} | {videos / statistics.median(times):.1f} | {spread} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table for a folder of videos, or for rendered ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, help="a folder of videos, searched through (default: rendered ones)")
    parser.add_argument("--count", type=int, default=32, help="how many of them")
    parser.add_argument("--workers", type=int, default=2, help="ffmpeg processes or threads at a time")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.videos is None:
            render(Path(folder), arguments.count)
        found = sorted(path for path in (arguments.videos or Path(folder)).rglob("*") if path.is_file())
        paths = found[:: max(1, len(found) // arguments.count)][: arguments.count]
        print(f"{len(paths)} videos, {arguments.workers} workers, ffmpeg {ffmpeg_version()}\n")
        print(table(measured(paths, arguments.workers, arguments.rounds), len(paths)))


if __name__ == "__main__":
    main()
