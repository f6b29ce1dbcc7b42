"""Six classes of real image files that differ by shape or texture, laid out and listed as `ImageLists` reads them.

An image shows one figure of its class, at a random place, in a random size and color, lighter or darker than the
background: a smooth color, random blots, and noise. The figure's contrast is low on purpose: a few
gray levels of adversarial noise are enough to fool a network that was trained on clean images only.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline_lib.clips.image_lists import ImageLists
from pipeline_lib.entries.ranges import method
from pipeline_lib.errors import PipelineError

# Each maps coordinates (x to the right, y down, the figure within -1..1) to the opacity of the figure, 0 to 1.
Figure = Callable[[np.ndarray, np.ndarray], np.ndarray]
# Steepness of a figure's edges: 1 over a fraction of its half side.
SHARPNESS = 6.0
BLOTS = 5


def inside(distance: np.ndarray) -> np.ndarray:
    """0.5 + SHARPNESS * distance to an edge, clamped to [0, 1]."""
    return np.clip(0.5 + SHARPNESS * distance, 0, 1)


def checkers(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return square(x, y) * (0.5 + 0.5 * np.sign(np.sin(1.5 * np.pi * x) * np.sin(1.5 * np.pi * y)))


def cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return square(x, y) * inside(0.28 - np.minimum(abs(x), abs(y)))


def disk(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return inside(0.95 - np.hypot(x, y))


def ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return disk(x, y) * inside(np.hypot(x, y) - 0.55)


def square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return inside(1 - np.maximum(abs(x), abs(y)))


def stripes_across(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return square(x, y) * (0.5 + 0.5 * np.cos(3 * np.pi * y))


def stripes_down(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return stripes_across(y, x)


FIGURES: dict[str, Figure] = {
    "Cross": cross,
    "Disk": disk,
    "Ring": ring,
    "StripesAcross": stripes_across,
    "StripesDown": stripes_down,
    "Checkers": checkers,
}


@method
class SyntheticShapes:
    """Images of one figure each.

    size: side of the square images in pixels. classes: names of FIGURES, all by default. scale: smallest and largest
    side of the figure as a fraction of the image's. contrast: smallest and largest difference of the figure's color
    from the background's, in its strongest channel. clutter: the same for the background and the blots. noise: standard
    deviation of each pixel. All of them for pixels in [0, 1].
    seed: of the images.
    train_per_class, test_per_class: number of images.
    """

    seed: int = 0
    size: int = 32
    train_per_class: int = 70
    test_per_class: int = 20
    classes: list[str] | None = None
    scale: tuple[float, float] = (0.5, 0.8)
    contrast: tuple[float, float] = (0.15, 0.25)
    clutter: float = 0.06
    noise: float = 0.02

    def render(self, root: Path, workers: int) -> None:
        """Write images and lists below `root`. The content depends on the fields only, not on `workers`.

        PipelineError names an invalid field, or the file that could not be written.
        """
        check(self)
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda image: write_image(self, image, root), planned(self, "train") + planned(self, "test")))
        # The lists are written last: if they exist, all images exist.
        write_lists(self, root)


@dataclass(frozen=True)
class PlannedImage:
    """An image to render: its class, its split and its number within both, from 0."""

    name: str
    split: str
    number: int

    @property
    def path(self) -> str:
        return f"{self.name}/{self.split}_{self.number:03}.png"


def check(design: SyntheticShapes) -> None:
    """Raise PipelineError when a field of the design is invalid."""
    unknown = sorted(set(design.classes or ()) - set(FIGURES))
    if unknown:
        raise PipelineError(f"classes: no synthetic class {', '.join(unknown)}. Known: {', '.join(FIGURES)}.")
    if design.size < 8:
        raise PipelineError(f"size: {design.size}, but an image must have at least 8 x 8 pixels.")
    if not 0 < design.scale[0] <= design.scale[1] <= 1:
        raise PipelineError(f"scale: {list(design.scale)} is not a least and a largest fraction of the image's side.")
    if not 0 < design.contrast[0] <= design.contrast[1] <= 0.4:
        raise PipelineError(
            f"contrast: {list(design.contrast)} is not a least and a largest one, above 0, at most 0.4."
        )
    if min(design.clutter, design.noise) < 0:
        raise PipelineError(f"clutter: {design.clutter} and noise: {design.noise} cannot be below 0.")


def class_names(design: SyntheticShapes) -> list[str]:
    """The selected classes in the order of their labels."""
    return [name for name in FIGURES if design.classes is None or name in design.classes]


def planned(design: SyntheticShapes, split: str) -> list[PlannedImage]:
    """All images of a split, class by class."""
    number = design.train_per_class if split == "train" else design.test_per_class
    return [PlannedImage(name, split, index) for name in class_names(design) for index in range(number)]


def write_lists(design: SyntheticShapes, root: Path) -> None:
    """classes.txt, train.txt and test.txt as `ImageLists` reads them."""
    folder = root / ImageLists().annotations
    folder.mkdir(parents=True, exist_ok=True)
    lines = {split: [f"{image.path} {image.name}" for image in planned(design, split)] for split in ("train", "test")}
    for name, content in ({"classes": class_names(design)} | lines).items():
        (folder / f"{name}.txt").write_text("\n".join(content) + "\n", encoding="utf-8")


def write_image(design: SyntheticShapes, image: PlannedImage, root: Path) -> None:
    """Write one PNG file. PipelineError names it when that fails."""
    path = root / ImageLists().images / image.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(design, image)).save(path)
    except OSError as error:
        raise PipelineError(f"{path} could not be written: {error}") from error


def pixels(design: SyntheticShapes, image: PlannedImage) -> np.ndarray:
    """An image, (size, size, 3) uint8."""
    # A generator per image: the content does not depend on the order, on other images or on `classes`.
    generator = np.random.default_rng(
        [design.seed, list(FIGURES).index(image.name), ("train", "test").index(image.split), image.number]
    )
    y, x = (np.mgrid[: design.size, : design.size] + 0.5) / design.size
    half = generator.uniform(*design.scale) / 2
    center = generator.uniform(half, 1 - half, 2)
    figure = FIGURES[image.name]((x - center[0]) / half, (y - center[1]) / half)
    color = figure_color(generator) * generator.uniform(*design.contrast)
    levels = background(design, x, y, generator) + figure[..., None] * color
    levels += generator.normal(0, design.noise, levels.shape)
    return np.rint(255 * np.clip(levels, 0, 1)).astype(np.uint8)


def figure_color(generator: np.random.Generator) -> np.ndarray:
    """A direction of color (3,): all channels lighter or all darker by 0.4 to 1, the strongest one by 1."""
    color = generator.uniform(0.4, 1, 3)
    return generator.choice([-1, 1]) * color / color.max()


def background(design: SyntheticShapes, x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A color near gray with a gradient and blots, (H, W, 3)."""
    slope = generator.normal(0, design.clutter, (2, 3))
    levels = generator.uniform(0.42, 0.58, 3) + (x - 0.5)[..., None] * slope[0] + (y - 0.5)[..., None] * slope[1]
    for _ in range(BLOTS):
        place, radius = generator.uniform(0, 1, 2), generator.uniform(0.04, 0.15)
        blot = np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * radius**2))
        levels += blot[..., None] * generator.uniform(-design.clutter, design.clutter, 3)
    return levels
