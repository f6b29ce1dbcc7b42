"""The embedded images: real files, the same every time, whose class a single image shows."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

from pipeline_lib.clips.image_lists import ImageLists
from pipeline_lib.clips.synthetic_images import FIGURES, PlannedImage, SyntheticShapes, pixels
from pipeline_lib.errors import PipelineError

DESIGN = SyntheticShapes(seed=3)
SMALL = SyntheticShapes(train_per_class=3, test_per_class=2, classes=["Ring", "Cross"])


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_files_are_the_same_whatever_the_workers_and_the_other_classes(tmp_path: Path) -> None:
    SMALL.render(tmp_path / "one", workers=1)
    SMALL.render(tmp_path / "three", workers=3)
    replace(SMALL, classes=["Ring"]).render(tmp_path / "ring", workers=1)
    replace(SMALL, seed=1).render(tmp_path / "seed", workers=1)
    one, three, ring, seed = (files(tmp_path / name) for name in ("one", "three", "ring", "seed"))
    assert one == three
    assert {name: one[name] for name in ring if name.endswith("png")} == {
        name: data for name, data in ring.items() if name.endswith("png")
    }
    assert all(one[name] != seed[name] for name in one if name.endswith("png"))


def test_the_lists_name_all_files(tmp_path: Path) -> None:
    SMALL.render(tmp_path, workers=2)
    assert ImageLists().class_names(tmp_path) == ["Cross", "Ring"]
    listed = []
    for split, number in (("train", 3), ("test", 2)):
        images = ImageLists().read(tmp_path, split)
        assert Counter(image.label for image in images) == {0: number, 1: number}
        listed += [image.path for image in images]
    assert sorted(listed) == sorted(str(path.relative_to(tmp_path / "images")) for path in tmp_path.rglob("*.png"))
    with Image.open(tmp_path / "images" / listed[0]) as image:
        assert (image.size, image.mode) == ((32, 32), "RGB")


def batch(number: int, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 32, 32, 3) and labels."""
    planned = [PlannedImage(name, split, i) for name in FIGURES for i in range(number)]
    return np.stack([pixels(DESIGN, image) for image in planned]), np.repeat(np.arange(len(FIGURES)), number)


def spectra(images: np.ndarray) -> np.ndarray:
    """Size of the low spatial frequencies: what is left of an image that may stand anywhere."""
    levels = images.mean(-1) - images.mean((1, 2, 3))[:, None, None]
    return np.log1p(np.abs(np.fft.rfft2(levels)))[:, np.r_[:9, -8:0], :9].reshape(len(images), -1)


def test_an_image_shows_its_class_but_not_by_its_color() -> None:
    (images, labels), (tests, truth) = batch(60, "train"), batch(25, "test")
    shown = LogisticRegression(C=0.1, max_iter=300).fit(spectra(images), labels)
    assert shown.score(spectra(tests), truth) > 0.6
    color = LogisticRegression(max_iter=300).fit(images.mean((1, 2)) / 255, labels)
    assert color.score(tests.mean((1, 2)) / 255, truth) < 0.35


def test_pixels_leave_room_for_attacks() -> None:
    images, _ = batch(30, "train")
    assert (images == 0).mean() < 1e-3
    assert (images == 255).mean() < 1e-3


@pytest.mark.parametrize(
    ("field", "value"),
    [("classes", ["Star"]), ("size", 7), ("scale", (0.5, 1.1)), ("contrast", (0.3, 0.2)), ("noise", -1.0)],
)
def test_a_field_that_does_not_fit_is_named(tmp_path: Path, field: str, value: object) -> None:
    with pytest.raises(PipelineError, match=rf"{field}: "):
        replace(SMALL, **{field: value}).render(tmp_path, workers=1)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "images/Ring/train_000.png").mkdir(parents=True)
    with pytest.raises(PipelineError, match=r"train_000\.png could not be written"):
        SMALL.render(tmp_path, workers=1)
