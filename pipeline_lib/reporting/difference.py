"""What an attack changed, made visible."""

import numpy as np

MAGNIFICATION = 15


def magnified_difference(clean: np.ndarray, adversarial: np.ndarray) -> np.ndarray:
    """Return 128 + 15 (adversarial - clean), cut to 0..255: gray where nothing changed, lighter or darker elsewhere.

    Both are uint8 of one shape, (..., 3); so is the result. A change of 9 gray levels already reaches black or white.
    """
    if clean.shape != adversarial.shape or clean.dtype != np.uint8 or adversarial.dtype != np.uint8:
        shapes = f"{clean.dtype} {clean.shape} and {adversarial.dtype} {adversarial.shape}"
        raise ValueError(f"a difference needs two uint8 clips of one shape, got {shapes}")
    change = adversarial.astype(np.int16) - clean.astype(np.int16)
    return np.clip(128 + MAGNIFICATION * change, 0, 255).astype(np.uint8)
