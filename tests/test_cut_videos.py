"""Files cut at random places: none is OK, except where every frame that the clip shows is there."""

import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline_lib.clips.decode import Decoding
from pipeline_lib.clips.images import ImageFiles
from pipeline_lib.clips.status import DecodedClip, Status
from test_kinds_of_videos import KINDS, SPEC
from videos import decode, encode

CUTS = 3
# A raw stream states neither its length nor its end.
CONTAINED = [kind for kind in KINDS if not kind.endswith(".m2v")]
UNSUSPECTED = (Status.OK, Status.SHORT)
PICTURES = ("png", "jpg", "webp", "tif", "bmp", "gif", "ppm")


def cut_files(whole: Path) -> list[Path]:
    """The first bytes of a file, in new files; the places are drawn by its name."""
    content, draws, made = whole.read_bytes(), random.Random(whole.name), []
    for number in range(CUTS):
        made.append(whole.with_name(f"{whole.stem}_{number}{whole.suffix}"))
        made[-1].write_bytes(content[: draws.randrange(1, len(content))])
    return made


def same(clip: DecodedClip, whole: DecodedClip) -> bool:
    return (clip.index == whole.index).all() and (clip.frames == whole.frames).all()


@pytest.mark.slow
def test_a_cut_video_is_ok_only_if_its_frames_are_all_there(tmp_path: Path) -> None:
    wholes = [encode(tmp_path / kind, *KINDS[kind][0], size="32x32", frames=41) for kind in CONTAINED]
    containers = sorted({name for _, names in KINDS.values() for name in names})
    clips = decode(*wholes, *(cut for whole in wholes for cut in cut_files(whole)), spec=SPEC, containers=containers)  # type: ignore[arg-type]
    whole, cut = clips[: len(wholes)], clips[len(wholes) :]
    assert len(cut) == CUTS * len(CONTAINED) > 145
    assert {clip.status for clip in whole} == {Status.OK}
    wrong = [
        (kind, number)
        for place, kind in enumerate(CONTAINED)
        for number, clip in enumerate(cut[CUTS * place : CUTS * (place + 1)])
        if clip.status in UNSUSPECTED and not same(clip, whole[place])
    ]
    assert not wrong


@pytest.mark.parametrize("ending", PICTURES)
def test_a_cut_image_fails_unless_its_pixels_are_all_there(tmp_path: Path, ending: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    path = tmp_path / f"whole.{ending}"
    Image.fromarray(noise).save(path)
    [whole, *cut] = ImageFiles(size=32, convert=True).decode([path, *cut_files(path)], Decoding(), 1)
    assert whole.status is Status.OK
    assert not [clip.status for clip in cut if clip.status in UNSUSPECTED and not same(clip, whole)]
