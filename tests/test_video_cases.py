"""Videos that were decoded wrongly, or blamed wrongly: each stands for its kind, and is built here."""

import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline_lib.clips.decode import Decoding, Part
from pipeline_lib.clips.sampling import Linspace, UniformStride
from pipeline_lib.clips.status import Status
from pipeline_lib.clips.videos import VideoFiles
from pipeline_lib.errors import PipelineError
from pipeline_lib.ffmpeg_binary import ffmpeg_binary
from videos import B_FRAMES, H264, SPEC, decode, encode, every_frame

FRAGMENTED = "frag_keyframe+empty_moov+default_base_moof"


def ffmpeg(*arguments: str | Path) -> None:
    subprocess.run([ffmpeg_binary(), "-v", "error", "-y", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("base") / "base.mp4", *H264, frames=60, size="160x120")


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, name) + content


def boxes(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of the boxes on the highest level."""
    place = 0
    while place + 8 <= len(content):
        size, name = struct.unpack_from(">I4s", content, place)
        yield name, place, place + size
        place += size


def judged(path: Path, **decoding: object) -> tuple[str, str]:
    [clip] = decode(path, **decoding)  # type: ignore[arg-type]
    return clip.status.name, clip.message


@pytest.mark.parametrize("first", [True, False])
def test_the_cover_of_an_mp4_is_not_its_video(tmp_path: Path, base: Path, first: bool) -> None:
    """ffmpeg numbers a cover by where its tag is: before the tracks it is stream 0."""
    ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", "1", tmp_path / "cover.png")
    image = box(b"data", struct.pack(">II", 14, 0) + (tmp_path / "cover.png").read_bytes())
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    tag = box(b"udta", box(b"meta", bytes(4) + handler + box(b"ilst", box(b"covr", image))))
    content = base.read_bytes()  # its index is at the end, so that no offset changes
    start, end = next((start, end) for name, start, end in boxes(content) if name == b"moov")
    inside = content[start + 8 : end].replace(b"udta", b"free")
    header = struct.unpack_from(">I", inside)[0]
    inside = inside[:header] + tag + inside[header:] if first else inside + tag
    (tmp_path / "c.mp4").write_bytes(content[:start] + box(b"moov", inside) + content[end:])
    [clip] = decode(tmp_path / "c.mp4")
    assert clip.status is Status.OK
    assert (clip.frames == decode(base)[0].frames).all()


@pytest.mark.parametrize("default", [0, 1])
def test_a_thumbnail_stream_is_not_the_main_one(
    tmp_path: Path, base: Path, default: int, caplog: pytest.LogCaptureFixture
) -> None:
    small = encode(tmp_path / "small.mp4", *H264, frames=2, size="16x16")
    arguments = ["-map", "0", "-map", "1", "-c", "copy", "-disposition:0", "0", "-disposition:1", "0"]
    ffmpeg("-i", small, "-i", base, *arguments, f"-disposition:{default}", "default", tmp_path / "two.mkv")
    with caplog.at_level("INFO", "pipeline_lib"):
        [clip] = decode(tmp_path / "two.mkv")
    assert (clip.frames == decode(base)[0].frames).all()
    assert "two.mkv: of 2 video streams (0: 16 x 16, 2 packets; 1: 160 x 120, 60 packets) stream 1" in caplog.text


@pytest.mark.parametrize(
    ("sizes", "frames", "default", "chosen"),
    [
        (("160x120", "120x90"), (30, 30), 1, 1),  # several angles: the default
        (("120x90", "160x120"), (30, 30), None, 1),  # the larger
        (("160x120", "160x120"), (20, 30), None, 1),  # the longer
        (("160x120", "160x120"), (30, 30), None, 0),  # the first
    ],
)
def test_the_main_stream_is_the_default_then_the_largest_then_the_longest(
    tmp_path: Path, sizes: tuple[str, str], frames: tuple[int, int], default: int | None, chosen: int
) -> None:
    parts = [
        encode(tmp_path / f"{number}.mkv", *H264, "-vf", f"hue=h={90 * number}", frames=length, size=size)
        for number, (size, length) in enumerate(zip(sizes, frames, strict=True))
    ]
    marks = ["-disposition:0", "0", "-disposition:1", "0"]
    marks += [] if default is None else [f"-disposition:{default}", "default"]
    inputs = [word for part in parts for word in ("-i", part)]
    ffmpeg(*inputs, "-map", "0", "-map", "1", "-c", "copy", "-default_mode", "passthrough", *marks, tmp_path / "a.mkv")
    [clip] = decode(tmp_path / "a.mkv")
    assert (clip.status, clip.message) == (Status.OK, "")
    assert (clip.frames == decode(parts[chosen])[0].frames).all()


@pytest.fixture(
    scope="module", params=[FRAGMENTED, f"{FRAGMENTED}+dash+global_sidx", f"{FRAGMENTED}+dash", "frag_keyframe"]
)
def fragmented(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fragments") / "whole.mp4"
    return encode(path, "-c:v", "libx264", "-g", "10", "-movflags", request.param, frames=100)


def test_a_whole_fragmented_mp4_is_ok(fragmented: Path) -> None:
    assert judged(fragmented) == ("OK", "")


@pytest.mark.parametrize("fragments", [1, 5, 8])
def test_a_fragmented_mp4_cut_before_a_fragment_is_truncated(fragmented: Path, tmp_path: Path, fragments: int) -> None:
    content = fragmented.read_bytes()
    starts = [start for name, start, _ in boxes(content) if name == b"moof"]
    (tmp_path / "cut.mp4").write_bytes(content[: starts[fragments]])
    assert judged(tmp_path / "cut.mp4")[0] == "TRUNCATED"


@pytest.mark.parametrize("numbers", [(3, 4), (2, 9)])
def test_a_fragmented_mp4_with_a_hole_is_truncated(fragmented: Path, tmp_path: Path, numbers: tuple[int, int]) -> None:
    content = fragmented.read_bytes()
    starts = [start for name, start, _ in boxes(content) if name == b"moof"]
    start, end = (starts[number - 1] for number in numbers)
    (tmp_path / "hole.mp4").write_bytes(content[:start] + content[end:])
    status, message = judged(tmp_path / "hole.mp4")
    if status != "DAMAGED":  # without default_base_moof, later fragments point to other bytes
        assert status == "TRUNCATED"
        assert " is followed by fragment " in message or "bytes are missing" in message


def test_a_hole_with_consecutive_numbers_is_found_by_the_times(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", "-c:v", "libx264", "-g", "10", "-movflags", FRAGMENTED, frames=100)
    content = bytearray(path.read_bytes())
    starts = [start for name, start, _ in boxes(content) if name == b"moof"]
    del content[starts[3] : starts[5]]
    for number, start in enumerate([start for name, start, _ in boxes(content) if name == b"moof"], start=1):
        struct.pack_into(">I", content, start + 20, number)
    path.write_bytes(content)
    status, message = judged(path)
    assert (status, "the fragments of track 1 have a gap" in message) == ("TRUNCATED", True)


@pytest.fixture(scope="module")
def with_empty_chunks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "x.avi"
    source = ["-f", "lavfi", "-i", "mandelbrot=s=160x120:r=25", "-frames:v", "60"]
    select = "select='not(eq(mod(n,4),1))*not(eq(mod(n,4),2))',settb=1/25"
    ffmpeg(*source, "-vf", select, "-fps_mode", "passthrough", "-c:v", "mpeg4", "-q:v", "3", path)
    return path


def test_an_avi_with_empty_chunks_is_whole(with_empty_chunks: Path) -> None:
    [clip] = decode(with_empty_chunks, spec=VideoFiles(size=32, sampling=Linspace(frames=2)))
    assert struct.unpack_from("<I", with_empty_chunks.read_bytes(), 48)[0] > 110
    assert (clip.status, clip.index.tolist()) == (Status.OK, [0, 59])


@pytest.mark.parametrize("packets", [3, 60, 117])
def test_an_avi_with_empty_chunks_cut_between_packets_is_truncated(
    with_empty_chunks: Path, tmp_path: Path, packets: int
) -> None:
    assert judged(cut_after(with_empty_chunks, packets, tmp_path / "cut.avi"))[0] == "TRUNCATED"


def cut_after(path: Path, packets: int, out: Path) -> Path:
    content = path.read_bytes()
    place = content.index(b"movi") + 4
    for _ in range(packets):
        (size,) = struct.unpack_from("<I", content, place + 4)
        place += 8 + size + size % 2
    out.write_bytes(content[:place])
    return out


def test_an_avi_that_lacks_one_packet_is_truncated(tmp_path: Path) -> None:
    """By the size of its list: the header's number of frames has a tolerance."""
    path = cut_after(encode(tmp_path / "a.avi", *B_FRAMES), 40, tmp_path / "cut.avi")
    assert judged(path)[0] == "TRUNCATED"


@pytest.mark.parametrize("codec", ["mpeg1video", "mpeg2video"])
@pytest.mark.parametrize("lacking", [3000, 5000, 9000])
def test_a_program_stream_cut_near_its_end_is_not_whole(tmp_path: Path, codec: str, lacking: int) -> None:
    content = encode(tmp_path / "whole.mpg", "-c:v", codec, "-bf", "2", size="160x120").read_bytes()
    (tmp_path / "cut.mpg").write_bytes(content[:-lacking])
    assert judged(tmp_path / "whole.mpg") == ("OK", "")
    assert judged(tmp_path / "cut.mpg")[0] in ("TRUNCATED", "DAMAGED")


def test_a_program_stream_that_ends_inside_a_packet_says_what_is_missing(tmp_path: Path) -> None:
    """The decoder does not complain of a codec with whole pictures in each packet."""
    content = bytearray(encode(tmp_path / "whole.mpg", "-c:v", "mpeg1video").read_bytes())
    content += b"\0\0\1\xe0" + struct.pack(">H", 500) + b"\x0f" + bytes(99)
    (tmp_path / "cut.mpg").write_bytes(content)
    status, message = judged(tmp_path / "cut.mpg")
    assert status in ("TRUNCATED", "DAMAGED")
    assert "400 bytes of the last packet are missing" in message or status == "DAMAGED"


@pytest.mark.parametrize("container", ["mp4", "mkv"])
@pytest.mark.parametrize("start", [0.5, 1.0])
def test_an_open_gop_cut_by_copying_is_not_damaged(tmp_path: Path, container: str, start: float) -> None:
    options = ["-bf", "3", "-x264-params", "open-gop=1:b-pyramid=normal"]
    whole = encode(tmp_path / "whole.mp4", *H264, *options, frames=60, size="160x120")
    ffmpeg("-ss", start, "-i", whole, "-c", "copy", tmp_path / f"cut.{container}")
    [clip] = decode(tmp_path / f"cut.{container}")
    assert clip.status is Status.COMPLAINED
    assert clip.message == "[h264] mmco: unref short failure"
    assert (clip.frames == every_frame(tmp_path / f"cut.{container}", 32)[clip.index]).all()


@pytest.mark.parametrize("codec", ["libmp3lame", "aac", "ac3", "mp2"])
def test_damage_of_the_sound_is_no_damage_of_the_clip(tmp_path: Path, codec: str) -> None:
    path = encode(tmp_path / "a.avi", "-f", "lavfi", "-i", "sine=d=3", *B_FRAMES, "-c:a", codec)
    whole, content = decode(path)[0], bytearray(path.read_bytes())
    place, random = content.index(b"movi") + 4, np.random.default_rng(0)
    while content[place : place + 4] != b"idx1":
        size = struct.unpack_from("<I", content, place + 4)[0]
        if content[place : place + 4] == b"01wb":
            content[place + 8 : place + 8 + size] = random.bytes(size)
        place += 8 + size + size % 2
    path.write_bytes(content)
    [clip] = decode(path)
    assert (clip.status, clip.message) == (Status.OK, "")
    assert (clip.frames == whole.frames).all()


def test_a_batch_with_an_odd_file_is_decoded_twice_at_most(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline_lib.clips import exact

    damaged = tmp_path / "damaged.mp4"
    content = bytearray(base.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 300] = bytes(300)
    damaged.write_bytes(content)
    decoded: list[Path] = []

    def counting(requests: list, *rest: object) -> object:
        decoded.extend(request.path for request in requests)
        return run(requests, *rest)

    run = exact.run_ffmpeg
    monkeypatch.setattr(exact, "run_ffmpeg", counting)
    clips = decode(base, damaged, base, base)
    assert [clip.status.name for clip in clips] == ["OK", "DAMAGED", "OK", "OK"]
    assert decoded.count(base) == 2 * 3


def test_a_change_of_the_frame_size_keeps_the_aspect(tmp_path: Path) -> None:
    """A square stays square in both halves; stretched, it would be wider or higher by 16 / 9."""
    parts = [tmp_path / "wide.h264", tmp_path / "high.h264"]
    for path, size in zip(parts, ("160x120", "120x160"), strict=True):
        square = "drawbox=x=iw/2-30:y=ih/2-30:w=60:h=60:color=white:t=fill"
        ffmpeg("-f", "lavfi", "-i", f"color=black:s={size}:r=25", "-vf", square, "-frames:v", "30", *H264, path)
    both = tmp_path / "both.h264"
    both.write_bytes(b"".join(path.read_bytes() for path in parts))
    ffmpeg("-i", both, "-c", "copy", "-bsf:v", "setts=pts=N*40:dts=N*40:time_base=1/1000", tmp_path / "both.mkv")
    [clip] = decode(tmp_path / "both.mkv", tmp_path / "both.mkv")[:1]
    assert clip.status in (Status.OK, Status.COMPLAINED)
    assert clip.index.tolist() == UniformStride(frames=8)(60).tolist()
    for frame in clip.frames:
        white = np.argwhere(frame[..., 0] > 127)
        assert np.ptp(white, axis=0).tolist() == [15, 15]


@pytest.mark.parametrize(("aspect", "ratio"), [("stored", 1.0), ("square", 32 / 27)])
def test_pixels_that_are_not_square(tmp_path: Path, aspect: str, ratio: float) -> None:
    square = "drawbox=x=310:y=190:w=100:h=100:color=white:t=fill,setsar=32/27"
    ffmpeg("-f", "lavfi", "-i", "color=black:s=720x480:r=25", "-vf", square, "-frames:v", 8, *H264, tmp_path / "a.mkv")
    spec = VideoFiles(size=240, sampling=UniformStride(frames=8), pixel_aspect=aspect)  # type: ignore[arg-type]
    [clip] = decode(tmp_path / "a.mkv", spec=spec)
    high, wide = np.ptp(np.argwhere(clip.frames[0, ..., 0] > 127), axis=0) + 1
    assert wide / high == pytest.approx(ratio, abs=0.03)


def test_the_aspect_of_pixels_changes_the_store_only_when_it_is_given() -> None:
    assert "pixel_aspect" not in SPEC.described()
    assert VideoFiles(size=8, sampling=SPEC.sampling, pixel_aspect="square").described()["pixel_aspect"] == "square"


CONTAINERS = {
    "a.flv": ("flv", ["-c:v", "flv1"]),
    "a.ts": ("mpegts", [*H264]),
    "a.wmv": ("asf", ["-c:v", "wmv2"]),
    "a.m2v": ("mpegvideo", ["-c:v", "mpeg2video"]),
    "a.gif": ("gif", []),
    "a.ogv": ("ogg", ["-c:v", "libtheora"]),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_is_added_by_its_name(tmp_path: Path, name: str) -> None:
    container, options = CONTAINERS[name]
    path = encode(tmp_path / name, *options)
    status, message = judged(path)
    assert (status, "`decoding.containers` adds others" in message) == ("FAILED", True)
    [clip] = decode(path, spec=VideoFiles(size=32, sampling=Linspace(frames=2)), containers=[container])  # type: ignore[arg-type]
    assert (clip.status.name, clip.index.tolist()) == ("OK", [0, 40])


def test_playlists_cannot_be_added() -> None:
    with pytest.raises(PipelineError, match=r"containers: concat, hls cannot be added. Known: asf \(.wmv .asf\)"):
        Decoding(containers=["hls", "concat"])


def test_an_interval_is_a_part_of_the_video(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", *H264, frames=50)
    frames = every_frame(path, 32)
    parts = [Part(path), Part(path, 0.4, 1.2), Part(path, 1.0), Part(path, None, 0.5), Part(path, 9.0, 10.0)]
    whole, middle, end, start, none = SPEC.decode_parts(parts, Decoding(), 1)
    assert (whole.frames == frames[whole.index]).all()
    assert (middle.frames == frames[10:30][middle.index]).all()
    assert middle.index.tolist() == UniformStride(frames=8)(20).tolist()
    assert (end.frames == frames[25:][end.index]).all()
    assert (start.frames == frames[:13][start.index]).all()
    assert (none.status, none.message) == (Status.FAILED, "no frames between 9 s and 10 s")
    assert {clip.status for clip in (whole, middle, end, start)} == {Status.OK}
