"""Video files that are whole, cut, damaged, or no videos at all, each with the status that it has to have."""

import os
import re
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from videos import B_FRAMES, encode

X264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "2", "-g", "10")
SOUND = ("-f", "lavfi", "-i", "sine=d=2", *B_FRAMES, "-c:a", "pcm_s16le")
FRAGMENTS = ("-movflags", "frag_keyframe+empty_moov+default_base_moof")
# The files that the others are made of: name -> options of the encoder.
BASES: dict[str, tuple[str, ...]] = {
    "packed.avi": tuple(B_FRAMES),
    "sound.avi": SOUND,
    "motion.avi": ("-c:v", "mjpeg", "-pix_fmt", "yuvj422p"),
    "end.mp4": X264,
    "front.mp4": (*X264, "-movflags", "+faststart"),
    "fragments.mp4": (*X264, *FRAGMENTS),
    "dash.mp4": (*X264, "-movflags", "frag_keyframe+empty_moov+default_base_moof+dash+global_sidx"),
    "h264.mkv": X264,
    "vp8.webm": ("-c:v", "libvpx", "-b:v", "300k"),
    "first.mpg": ("-c:v", "mpeg1video"),
    "flash.flv": ("-c:v", "flv1"),
    "transport.ts": X264,
    "windows.wmv": ("-c:v", "wmv2"),
    "theora.ogv": ("-c:v", "libtheora"),
    "raw.y4m": ("-c:v", "wrapped_avframe", "-pix_fmt", "yuv420p"),
}
Make = Callable[[Path, Path], object]
Change = Callable[[bytes], bytes]


class Hostile(NamedTuple):
    """A file: how it is made at a path (from the base files in a folder), and the status that is right."""

    name: str
    make: Make
    status: str


def of(base: str, change: Change = bytes) -> Make:
    """A base file with changed bytes."""
    return lambda path, bases: path.write_bytes(change((bases / base).read_bytes()))


def cut(keep: float) -> Change:
    return lambda content: content[: int(len(content) * keep)]


def without_last(count: int) -> Change:
    return lambda content: content[:-count]


def before(mark: bytes, number: int = 0) -> Change:
    """Everything before an MP4 file's box of this name; `number` of them are kept."""
    return lambda content: content[: [found.start() for found in re.finditer(re.escape(mark), content)][number] - 4]


def zeros(start: float, count: int) -> Change:
    return lambda content: content[: (at := int(len(content) * start))] + bytes(count) + content[at + count :]


def flipped(content: bytes) -> bytes:
    """Sixty bytes of the packets changed."""
    changed, start = bytearray(content), content.find(b"movi") + 200
    for place in np.random.default_rng(0).integers(start, len(content) - 2000, 60):
        changed[place] ^= 0x55
    return bytes(changed)


def stating(frames: int) -> Change:
    """An AVI file whose main header states another number of frames."""
    return lambda content: content[:48] + struct.pack("<I", frames) + content[52:]


def packets(count: int) -> Change:
    """An AVI file that ends after so many packets; nothing in it is malformed."""

    def ended(content: bytes) -> bytes:
        place = content.index(b"movi") + 4
        for _ in range(count):
            size = struct.unpack_from("<I", content, place + 4)[0]
            place += 8 + size + size % 2
        return content[:place]

    return ended


def of_size(width: int, height: int) -> Change:
    """An AVI file whose stream header states another size."""

    def changed(content: bytes) -> bytes:
        place = content.index(b"strf") + 8
        return content[: place + 4] + struct.pack("<ii", width, height) + content[place + 12 :]

    return changed


def with_wide_size(content: bytes) -> bytes:
    """The size of the packets' box in 64 bits; encoders leave a free box in front of it for that."""
    place = content.index(b"\0\0\0\x08free") + 8
    size = int.from_bytes(content[place : place + 4])
    return content[: place - 8] + struct.pack(">I4sQ", 1, b"mdat", size + 8) + content[place + 8 :]


