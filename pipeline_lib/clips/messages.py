"""What ffmpeg reports about its inputs: errors, streams, and frames that change their size.

The messages are those of `-v repeat+level+info`: every message starts with its level, after the parts of ffmpeg that
report it, as in `[h264 @ 0x55d3] [error] mmco: unref short failure`.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

PREFIX = re.compile(r"((?:\[[^\]\n]* @ 0x[0-9a-f]+\] )*)\[(panic|fatal|error|warning|info|verbose|debug|trace)\] ?")
INPUT = re.compile(r"Input #(\d+), ([\w,.-]+), from ")
STREAM = re.compile(r"  Stream #(\d+):(\d+)(?:\[0x[0-9a-f]+\])?(?:\([^)]*\))?: (\w+): (\w+)(?: \((\w+)\))?(.*)")
SIZE = re.compile(r", (\d+)x(\d+)[ ,]")
PIXELS = re.compile(r", ([a-z]+[0-9a-z]*)[(,]")
# Both lines of newer versions; older ones report one line without the input.
CHANGE = re.compile(r"filter context - w: (\d+) h: (\d+) .*incoming frame - w: (\d+) h: (\d+) ")
OF_INPUT = re.compile(r"input from stream (\d+):")
ERRORS = ("panic", "fatal", "error")
# A video that was cut between key frames lacks the frames that its first ones refer to. No pixel shown depends on them.
ABOUT_EARLIER_FRAMES = re.compile(
    r"\[(h264|hevc)[^\]]*\] ("
    r"mmco: unref short failure|number of reference frames \(.*\) exceeds max.*|"
    r"reference picture missing during reorder|Missing reference picture, default is .*|"
    r"co located POCs unavailable|Could not find ref with POC .*|RPS .* missing.*)"
)
# How many of the packets after the end of a file ffmpeg tries to read, before the frames asked for are complete, is a
# matter of its threads. `wholeness` says what the file lacks.
AFTER_THE_END = re.compile(r"stream \d+, offset 0x[0-9a-f]+: partial file")


class Message(NamedTuple):
    """One message: the parts that report it, its level, and its text."""

    context: str
    level: str
    text: str


class VideoStream(NamedTuple):
    """A video stream as ffmpeg describes it. shown: not a cover or another attached picture."""

    number: int
    codec: str
    pixels: str
    width: int
    height: int
    default: bool
    shown: bool


def messages(log: str) -> Iterator[Message]:
    """The messages in ffmpeg's output. A line without a level continues the message before it."""
    context, level = "", "error"
    for line in log.splitlines():
        match = PREFIX.match(line)
        if match:
            context, level = match[1], match[2]
        yield Message(context, level, line[match.end() :] if match else line)


def errors(log: str) -> str:
    """The error lines, without those about packets after the end of a file, and about streams that are not videos,
    which are only probed."""
    ignored = other_codecs(log)
    lines = [
        message.context + message.text
        for message in messages(log)
        if message.level in ERRORS
        and not AFTER_THE_END.fullmatch(message.text)
        and not reported_by(message.context, ignored)
    ]
    return "\n".join(lines).strip()


def reported_by(context: str, codecs: set[str]) -> bool:
    """Whether the innermost part that reports a message is one of the codecs, or its decoder.

    ffmpeg 5.1 describes streams without their decoders, whose names mostly begin with that of the codec: mp3, mp3float.
    """
    parts = re.findall(r"\[([^\]]*?) @ 0x", context)
    return bool(parts) and parts[-1].split(":")[-1].split("/")[-1].startswith(tuple(codecs))


def other_codecs(log: str) -> set[str]:
    """The codecs and decoders of audio, subtitle and data streams of all inputs."""
    found: set[str] = set()
    for _, _, match in described_streams(log):
        if match[3] != "Video":
            found |= {name for name in (match[4], match[5]) if name and name != "none"}
    return found


def described_streams(log: str) -> Iterator[tuple[int, str, re.Match[str]]]:
    """Number of the input, its container and the match of each stream that the inputs have; outputs are omitted."""
    source, container = -1, ""
    for message in messages(log):
        if match := INPUT.match(message.text):
            source, container = int(match[1]), match[2]
        elif message.text.startswith(("Output #", "Stream mapping:")):
            source = -1
        elif (match := STREAM.match(message.text)) and int(match[1]) == source:
            yield source, container, match


def video_streams(log: str) -> dict[int, list[VideoStream]]:
    """The video streams of each input."""
    found: dict[int, list[VideoStream]] = defaultdict(list)
    for source, _, match in described_streams(log):
        if match[3] == "Video":
            found[source].append(described(match))
    return found


def described(match: re.Match[str]) -> VideoStream:
    """The video stream of a matched line; the size is 0 x 0 where ffmpeg found none."""
    rest = match[6]
    size, pixels = SIZE.search(rest), PIXELS.search(rest)
    return VideoStream(
        int(match[2]),
        match[4],
        pixels[1] if pixels else "",
        *((int(size[1]), int(size[2])) if size else (0, 0)),
        "(default)" in rest,
        not any(mark in rest for mark in ("(attached pic)", "(timed thumbnails)", "(still image)")),
    )


def containers(log: str) -> dict[int, str]:
    """The container of each input, as ffmpeg names it."""
    return {int(found[1]): found[2] for message in messages(log) if (found := INPUT.match(message.text))}


def inputs_that_change_size(log: str, inputs: int) -> set[int]:
    """The inputs whose frames change their size; all of them where ffmpeg does not name the one."""
    found: set[int] = set()
    for message in messages(log):
        change = CHANGE.search(message.text)
        if change and (change[1], change[2]) != (change[3], change[4]):
            source = OF_INPUT.search(message.context)
            found |= {int(source[1])} if source else set(range(inputs))
    return found


def only_about_earlier_frames(lines: str) -> bool:
    """Whether all error lines are about frames before the first one of a video that was cut between key frames."""
    return all(ABOUT_EARLIER_FRAMES.fullmatch(line) for line in lines.splitlines())
