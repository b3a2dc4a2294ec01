"""Vectors as they cross the network: in half precision, scaled to use its range, or in full."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Packed(NamedTuple):
    """A vector on its way.

    Attributes:
        values: ``float16 [P]`` in -1..1, or ``float32 [P]``.
        scale: what they are multiplied with.
    """

    values: NDArray[np.float16] | NDArray[np.float32]
    scale: float


def pack(vector: Tensor, half: bool = True) -> Packed:
    """Pack a vector ``float32 [P]``.

    Halved, 11 bits stay of its longest element and as many of most others. Unscaled, elements below
    6e-8 would vanish, and a gradient is full of those.
    """
    if not half:
        return Packed(vector.cpu().numpy().copy(), 1.0)
    scale = float(vector.abs().max()) or 1.0
    return Packed((vector / scale).half().cpu().numpy(), scale)


def unpack(packed: Packed, vector: Tensor) -> None:
    """Write a packed vector into ``vector``, ``float32 [P]``."""
    # A copy, because what Ray hands out cannot be written to, which PyTorch would warn of.
    vector.copy_(torch.from_numpy(packed.values.copy()))
    vector.mul_(packed.scale)