def unbounded(content: bytes) -> bytes:
    place = content.index(b"mdat")
    return content[: place - 4] + bytes(4) + content[place:]


def without_fragment(number: int) -> Change:
    def changed(content: bytes) -> bytes:
        starts = [found.start() - 4 for found in re.finditer(b"moof", content)]
        return content[: starts[number]] + content[starts[number + 1] :]

    return changed


def noisy_sound(content: bytes) -> bytes:
    """Random bytes in the chunks of the sound."""
    changed, place, random = bytearray(content), content.index(b"movi") + 4, np.random.default_rng(0)
    while changed[place : place + 4] != b"idx1":
        size = struct.unpack_from("<I", changed, place + 4)[0]
        if changed[place : place + 4] == b"01wb":
            changed[place + 8 : place + 8 + size] = random.bytes(size)
        place += 8 + size + size % 2
    return bytes(changed)


def text(content: str) -> Make:
    return lambda path, bases: path.write_text(content.replace("BASES", str(bases)))


def encoded(*options: str, frames: int = 41, size: str = "80x60") -> Make:
    return lambda path, bases: encode(path, *options, frames=frames, size=size)


def link(target: str) -> Make:
    return lambda path, bases: path.symlink_to(target)


AVI = [
    Hostile("whole.avi", of("packed.avi"), "OK"),
    Hostile("states_0.avi", of("packed.avi", stating(0)), "OK"),
    Hostile("states_5.avi", of("packed.avi", stating(5)), "OK"),
    Hostile("states_42.avi", of("packed.avi", stating(42)), "OK"),
    Hostile("states_90.avi", of("packed.avi", stating(90)), "TRUNCATED"),
    Hostile("states_most.avi", of("packed.avi", stating(2**32 - 1)), "TRUNCATED"),
    Hostile("twenty_packets.avi", of("packed.avi", packets(20)), "TRUNCATED"),
    Hostile("one_packet_less.avi", of("packed.avi", packets(40)), "TRUNCATED"),
    Hostile("no_packets.avi", of("packed.avi", packets(0)), "FAILED"),
    Hostile("no_index.avi", of("packed.avi", lambda content: content[: content.index(b"idx1")]), "OK"),
    Hostile("half.avi", of("packed.avi", cut(0.5)), "DAMAGED"),
    Hostile("headers_alone.avi", of("packed.avi", lambda content: content[:300]), "FAILED"),
    Hostile("flipped.avi", of("packed.avi", flipped), "DAMAGED"),
    Hostile("zeros.avi", of("motion.avi", zeros(0.5, 900)), "DAMAGED"),
    Hostile("junk_behind.avi", of("packed.avi", lambda content: content + b"junk" * 99), "OK"),
    Hostile("enormous.avi", of("packed.avi", of_size(60000, 50000)), "DAMAGED"),
    Hostile("sound_damaged.avi", of("sound.avi", noisy_sound), "OK"),
    Hostile("sound_alone.avi", encoded("-f", "lavfi", "-i", "sine=d=1", "-map", "1", "-c:a", "pcm_s16le"), "FAILED"),
]
MP4 = [
    Hostile("whole.mp4", of("end.mp4"), "OK"),
    Hostile("called_avi.avi", of("end.mp4"), "OK"),
    Hostile("no_ending", of("front.mp4"), "OK"),
    Hostile("no_index.mp4", of("end.mp4", cut(0.5)), "FAILED"),
    Hostile("index_alone.mp4", of("front.mp4", before(b"mdat")), "FAILED"),
    Hostile("cut_in_a_packet.mp4", of("front.mp4", without_last(77)), "DAMAGED"),
    Hostile("wide.mp4", of("front.mp4", with_wide_size), "OK"),
    Hostile("wide_and_cut.mp4", of("front.mp4", lambda content: with_wide_size(content)[:-300]), "DAMAGED"),
    Hostile("unbounded.mp4", of("front.mp4", unbounded), "OK"),
    Hostile("junk_behind.mp4", of("end.mp4", lambda content: content + b"junk of another program"), "OK"),
    Hostile("zeros.mp4", of("front.mp4", zeros(0.7, 300)), "DAMAGED"),
    Hostile("fragments.mp4", of("fragments.mp4"), "OK"),
    Hostile("first_fragment.mp4", of("fragments.mp4", before(b"moof", 1)), "TRUNCATED"),
    Hostile("fragment_missing.mp4", of("fragments.mp4", without_fragment(1)), "TRUNCATED"),
    Hostile("dash.mp4", of("dash.mp4"), "OK"),
    Hostile("dash_cut.mp4", of("dash.mp4", before(b"moof", 2)), "TRUNCATED"),
]
OTHERS = [
    Hostile("whole.mkv", of("h264.mkv"), "OK"),
    Hostile("half.mkv", of("h264.mkv", cut(0.5)), "DAMAGED"),
    Hostile("whole.webm", of("vp8.webm"), "OK"),
    Hostile("half.webm", of("vp8.webm", cut(0.5)), "DAMAGED"),
    Hostile("whole.mpg", of("first.mpg"), "OK"),
    Hostile("half.mpg", of("first.mpg", cut(0.5)), "DAMAGED"),
    Hostile("unlisted.flv", of("flash.flv"), "FAILED"),
    Hostile("unlisted.ts", of("transport.ts"), "FAILED"),
    Hostile("unlisted.wmv", of("windows.wmv"), "FAILED"),
    Hostile("unlisted.ogv", of("theora.ogv"), "FAILED"),
    Hostile("unlisted.y4m", of("raw.y4m"), "FAILED"),
    Hostile("one_frame.mkv", encoded(*X264, frames=1), "SHORT"),
    Hostile("seven_frames.avi", encoded(*B_FRAMES, frames=7), "SHORT"),
    Hostile("bomb.avi", encoded("-vf", "scale=6000:5000", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", frames=1), "FAILED"),
    Hostile("%03d [1] 'x':y {z}.avi", of("packed.avi"), "OK"),
]
NO_VIDEOS = [
    Hostile("text.avi", text("This is no video.\n" * 100), "FAILED"),
    Hostile("empty.avi", text(""), "FAILED"),
    Hostile("random.mp4", lambda path, bases: path.write_bytes(np.random.default_rng(1).bytes(5000)), "FAILED"),
    Hostile("picture.avi", encoded("-c:v", "png", "-f", "image2", "-update", "1", frames=1), "FAILED"),
    Hostile("playlist.avi", text("ffconcat version 1.0\nfile 'BASES/packed.avi'\n"), "FAILED"),
    Hostile("stream_list.avi", text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nBASES/end.mp4\n"), "FAILED"),
    Hostile("session.avi", text("v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n"), "FAILED"),
    Hostile("folder.avi", lambda path, bases: path.mkdir(), "FAILED"),
    Hostile("pipe.avi", lambda path, bases: os.mkfifo(path), "FAILED"),
    Hostile("missing.avi", lambda path, bases: None, "FAILED"),
    Hostile("loop.avi", link("loop.avi"), "FAILED"),
    Hostile("broken_disk.avi", link("/proc/self/mem"), "FAILED"),
]
HOSTILE = {one.name: one for one in [*AVI, *MP4, *OTHERS, *NO_VIDEOS]}


@cache
def bases_in(folder: Path) -> Path:
    """The folder with all base files in it."""
    folder.mkdir()
    for name, options in BASES.items():
        encode(folder / name, *options)
    return folder


def hostile_files(folder: Path) -> dict[str, Path]:
    """All files of the table, made in a folder, by their names."""
    bases, made = bases_in(folder / "bases"), folder / "made"
    made.mkdir()
    for name, one in HOSTILE.items():
        one.make(made / name, bases)
    return {name: made / name for name in HOSTILE}
