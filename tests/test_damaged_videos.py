import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from hostile_videos import unbounded, with_wide_size
from pipeline_lib.clips.status import Status
from pipeline_lib.clips.wholeness import bytes_cut_off, frames_in_header
from pipeline_lib.ffmpeg_binary import ffmpeg_binary
from videos import B_FRAMES, decode, encode, every_frame


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("videos") / "good.avi", *B_FRAMES)


def with_header_count(path: Path, count: int, out: Path) -> Path:
    content = bytearray(path.read_bytes())
    assert frames_in_header(path) == struct.unpack_from("<I", content, 48)[0] == 41
    struct.pack_into("<I", content, 48, count)
    out.write_bytes(content)
    return out


@pytest.mark.parametrize(
    ("count", "status"), [(0, "OK"), (5, "OK"), (42, "OK"), (90, "TRUNCATED"), (2**32 - 1, "TRUNCATED")]
)
def test_a_header_that_lies_changes_no_frame(good: Path, tmp_path: Path, count: int, status: str) -> None:
    [clip] = decode(with_header_count(good, count, tmp_path / "lie.avi"))
    assert clip.status is Status[status]
    assert (clip.frames == decode(good)[0].frames).all()


def cut_between_packets(path: Path, out: Path) -> Path:
    """An AVI file without the chunks after its twentieth packet: nothing in it is malformed."""
    content = path.read_bytes()
    position = content.index(b"movi") + 4
    for _ in range(20):
        (size,) = struct.unpack_from("<I", content, position + 4)
        position += 8 + size + size % 2
    out.write_bytes(content[:position])
    return out


def flipped(path: Path, out: Path) -> Path:
    """The file with bits changed all over its packets."""
    content = bytearray(path.read_bytes())
    start = content.index(b"movi") + 200
    for place in np.random.default_rng(0).integers(start, len(content) - 2000, 60):
        content[place] ^= 0x55
    out.write_bytes(content)
    return out


def playlist(path: Path, out: Path) -> Path:
    out.write_text(f"ffconcat version 1.0\nfile '{path.name}'\n")
    (out.parent / path.name).write_bytes(path.read_bytes())
    return out


def stream_list(path: Path, out: Path) -> Path:
    out.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{path.absolute()}\n#EXT-X-ENDLIST\n")
    return out


def without_frames(path: Path, out: Path) -> Path:
    content = path.read_bytes()
    out.write_bytes(content[: content.index(b"movi") + 4])
    return out


