"""Feature maps of one clip: the arrays of a `.npz` file."""

from typing import Any, NamedTuple


class FeatureMaps(NamedTuple):
    """A clip, clean and under an attack, and what a stage of a network makes of both."""

    video: Any  # text
    truth: Any  # text: its class
    answers: Any  # two texts: the class that the model answers with, for the clean and the adversarial clip
    frames: Any  # uint8 (2, T, H, W, 3): clean, adversarial
    maps: Any  # float32 (2, channels, times, height, width): of the clean and of the adversarial clip
