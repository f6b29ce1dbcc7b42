"""Attacks on video and image networks, from Python: `from pipeline_lib.attacks import AdditiveLinf, Ascent, craft`.

Names are imported on first use: importing the package loads neither torch nor an attack.
"""

from importlib import import_module
from typing import Any

# Names instead of import statements, so that a job depends only on the attacks that it runs.
_MODULES = {
    "apgd": ["Apgd"],
    "ascent": ["Ascent"],
    "corruptions.blur": ["BlurCorruption"],
    "corruptions.camera": ["CameraCorruption"],
    "corruptions.compression": ["CompressionCorruption"],
    "corruptions.noise": ["NoiseCorruption"],
    "corruptions.temporal": ["TemporalCorruption"],
    "crafting": ["craft"],
    "expectation": ["Expectation"],
    "frame_order": ["DroppedFrames"],
    "frame_regions": ["SomeFrames"],
    "framing": ["Adam", "FixedPattern", "UniversalFraming"],
    "framing_file": ["FramingFile"],
    "goals": ["LeastLikely", "NextClass", "TargetClass", "Untargeted"],
    "lp_perturbations": ["AdditiveL1", "AdditiveL2", "PrintedRatioL2", "RatioL2"],
    "margins": ["DLR", "LogOdds", "Margin", "TargetedDLR"],
    "parameters": ["ParameterAscent"],
    "perturbations": ["AdditiveLinf", "RatioLinf"],
    "regions": ["AllPixels", "Border", "FirstSampleOnly", "RandomPixels", "RandomRectangle"],
    "search": ["SearchedRectangle"],
    "square": ["Square"],
    "starts": ["AtClean", "Constant", "GaussianNoise", "LogUniform", "UniformBox", "UniformNoise"],
    "steepest": ["Steepest"],
    "strongest": ["Strongest"],
    "temporal_translation": ["TemporalTranslation"],
    "translation_invariant": ["TranslationInvariant"],
    "variations.flicker": ["Flicker"],
    "variations.flow": ["SmallFlow"],
    "variations.gabor": ["Gabor"],
    "variations.pose": ["TranslationRotation"],
    "variations.recolor": ["Recolor"],
    "variations.weather": ["Fog", "Snow"],
    "worst_case": ["WorstCase"],
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"{__name__} has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
