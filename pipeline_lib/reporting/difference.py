"""The magnified difference between adversarial and clean clips."""

import numpy as np

MAGNIFICATION = 15


def magnified_difference(clean: np.ndarray, adversarial: np.ndarray) -> np.ndarray:
    """Return 128 + 15 (adversarial - clean), clipped to 0..255: gray without change, lighter or darker elsewhere.

    Inputs and result are uint8 of the same shape (..., 3). A change of 9 gray levels is already black or white.
    """
    if clean.shape != adversarial.shape or clean.dtype != np.uint8 or adversarial.dtype != np.uint8:
        shapes = f"{clean.dtype} {clean.shape} and {adversarial.dtype} {adversarial.shape}"
        raise ValueError(f"a difference needs two uint8 clips of one shape, got {shapes}")
    change = adversarial.astype(np.int16) - clean.astype(np.int16)
    return np.clip(128 + MAGNIFICATION * change, 0, 255).astype(np.uint8)
