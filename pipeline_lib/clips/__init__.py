"""Videos and images to clips, and their stores. `read_clip` reads the clip of one file as a tensor."""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    """`read_clip` is imported when it is asked for: it needs torch, the rest of decoding does not."""
    if name == "read_clip":
        # By its name, so that code that imports any module of this package does not depend on the decoder.
        return import_module("pipeline_lib.clips.reading").read_clip
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
