"""Threats in words, `linf:4/255`, and the attacks inside them."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from pipeline_lib.attacks.apgd import Apgd
from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.goals import Goal
from pipeline_lib.attacks.lp_perturbations import AdditiveL1, AdditiveL2
from pipeline_lib.attacks.margins import LogOdds
from pipeline_lib.attacks.perturbations import AdditiveLinf, Perturbation, RatioLinf
from pipeline_lib.attacks.regions import AllPixels, Border, RandomPixels, RandomRectangle, Region
from pipeline_lib.attacks.starts import AtClean, LogUniform, Start, UniformBox, UniformNoise
from pipeline_lib.errors import PipelineError
from pipeline_lib.precision import Precision

FORMS = (
    "linf:4/255, l2:1.5, l1:100 (sizes of the change, on the [0, 1] scale of the clips), ratio_linf:1.04, "
    "rectangle:30x30, border:4, pixels:100 (of each frame)"
)
KINDS = ("linf", "l2", "l1", "ratio_linf", "rectangle", "border", "pixels")
# Steps of PGD: their sum is this many times the bound.
REACH = 2.5


@dataclass(frozen=True, kw_only=True)
class Threat:
    """A bound with its region. size: epsilon, or pixels: (height, width), (width,), (count,).
    precision: of the attacks' passes."""

    kind: str
    size: tuple[float, ...]
    text: str
    precision: Precision = "fp32"

    def attack(self, steps: int, start: Start | None = None) -> Ascent:
        """PGD with a random start, or from `start`. Its steps are 2.5 epsilon / steps long, those of a region 2.5 /
        steps, and at most a quarter of the bound."""
        step = min(0.25, REACH / steps)
        perturbation, region, random = _PARTS[self.kind](self.size, step)
        return Ascent(
            perturbation=perturbation,
            region=region,
            start=start or random,
            steps=steps,
            goal=LogOdds(),
            precision=self.precision,
        )

    def apgd(self, steps: int, goal: Goal | None = None, restarts: int = 1, start: Start | None = None) -> Apgd:
        """APGD inside the threat."""
        return Apgd(
            inside=self.attack(steps, start),
            steps=steps,
            goal=goal or LogOdds(),
            restarts=restarts,
            precision=self.precision,
        )

    def grown(self, factor: float, shape: tuple[int, ...]) -> "Threat | None":
        """The threat with a larger bound for clips (C, T, H, W) or (C, H, W); None where that is the whole clip."""
        size = _GROWTH[self.kind](self.size, factor)
        return None if _is_whole(self.kind, size, shape) else self._with(self.kind, size, words(self.kind, size))

    def whole(self, shape: tuple[int, ...]) -> "Threat":
        """The largest bound of its kind: every clip can become every other."""
        if self.kind in ("l2", "l1"):
            elements = math.prod(shape)
            size = math.sqrt(elements) if self.kind == "l2" else float(elements)
            return self._with(self.kind, (size,), words(self.kind, (size,)))
        if self.kind == "ratio_linf":
            return self._with("ratio_linf_from_black", (255.0,), "ratio_linf:255")
        return self._with("linf", (1.0,), "every pixel to any value")

    def _with(self, kind: str, size: tuple[float, ...], text: str) -> "Threat":
        return Threat(kind=kind, size=size, text=text, precision=self.precision)


def parsed(text: str, precision: Precision = "fp32") -> Threat:
    """The threat of a text such as `linf:4/255`. Raises PipelineError, in one sentence, for any other text."""
    kind, colon, given = text.strip().partition(":")
    if not colon or kind not in KINDS:
        raise PipelineError(f"threat {text!r}: give one of {FORMS}")
    size = _pixels(text, given, kind) if kind in ("rectangle", "border", "pixels") else (_number(text, given),)
    if kind == "linf" and size[0] > 1:
        raise PipelineError(
            f"threat {text!r}: a change above 1 leaves the scale of the clips, [0, 1]; for gray levels give "
            f"linf:{given}/255"
        )
    if kind == "ratio_linf" and size[0] <= 1:
        raise PipelineError(f"threat {text!r}: the ratio must be above 1, e.g. ratio_linf:1.04")
    return Threat(kind=kind, size=size, text=f"{kind}:{given}", precision=precision)


