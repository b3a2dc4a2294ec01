"""From observations to features: convolutions for pictures, dense layers for vectors."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from mario_a3c.learning.spec import ModelSpec

# name -> convolutions as (channels, kernel, stride, padding), then the width of a dense layer.
_CONVOLUTIONS: dict[str, tuple[tuple[tuple[int, int, int, int], ...], int]] = {
    # Mnih et al. 2016 (arXiv:1602.01783), section 8: Atari.
    "paper": (((16, 8, 4, 0), (32, 4, 2, 0)), 256),
    "wide": (((32, 8, 4, 0), (64, 4, 2, 0)), 256),
    # The network of the classic Mario A3C and of pytorch-a3c.
    "reference": (((32, 3, 2, 1),) * 4, 0),
}


def smallest_picture(network: str) -> int:
    """Return the least height and width of pictures that go through a network's convolutions."""
    size = 1
    for _, kernel, stride, padding in reversed(_CONVOLUTIONS[network][0]):
        size = max(1, (size - 1) * stride + kernel - 2 * padding)
    return size


class ConvEncoder(nn.Module):
    """Pictures ``uint8 [N, C, H, W]``, or normalised float ones, to features ``[N, size]``.

    The convolutions run in ``compute_dtype`` and in channels-last memory order, which is the fast
    one on CPUs; what leaves the encoder is float32.
    """

    def __init__(self, shape: tuple[int, ...], network: str) -> None:
        """Build the convolutions called ``network`` for pictures of ``shape`` (C, H, W).

        Raises:
            ValueError: the pictures are too small for them.
        """
        super().__init__()
        convolutions, dense = _CONVOLUTIONS[network]
        channels, height, width = shape
        if min(height, width) < smallest_picture(network):
            raise ValueError(f"pictures of {height}x{width} are too small for it")
        layers: list[nn.Conv2d] = []
        for out_channels, kernel, stride, padding in convolutions:
            layers.append(nn.Conv2d(channels, out_channels, kernel, stride, padding))
            channels = out_channels
            height = (height + 2 * padding - kernel) // stride + 1
            width = (width + 2 * padding - kernel) // stride + 1
        self.convolutions = nn.ModuleList(layers)
        self.size = channels * height * width
        self.dense: nn.Linear | None = None
        if dense:
            self.dense = nn.Linear(self.size, dense)
            self.size = dense
        self.compute_dtype = torch.float32

    def forward(self, pictures: Tensor) -> Tensor:
        """Encode ``[N, C, H, W]`` to ``float32 [N, size]``."""
        low_precision = self.compute_dtype == torch.bfloat16
        with torch.autocast(pictures.device.type, torch.bfloat16, enabled=low_precision):
            x = pictures.to(self.compute_dtype, memory_format=torch.channels_last)
            # Bytes become numbers from 0 to 1 in the first weights, which are fewer than pixels.
            first = self.convolutions[0]
            assert isinstance(first, nn.Conv2d)
            weight = first.weight / 255 if pictures.dtype == torch.uint8 else first.weight
            x = functional.conv2d(x, weight, first.bias, first.stride, first.padding)
            x = functional.relu(x)
            for convolution in self.convolutions[1:]:
                x = functional.relu(convolution(x))
            x = x.flatten(1)
            if self.dense is not None:
                x = functional.relu(self.dense(x))
        return x.float()


class DenseEncoder(nn.Module):
    """Vectors ``[N, D]`` to features ``[N, size]``: dense layers with tanh between them."""

    def __init__(self, inputs: int, hidden: tuple[int, ...]) -> None:
        """Build one layer for each width in ``hidden``."""
        super().__init__()
        widths = (inputs, *hidden)
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        self.size = widths[-1]

    def forward(self, vectors: Tensor) -> Tensor:
        """Encode ``float32 [N, D]`` to ``[N, size]``."""
        for layer in self.layers:
            vectors = torch.tanh(layer(vectors))
        return vectors


def make_encoder(spec: ModelSpec) -> ConvEncoder | DenseEncoder:
    """Return the encoder for a network's observations."""
    if spec.pictures:
        return ConvEncoder(spec.observation_shape, spec.network)
    return DenseEncoder(spec.observation_shape[0], spec.hidden)
