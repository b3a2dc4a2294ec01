"""Policies: what a network's last features say about actions, as distributions to draw from.

A discrete action is drawn from a categorical distribution. A continuous one is drawn from a normal
distribution; what leaves the bounds of the task is clipped there, by the environment's wrapper,
while probabilities are those of the number that was drawn.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, Normal
from torch.nn import functional

Policy = Categorical | Independent[Normal]
"""What an action is drawn from."""
LEAST_DEVIATION = 0.01
"""Smallest standard deviation, as a part of half the range of an action."""


class CategoricalHead(nn.Linear):
    """Features ``[..., F]`` to a distribution over ``A`` discrete actions."""

    def forward(self, features: Tensor) -> Categorical:  # type: ignore[override]
        """Return the distribution, of batch shape ``[...]``."""
        return Categorical(logits=super().forward(features), validate_args=False)


class GaussianHead(nn.Module):
    """Features ``[..., F]`` to independent normal distributions of ``A`` continuous actions.

    The mean is ``tanh`` scaled to the bounds, or plain where an action has none. The deviation is
    a softplus, in units of half the range: of the features (``state``) or of a number that is
    learned for each action (``free``). It begins at ``softplus(0) = 0.69``.

    Args:
        size: number of features, F.
        low: lowest value of each action; may be infinite.
        high: highest value of each action; may be infinite.
        deviation: ``state`` or ``free``.
    """

    middle: Tensor
    half_range: Tensor
    bounded: Tensor

    def __init__(
        self, size: int, low: tuple[float, ...], high: tuple[float, ...], deviation: str
    ) -> None:
        super().__init__()
        lowest, highest = torch.tensor(low), torch.tensor(high)
        bounded = torch.isfinite(lowest) & torch.isfinite(highest)
        middle = torch.where(bounded, (lowest + highest) / 2, 0.0)
        half_range = torch.where(bounded, (highest - lowest) / 2, 1.0)
        self.register_buffer("bounded", bounded, persistent=False)
        self.register_buffer("middle", middle, persistent=False)
        self.register_buffer("half_range", half_range, persistent=False)
        self.mean = nn.Linear(size, len(low))
        self.deviation: nn.Linear | nn.Parameter
        if deviation == "state":
            self.deviation = nn.Linear(size, len(low))
        else:
            self.deviation = nn.Parameter(torch.zeros(len(low)))

    def forward(self, features: Tensor) -> Independent[Normal]:
        """Return the distribution, of batch shape ``[...]`` and event shape ``[A]``."""
        raw = self.mean(features)
        mean = self.middle + self.half_range * torch.where(self.bounded, raw.tanh(), raw)
        width = (
            self.deviation.expand_as(raw)
            if isinstance(self.deviation, nn.Parameter)
            else self.deviation(features)
        )
        deviation = self.half_range * (functional.softplus(width) + LEAST_DEVIATION)
        return Independent(Normal(mean, deviation, validate_args=False), 1, validate_args=False)


def first_step(distribution: Policy) -> Policy:
    """Return the distributions of the first time step, ``[B]`` of ``[T, B]``."""
    if isinstance(distribution, Categorical):
        return Categorical(logits=distribution.logits[0], validate_args=False)
    normal = distribution.base_dist
    first = Normal(normal.loc[0], normal.scale[0], validate_args=False)
    return Independent(first, 1, validate_args=False)
