"""Videos and images below a folder, recognized by the endings of their names."""

import os
from collections.abc import Iterator
from pathlib import Path

from pipeline_lib.clips.containers import ADDITIONAL

JUNK = ("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "icon\r")
IMAGES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
VIDEOS = (
    *[".3g2", ".3gp", ".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".vob", ".webm"],
    *(ending for endings in ADDITIONAL.values() for ending in endings.split() if ending.startswith(".")),
)


def is_junk(name: str) -> bool:
    """Whether a file or folder was left by an operating system, such as `._name` of macOS; hidden files count too."""
    return name.startswith(".") or name.lower() in JUNK


def files_below(folder: Path) -> Iterator[Path]:
    """All files below a folder that are no junk, in the order of their names, folder by folder."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_junk(name))
        yield from (Path(place, name) for name in sorted(names) if not is_junk(name))


def is_video(path: Path) -> bool:
    """Whether the ending is that of a video; an animated GIF is one."""
    return path.suffix.lower() in VIDEOS


def is_image(path: Path) -> bool:
    """Whether the ending is that of an image that is decoded."""
    return path.suffix.lower() in IMAGES


def clips_below(folder: Path) -> list[Path]:
    """The videos and images below a folder."""
    return [path for path in files_below(folder) if is_video(path) or is_image(path)]