def require_fitting(threat: Threat, shape: tuple[int, ...]) -> None:
    """Raises PipelineError if the threat's region does not fit into clips (C, T, H, W) or (C, H, W)."""
    height, width = shape[-2:]
    sides = {"rectangle": threat.size, "border": (2 * threat.size[0] + 1,) * 2}.get(threat.kind, (0, 0))
    pixels = threat.size[0] if threat.kind == "pixels" else 0
    if sides[0] > height or sides[-1] > width or pixels > height * width:
        raise PipelineError(f"threat {threat.text!r} does not fit into frames of {height}x{width}: give a smaller one")


def _number(text: str, given: str) -> float:
    try:
        value = float(Fraction(given)) if "/" in given else float(given)
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise PipelineError(f"threat {text!r}: {given!r} is no size above 0, such as 4/255 or 1.5")
    return value


def _pixels(text: str, given: str, kind: str) -> tuple[float, ...]:
    numbers = re.fullmatch(r"(\d+)x(\d+)" if kind == "rectangle" else r"(\d+)", given)
    size = tuple(map(float, numbers.groups())) if numbers else ()
    if not size or min(size) < 1:
        form = "height x width, such as rectangle:30x30" if kind == "rectangle" else f"pixels, such as {kind}:4"
        raise PipelineError(f"threat {text!r}: give whole numbers from 1: {form}")
    return size


def words(kind: str, size: tuple[float, ...]) -> str:
    """A bound as text."""
    if kind in ("rectangle", "border", "pixels"):
        return f"{kind}:{'x'.join(str(int(side)) for side in size)}"
    levels = 255 * size[0]
    return f"linf:{levels:.3g}/255" if kind == "linf" and size[0] < 1 else f"{kind}:{size[0]:.4g}"


def _is_whole(kind: str, size: tuple[float, ...], shape: tuple[int, ...]) -> bool:
    height, width = shape[-2:]
    elements = math.prod(shape)
    limit: Callable[[], bool] = {
        "linf": lambda: size[0] >= 1,
        "l2": lambda: size[0] >= math.sqrt(elements),
        "l1": lambda: size[0] >= elements,
        "ratio_linf": lambda: size[0] >= 255,
        "rectangle": lambda: size[0] >= height or size[1] >= width,
        "border": lambda: 2 * size[0] >= min(height, width),
        "pixels": lambda: size[0] >= height * width,
    }[kind]
    return limit()


# kind -> (size, fraction of the bound of one step) -> perturbation, region, random start
_Made = tuple[Perturbation, Region, Start]
_ANYTHING = 1.0


def _in_region(region: Region, step: float) -> _Made:
    return AdditiveLinf(epsilon=_ANYTHING, step_size=step), region, UniformNoise(radius=0.5)


_PARTS: dict[str, Callable[[tuple[float, ...], float], _Made]] = {
    "linf": lambda size, step: (
        AdditiveLinf(epsilon=size[0], step_size=step * size[0]),
        AllPixels(),
        UniformNoise(radius=size[0]),
    ),
    "l2": lambda size, step: (
        AdditiveL2(epsilon=size[0], step_size=step * size[0]),
        AllPixels(),
        UniformBox(radius=size[0]),
    ),
    "l1": lambda size, step: (
        AdditiveL1(epsilon=size[0], step_size=min(0.25, step * size[0] / 20)),
        AllPixels(),
        AtClean(),
    ),
    "ratio_linf": lambda size, step: (
        RatioLinf(epsilon=size[0], step_size=size[0] ** step),
        AllPixels(),
        LogUniform(ratio=size[0]),
    ),
    "ratio_linf_from_black": lambda size, step: (
        RatioLinf(epsilon=size[0], step_size=size[0] ** step, zeros="floor"),
        AllPixels(),
        LogUniform(ratio=size[0]),
    ),
    "rectangle": lambda size, step: _in_region(
        RandomRectangle(height=int(size[0]), width=int(size[1]), last_position=True), step
    ),
    "border": lambda size, step: _in_region(Border(width=int(size[0])), step),
    "pixels": lambda size, step: _in_region(RandomPixels(count=int(size[0]), replace=False), step),
}

_GROWTH: dict[str, Callable[[tuple[float, ...], float], tuple[float, ...]]] = {
    **{kind: (lambda size, factor: (size[0] * factor,)) for kind in ("linf", "l2", "l1")},
    "ratio_linf": lambda size, factor: (size[0] ** factor,),
    "rectangle": lambda size, factor: tuple(math.ceil(side * math.sqrt(factor)) for side in size),
    "border": lambda size, factor: (math.ceil(size[0] * factor),),
    "pixels": lambda size, factor: (math.ceil(size[0] * factor),),
}
