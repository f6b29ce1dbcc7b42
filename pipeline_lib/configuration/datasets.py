"""Data sets of the configuration, resolved: their lists, and what decodes their files."""

from collections.abc import Mapping
from typing import Any

from pipeline_lib.configuration.entries import resolve, resolve_fields
from pipeline_lib.configuration.messages import fail
from pipeline_lib.entries.interfaces import DECODER, LISTS, require_by_name

VIDEO_FILES = "pipeline_lib.clips.videos:VideoFiles"


def resolve_datasets(config: Mapping[str, Any]) -> dict[str, dict]:
    """The entries with their methods resolved; `decoder` is the entry that decodes their files to clips."""
    return {name: _dataset(f"datasets.{name}", entry) for name, entry in config["datasets"].items()}


def _dataset(where: str, entry: Mapping[str, Any]) -> dict:
    if len({"root", "render", "download"} & entry.keys()) != 1:
        raise fail(where, "give either 'root', the folder with the files and their lists, or 'render', or 'download'")
    if ("sampling" in entry) == ("images" in entry) and ("images" in entry or "decoder" not in entry):
        raise fail(where, "give either 'sampling', which frames of a video are its clip, or 'images'")
    methods = {"lists", "render", "download", "sampling"} & entry.keys()
    resolved = dict(entry) | {key: resolve(f"{where}.{key}", entry[key], {}) for key in methods}
    require_by_name(f"{where}.lists", resolved["lists"]["method"], LISTS)
    decoding = resolve_fields(f"{where}.decoding", entry["decoding"], "pipeline_lib.clips.decode:Decoding", {})
    return resolved | {"decoding": decoding, "decoder": _decoder(where, entry)}


def _decoder(where: str, entry: Mapping[str, Any]) -> dict:
    """The entry that decodes a data set's files to clips: the method under `images` or `decoder`, or that of videos."""
    if "images" in entry:
        if "pixel_aspect" in entry:
            raise fail(f"{where}.pixel_aspect", "images have square pixels; remove the key")
        if "decoder" in entry:
            raise fail(f"{where}.decoder", "`images` is the decoder; remove one of the two")
        return _checked_decoder(f"{where}.images", dict(entry["images"]) | {"size": entry["size"]})
    given = {key: entry[key] for key in ("size", "sampling", "pixel_aspect") if key in entry}
    if "decoder" in entry:
        return _checked_decoder(f"{where}.decoder", given | dict(entry["decoder"]))
    return {"method": VIDEO_FILES} | resolve_fields(where, given, VIDEO_FILES, {})


def _checked_decoder(where: str, entry: Mapping[str, Any]) -> dict:
    decoder = resolve(where, dict(entry), {})
    require_by_name(where, decoder["method"], DECODER)
    return decoder
