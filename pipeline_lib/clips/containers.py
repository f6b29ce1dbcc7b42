"""The containers that are decoded, by ffmpeg's names.

A list is needed: without it, a playlist or script named like a video could make ffmpeg read other files.
"""

from collections.abc import Sequence

from pipeline_lib.errors import PipelineError

DEFAULT = "avi,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpeg"
# What `decoding.containers` may add: containers that hold their streams themselves. Endings -> ffmpeg's name.
ADDITIONAL = {
    "asf": ".wmv .asf",
    "flv": ".flv",
    "gif": ".gif",
    "h264": ".h264 (raw)",
    "hevc": ".hevc (raw)",
    "ivf": ".ivf",
    "m4v": ".m4v (raw MPEG-4)",
    "mpegts": ".ts .m2ts .mts",
    "mpegvideo": ".m2v .m1v (raw MPEG-1 and MPEG-2)",
    "mxf": ".mxf",
    "nut": ".nut",
    "ogg": ".ogv .ogg",
    "rm": ".rm .rmvb",
    "yuv4mpegpipe": ".y4m",
}


def whitelist(additional: Sequence[str]) -> str:
    """ffmpeg's `format_whitelist` for the default containers and additional ones."""
    return ",".join([DEFAULT, *additional])


def require_known(additional: Sequence[str]) -> None:
    """PipelineError for names that are not in ADDITIONAL: playlists and lists of files are never read."""
    unknown = sorted(set(additional) - set(ADDITIONAL))
    if unknown:
        known = ", ".join(f"{name} ({endings})" for name, endings in ADDITIONAL.items())
        raise PipelineError(f"containers: {', '.join(unknown)} cannot be added. Known: {known}.")


def advice(message: str) -> str:
    """What to do about a container that is not in the list, if that is ffmpeg's message; else empty."""
    if "Format not on whitelist" not in message:
        return ""
    known = " ".join(endings for endings in ADDITIONAL.values() if "raw" not in endings)
    more = f"{known}: docs/configuration/data-sets.md"
    return f"its container is not decoded by default; `decoding.containers` adds others ({more})"
