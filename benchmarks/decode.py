"""Decoding speed of the pipeline's decoder and of other ways to the same clips, in one interleaved run.

python benchmarks/decode.py --videos /data/UCF-101 --count 32

torchcodec is measured where it can be imported: it needs ffmpeg's shared libraries, which --libraries makes of those in
PyAV's wheel; run again with the LD_LIBRARY_PATH that it prints.

python benchmarks/decode.py --listed 13320

measures instead what a list of so many files costs before decoding: the check of each, and their facts while planning.
"""

import argparse
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import av
import av.filter
import ffmpeg
import numpy as np

from pipeline_lib.clips.decode import Decoding
from pipeline_lib.clips.readable import require_present
from pipeline_lib.clips.sampling import UniformStride
from pipeline_lib.clips.videos import VideoFiles
from pipeline_lib.ffmpeg_binary import ffmpeg_binary, ffmpeg_version
from pipeline_lib.provenance.file_facts import listed_facts

SPEC = VideoFiles(size=112, sampling=UniformStride(frames=16))
SCALE = "if(lt(iw,ih),112,trunc(112*iw/ih))", "if(lt(iw,ih),trunc(112*ih/iw),112)"
BASELINE = "ffmpeg-python, one process per video"

Decoder = Callable[[Sequence[Path], int], list[np.ndarray]]


def ours(paths: Sequence[Path], workers: int) -> list[np.ndarray]:
    """The pipeline's decoder."""
    return [clip.frames for clip in SPEC.decode(paths, Decoding(), workers)]


def process_per_video(paths: Sequence[Path], workers: int) -> list[np.ndarray]:
    """ffmpeg-python as in its documentation, with the same filters."""

    def decode(path: Path) -> np.ndarray:
        scaled = ffmpeg.input(str(path)).video.filter("scale", *SCALE, flags="bilinear").filter("crop", 112, 112)
        output = scaled.output("pipe:", format="rawvideo", pix_fmt="rgb24", fps_mode="passthrough")
        frames, _ = output.run(cmd=ffmpeg_binary(), capture_stdout=True, capture_stderr=True)
        return chosen(np.frombuffer(frames, np.uint8).reshape(-1, 112, 112, 3))

    return in_threads(decode, paths, workers)


def decoding_alone(paths: Sequence[Path], workers: int) -> list[np.ndarray]:
    """ffmpeg that discards the frames (`-f null`), eight videos per process."""

    def decode(batch: Sequence[Path]) -> None:
        outputs = [ffmpeg.input(str(path), threads=1).video.output("-", format="null") for path in batch]
        ffmpeg.merge_outputs(*outputs).run(cmd=ffmpeg_binary(), capture_stderr=True)

    in_threads(decode, [paths[start : start + 8] for start in range(0, len(paths), 8)], workers)
    return []


def pyav(paths: Sequence[Path], workers: int) -> list[np.ndarray]:
    """PyAV with the same filters on the chosen frames only, in threads."""

    def decode(path: Path) -> np.ndarray:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            graph = av.filter.Graph()
            steps = [
                graph.add_buffer(template=stream),
                graph.add("scale", f"w='{SCALE[0]}':h='{SCALE[1]}':flags=bilinear"),
                graph.add("format", "gbrp"),
                graph.add("crop", "112:112"),
                graph.add("buffersink"),
            ]
            graph.link_nodes(*steps).configure()
            frames, pixels = list(container.decode(stream)), []
            for number in SPEC.sampling(len(frames)):
                graph.push(frames[number])
                pixels.append(graph.pull().to_ndarray())
        return np.stack(pixels)

    return in_threads(decode, paths, workers)


def torchcodec(paths: Sequence[Path], workers: int) -> list[np.ndarray]:
    """torchcodec in exact mode with its own transforms, in threads."""
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import CenterCrop, Resize

    def decode(path: Path) -> np.ndarray:
        header = VideoDecoder(str(path), num_ffmpeg_threads=1).metadata
        high, wide = header.height or 0, header.width or 0
        size = (112 * high // min(high, wide), 112 * wide // min(high, wide))
        steps = [Resize(size), CenterCrop((112, 112))]
        decoder = VideoDecoder(str(path), num_ffmpeg_threads=1, dimension_order="NHWC", transforms=steps)
        return decoder.get_frames_at(SPEC.sampling(len(decoder)).tolist()).data.numpy()

    return in_threads(decode, paths, workers)


def in_threads(work: Callable, items: Sequence, workers: int) -> list:
    """The results of `work` for each item."""
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, items))


def chosen(frames: np.ndarray) -> np.ndarray:
    """A copy of the clip's frames, so that the others can be freed."""
    return frames[SPEC.sampling(len(frames))]


DECODERS: dict[str, Decoder] = {
    BASELINE: process_per_video,
    "this pipeline": ours,
    "PyAV": pyav,
    "torchcodec": torchcodec,
    "ffmpeg -f null": decoding_alone,
}


