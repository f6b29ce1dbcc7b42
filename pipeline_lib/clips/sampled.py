"""What decoders of frames have in common: the shape of their clips, and several clips of each video."""

import dataclasses
from typing import Self

from pipeline_lib.clips.sampling import Sampling, clips_of


class Sampled:
    """Clips of `size` x `size` pixels, of the frames that `sampling` chooses."""

    size: int
    sampling: Sampling

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.sampling.frames, self.size, self.size, 3

    @property
    def clips_per_video(self) -> int:
        return len(clips_of(self.sampling))

    def of_each_clip(self) -> list[Self]:
        """A decoder for each clip of a video."""
        return [dataclasses.replace(self, sampling=one) for one in clips_of(self.sampling)]  # type: ignore[type-var]
