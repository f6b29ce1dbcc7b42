"""Whole, cut and damaged files, and files that are none: each has its status, and none that lacks frames is OK."""

import pytest

from hostile_images import IMAGES, hostile_images
from hostile_videos import HOSTILE, hostile_files
from pipeline_lib.clips.decode import Decoding
from pipeline_lib.clips.images import ImageFiles
from pipeline_lib.clips.status import DecodedClip
from videos import decode


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DecodedClip]:
    """All in batches, as a data set: a video's status does not depend on its neighbors."""
    files = hostile_files(tmp_path_factory.mktemp("videos"))
    return dict(zip(files, decode(*files.values()), strict=True))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DecodedClip]:
    files = hostile_images(tmp_path_factory.mktemp("images"))
    decoder = ImageFiles(size=16, resize=True, convert=True)
    return dict(zip(files, decoder.decode(list(files.values()), Decoding(), 1), strict=True))


def test_the_tables_are_complete() -> None:
    assert (len(HOSTILE), len(IMAGES)) == (61, 54)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_video_has_its_status(videos: dict[str, DecodedClip], name: str) -> None:
    clip = videos[name]
    assert (clip.status.name, clip.message == "") == (HOSTILE[name].status, HOSTILE[name].status == "OK"), clip.message


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("name", IMAGES)
def test_an_image_has_its_status(images: dict[str, DecodedClip], name: str) -> None:
    assert images[name].status.name == IMAGES[name].status, images[name].message