def enormous(path: Path, out: Path) -> Path:
    return encode(out, "-vf", "scale=6000:5000", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", frames=1)


def text(path: Path, out: Path) -> Path:
    out.write_text("This is no video.\n" * 100)
    return out


def empty(path: Path, out: Path) -> Path:
    out.touch()
    return out


def missing(path: Path, out: Path) -> Path:
    return out


def folder(path: Path, out: Path) -> Path:
    out.mkdir()
    return out


def named_pipe(path: Path, out: Path) -> Path:
    os.mkfifo(out)
    return out


def sound_only(path: Path, out: Path) -> Path:
    command = [ffmpeg_binary(), "-v", "error", "-f", "lavfi", "-i", "sine=d=1", str(out)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return out


BROKEN: list[tuple[Callable[[Path, Path], Path], Status, str]] = [
    (cut_between_packets, Status.TRUNCATED, "the header states 41"),
    (flipped, Status.DAMAGED, "."),
    (playlist, Status.FAILED, "."),
    (stream_list, Status.FAILED, "."),
    (without_frames, Status.FAILED, "."),
    (enormous, Status.FAILED, "."),
    (text, Status.FAILED, "Invalid data"),
    (empty, Status.FAILED, "."),
    (missing, Status.FAILED, "does not exist"),
    (folder, Status.FAILED, "not a regular file"),
    (named_pipe, Status.FAILED, "not a regular file"),
    (sound_only, Status.FAILED, "."),
]


@pytest.mark.parametrize(("make", "status", "message"), BROKEN, ids=[row[0].__name__ for row in BROKEN])
def test_blame_falls_on_the_broken_file_alone(
    good: Path, tmp_path: Path, make: Callable, status: Status, message: str
) -> None:
    clips = decode(good, make(good, tmp_path / "broken.avi"), good)
    assert [clip.status for clip in clips] == [Status.OK, status, Status.OK]
    assert message.strip(".") in clips[1].message
    assert clips[1].message
    assert (clips[0].frames == clips[2].frames).all()
    assert (clips[0].frames == decode(good)[0].frames).all()
    if status is Status.FAILED:
        assert clips[1].frames.shape == clips[0].frames.shape
        assert clips[1].frames.max() == 0
        assert set(clips[1].index) == {-1}


@pytest.mark.parametrize("make", [flipped, text, sound_only])
def test_messages_are_the_same_in_every_folder_and_run(good: Path, tmp_path: Path, make: Callable) -> None:
    messages = set()
    for name in ("one", "an other"):
        (tmp_path / name).mkdir()
        path = make(good, tmp_path / name / "broken.avi")
        messages |= {clip.message for clip in decode(path, path, good, path, workers=3, videos_per_process=2)}
    assert len(messages - {""}) == 1


def test_a_truncated_video_keeps_its_frames(good: Path, tmp_path: Path) -> None:
    path = cut_between_packets(good, tmp_path / "cut.avi")
    [clip] = decode(path)
    assert (clip.frames == every_frame(path, 32)[clip.index]).all()


@pytest.fixture(scope="module")
def streamable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MP4 file whose index lies in front of its packets."""
    path = tmp_path_factory.mktemp("streamable") / "whole.mp4"
    return encode(path, "-c:v", "libx264", "-movflags", "+faststart")


def packet_20(path: Path) -> int:
    """The place of the twenty-first video packet in a file."""
    with av.open(str(path)) as container:
        place = [packet for packet in container.demux(video=0) if packet.size][20].pos
    assert place is not None
    return place


@pytest.mark.parametrize(("into_the_packet", "status"), [(0, Status.TRUNCATED), (100, Status.DAMAGED)])
def test_a_cut_mp4_with_its_index_in_front(
    streamable: Path, tmp_path: Path, into_the_packet: int, status: Status
) -> None:
    """ffmpeg 5.1 reports some packets after the end as errors, in some runs more than in others."""
    place, content, cut = packet_20(streamable), streamable.read_bytes(), tmp_path / "cut.mp4"
    cut.write_bytes(content[: place + into_the_packet])
    assert [clip.status for clip in decode(cut)] == [status]
    clips = decode(streamable, cut, streamable)
    assert [clip.status for clip in clips] == [Status.OK, status, Status.OK]
    if status is Status.TRUNCATED:
        assert clips[1].message == f"20 frames, but {len(content) - place} bytes are missing at the end of the file"


@pytest.mark.parametrize("into_the_packet", [0, 5])
def test_a_cut_mp4_without_any_frame_says_what_is_missing(
    streamable: Path, tmp_path: Path, into_the_packet: int
) -> None:
    content, cut = streamable.read_bytes(), tmp_path / "cut.mp4"
    with av.open(str(streamable)) as container:
        kept = min(packet.pos for packet in container.demux(video=0) if packet.size) + into_the_packet
    cut.write_bytes(content[:kept])
    expected = f"no frames: {len(content) - kept} bytes are missing at the end of the file"
    for clip in (decode(cut)[0], decode(streamable, cut, streamable)[1]):
        assert (clip.status, clip.message) == (Status.FAILED, expected)


def same(content: bytes) -> bytes:
    return content


def followed_by_junk(content: bytes) -> bytes:
    return content + b"junk of another program"


@pytest.mark.parametrize("change", [same, with_wide_size, unbounded, followed_by_junk])
def test_a_whole_mp4_however_its_sizes_are_written(streamable: Path, tmp_path: Path, change: Callable) -> None:
    path = tmp_path / "whole.mp4"
    path.write_bytes(change(streamable.read_bytes()))
    [clip] = decode(path)
    assert (clip.status, clip.message) == (Status.OK, "")
    assert (clip.frames == decode(streamable)[0].frames).all()


def test_the_64_bit_size_of_a_cut_mp4_is_understood(streamable: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(with_wide_size(streamable.read_bytes())[:-7])
    assert bytes_cut_off(path) == 7


@pytest.mark.parametrize("layout", ["+faststart", "+frag_keyframe+empty_moov", "+write_colr"])
def test_whole_files_lack_nothing(tmp_path: Path, layout: str) -> None:
    path = encode(tmp_path / "whole.mp4", "-c:v", "libx264", "-g", "10", "-movflags", layout)
    assert bytes_cut_off(path) == 0
    assert decode(path)[0].status is Status.OK


def test_a_truncated_mp4_fails_or_is_damaged(tmp_path: Path) -> None:
    content = encode(tmp_path / "whole.mp4", "-c:v", "libx264").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    assert decode(tmp_path / "cut.mp4")[0].status in (Status.FAILED, Status.DAMAGED)