def usable() -> dict[str, Decoder]:
    """The decoders that can be imported."""
    try:
        import_module("torchcodec.decoders")
    except (ImportError, RuntimeError) as error:
        print(f"torchcodec is left out: {str(error).strip().splitlines()[0]}\n")
        return {name: decoder for name, decoder in DECODERS.items() if name != "torchcodec"}
    return DECODERS


def shared_libraries(folder: Path) -> None:
    """Links the libraries in PyAV's wheel under their usual names, and prints the path to set."""
    folder.mkdir(parents=True, exist_ok=True)
    own = Path(av.__file__).parents[1] / "av.libs"
    for library in own.glob("lib*-*.so.*"):
        name = re.sub(r"-[0-9a-f]+(\.so\.\d+).*", r"\1", library.name)
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(library)
    print(f"LD_LIBRARY_PATH={folder.absolute()}:{own}")


def render(folder: Path, count: int) -> None:
    """Renders videos in UCF101's format: 320 x 240, 25 frames per second, 7 s, MPEG-4 with B-frames in AVI."""
    for number in range(count):
        source = ffmpeg.input(f"mandelbrot=size=320x240:rate=25:start_scale={1 / (number + 1)}", f="lavfi", t=7)
        output = source.output(str(folder / f"{number}.avi"), vcodec="mpeg4", qscale=5, bf=2, pix_fmt="yuv420p")
        output.run(cmd=ffmpeg_binary(), capture_stderr=True)


def measured(paths: Sequence[Path], workers: int, rounds: int) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Seconds by decoder and round, and what the pixels differ by from the pipeline's; the first round, which fills
    the file cache, is not measured."""
    decoders = usable()
    clips = {name: decode(paths, workers) for name, decode in decoders.items()}
    pixels = {name: difference(own, clips["this pipeline"]) for name, own in clips.items()}
    seconds: dict[str, list[float]] = {name: [] for name in decoders}
    for _ in range(rounds):
        for name, decode in decoders.items():
            start = time.perf_counter()
            decode(paths, workers)
            seconds[name].append(time.perf_counter() - start)
    return seconds, pixels


def difference(own: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> str:
    """Videos with other pixels, and the largest difference of each sample on average over these."""
    if not own:
        return ""
    gaps = [np.abs(one.astype(int) - other) for one, other in zip(own, expected, strict=True)]
    other = [gap for gap in gaps if gap.max()]
    mean = statistics.mean(float(gap.mean()) for gap in other) if other else 0.0
    return f"{len(other)} of {len(gaps)} videos differ, by {mean:.2g} levels on average" if other else "equal"


def table(seconds: dict[str, list[float]], pixels: dict[str, str], videos: int) -> str:
    """Markdown: videos per second, and the factor over the baseline (median of pairs, minimum to maximum)."""
    lines = ["| decoder | videos/s | times the baseline | pixels |", "|---|---|---|---|"]
    for name, times in seconds.items():
        ratios = [base / own for base, own in zip(seconds[BASELINE], times, strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        lines.append(f"| {name} | {videos / statistics.median(times):.1f} | {spread} | {pixels[name]} |")
    return "\n".join(lines)


def listed(count: int, folder: Path) -> str:
    """CPU seconds for a list of small files in 101 folders: checked (kind, size, permission), and facts, twice."""
    names = [f"{number % 101:03}/{number}.avi" for number in range(count)]
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"RIFF")
    lines = [f"{count} listed files, CPU seconds:"]
    works = {
        "checked": lambda: require_present(names, folder, "train"),
        "facts of unknown files, which are read": lambda: listed_facts(folder, names),
        "of known ones": lambda: listed_facts(folder, names),
    }
    for name, work in works.items():
        start = time.process_time()
        work()
        lines.append(f"{name} {time.process_time() - start:.2f}")
    return " ".join(lines)


def main() -> None:
    """Print the table for a folder of videos, or for rendered ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, help="a folder of videos, searched through (default: rendered ones)")
    parser.add_argument("--count", type=int, default=32, help="how many of them")
    parser.add_argument("--workers", type=int, default=2, help="ffmpeg processes or threads at a time")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--libraries", type=Path, help="link PyAV's libraries for torchcodec in this folder, and end")
    parser.add_argument("--listed", type=int, help="what a list of so many files costs, and end")
    arguments = parser.parse_args()
    if arguments.libraries is not None:
        return shared_libraries(arguments.libraries)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.listed is not None:
            return print(listed(arguments.listed, Path(folder)))
        if arguments.videos is None:
            render(Path(folder), arguments.count)
        found = sorted(path for path in (arguments.videos or Path(folder)).rglob("*") if path.is_file())
        paths = found[:: max(1, len(found) // arguments.count)][: arguments.count]
        print(f"{len(paths)} videos, {arguments.workers} workers, ffmpeg {ffmpeg_version()}\n")
        print(table(*measured(paths, arguments.workers, arguments.rounds), len(paths)))
    return None


if __name__ == "__main__":
    main()
