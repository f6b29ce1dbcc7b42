"""Feature Denoising (Xie et al., CVPR 2019): non-local means of a network's features, and its forms for videos."""

from dataclasses import field
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline_lib.entries.ranges import method
from pipeline_lib.errors import PipelineError
from pipeline_lib.networks.extension import Network, add_after, last_norm, stage_of


def attended(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """softmax(queries keys^T / sqrt(E)) values, for (B, L, E), (B, L, E) and (B, L, C) with C >= E -> (B, L, C).

    The kernels that do not store all L x L weights require one width for all three, and contiguous tensors. The padding
    with zeros changes no product.
    """
    width = queries.shape[-1]
    missing = (0, values.shape[-1] - width)
    padded = (F.pad(queries, missing), F.pad(keys, missing), values)
    query, key, value = (part.contiguous().unsqueeze(1) for part in padded)
    return F.scaled_dot_product_attention(query, key, value, scale=width**-0.5).squeeze(1)


class Within(nn.Module):
    """Attention among the positions of each frame, shared by all frames."""

    def forward(self, theta: Tensor, phi: Tensor, features: Tensor) -> Tensor:
        """Embeddings (N, C/2, T, H, W) and features (N, C, T, H, W) -> denoised features."""
        return over_groups(theta, phi, features, features.shape[3:].numel())


class Across(nn.Module):
    """Attention among all positions of all frames; 15,680 of them after layer1 for clips of 40 x 112 x 112."""

    def forward(self, theta: Tensor, phi: Tensor, features: Tensor) -> Tensor:
        """Embeddings (N, C/2, T, H, W) and features (N, C, T, H, W) -> denoised features."""
        return over_groups(theta, phi, features, features.shape[2:].numel())


def over_groups(theta: Tensor, phi: Tensor, features: Tensor, positions: int) -> Tensor:
    """Attention in groups of so many consecutive positions."""
    last = [part.movedim(1, -1) for part in (theta, phi, features)]
    denoised = attended(*(part.reshape(-1, positions, part.shape[-1]) for part in last))
    return denoised.reshape(last[2].shape).movedim(-1, 1)


class ByFrame(nn.Module):
    """A separate 1x1 convolution for each time step, (N, C, T, H, W) -> (N, C', T, H, W)."""

    def __init__(self, inputs: int, outputs: int, frames: int) -> None:
        super().__init__()
        self.frames = nn.ModuleList(nn.Conv2d(inputs, outputs, 1, bias=False) for _ in range(frames))

    def forward(self, features: Tensor) -> Tensor:
        if features.shape[2] != len(self.frames):
            raise PipelineError(
                f"frames: this denoising block is for {len(self.frames)} time steps, its features have "
                f"{features.shape[2]}; give the time steps after each stage of 'after'"
            )
        steps = zip(self.frames, features.unbind(2), strict=True)
        return torch.stack([convolution(step) for convolution, step in steps], dim=2)


def pointwise(inputs: int, outputs: int) -> nn.Module:
    return nn.Conv3d(inputs, outputs, 1, bias=False)


class Denoising(nn.Module):
    """x -> activation(x + output(attention(theta(x), phi(x), x))), (N, C, T, H, W) -> the same shape."""

    def __init__(
        self, theta: nn.Module, phi: nn.Module, attention: nn.Module, output: nn.Module, activation: nn.Module
    ) -> None:
        super().__init__()
        self.theta, self.phi = theta, phi
        self.attention = attention
        self.output = output
        self.activation = activation

    def forward(self, features: Tensor) -> Tensor:
        denoised = self.attention(self.theta(features), self.phi(features), features)
        return self.activation(features + self.output(denoised))


def normalized_output(channels: int) -> nn.Module:
    """A 1x1x1 convolution (Kaiming, fan out) and a BatchNorm that starts at zero: the block starts as the identity."""
    convolution, norm = pointwise(channels, channels), nn.BatchNorm3d(channels)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out")  # type: ignore[arg-type]
    nn.init.zeros_(norm.weight)
    return nn.Sequential(convolution, norm)


def drawn_small(embedding: nn.Module) -> nn.Module:
    """The embedding, initialized with weights from N(0, 0.01^2)."""
    for weight in embedding.parameters():
        nn.init.normal_(weight, std=0.01)
    return embedding


@method
class FeatureDenoising:
    """`network` with a denoising block after each stage of `after` (Gaussian version, embedded; g = x).

    attention: "frame" is over the positions of each frame (the OUDefend authors' "3D Denoise", Xie-A),
    "frame_separate" has separate embeddings for each time step ("2D Denoise", Xie-B) and needs `frames`, the time
    steps after each stage; "spatiotemporal" is over all positions of the clip.
    form: "authors" has a ReLU after the sum, except in "frame_separate", and no BatchNorm (their code declares one in
    Xie-A that it never uses). "fair" is Xie et al.'s, of Facebook AI Research: embeddings from N(0, 0.01^2), a
    BatchNorm that starts at zero after the output convolution, no ReLU. No convolution has a bias in either.
    network: the one that gets the blocks.
    after: its stages that get one.
    frames: time steps after each stage.
    """

    wraps: ClassVar[str] = "network"
    after_stages: ClassVar[str] = "after"

    network: Network
    after: list[str] = field(default_factory=lambda: ["layer1", "layer2", "layer3", "layer4"])
    attention: Literal["frame", "frame_separate", "spatiotemporal"] = "frame"
    frames: list[int] | None = None
    form: Literal["authors", "fair"] = "authors"

    def __post_init__(self) -> None:
        if (self.frames is not None) != (self.attention == "frame_separate"):
            raise PipelineError("frames: give the time steps after each stage for attention 'frame_separate' only")
        if self.frames is not None and len(self.frames) != len(self.after):
            raise PipelineError(f"frames: {len(self.frames)} time steps for the {len(self.after)} stages of 'after'")

    def __call__(self, classes: int) -> nn.Module:
        network = self.network(classes)
        for stage, frames in zip(self.after, self.frames or [0] * len(self.after), strict=True):
            block = self._block(last_norm(stage_of(network, stage)).num_features, frames)
            add_after(network, stage, "denoise", block)
        return network

    def _block(self, channels: int, frames: int) -> nn.Module:
        theta, phi = (self._embedding(channels, frames) for _ in range(2))
        attention = Across() if self.attention == "spatiotemporal" else Within()
        if self.form == "fair":
            output = normalized_output(channels)
            return Denoising(drawn_small(theta), drawn_small(phi), attention, output, nn.Identity())
        activation = nn.Identity() if self.attention == "frame_separate" else nn.ReLU(inplace=True)
        return Denoising(theta, phi, attention, pointwise(channels, channels), activation)

    def _embedding(self, channels: int, frames: int) -> nn.Module:
        if self.attention == "frame_separate":
            return ByFrame(channels, channels // 2, frames)
        return pointwise(channels, channels // 2)
