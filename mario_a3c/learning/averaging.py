"""The mean of weights over the last part of a run, kept while it runs."""

from __future__ import annotations

import torch
from torch import Tensor


class WeightAverage:
    """A mean in which later weights count more: polynomial-decay averaging.

    While noisy gradients move a policy, its weights circle around what they are drawn to, and their
    mean lies nearer to it than the last of them (Polyak and Juditsky 1992). Early weights are far
    from it, so they must be forgotten, in proportion to how long the run has been: after n steps
    the weights at step k count in proportion to ``k ** (1 / share - 1)`` (Shamir and Zhang 2013,
    section 4).
    """

    def __init__(self, share: float) -> None:
        """Begin with nothing.

        Args:
            share: about this last part of the run's steps counts; with 0 the last weights alone.
        """
        self._share = share
        self._steps = 0
        self.mean = torch.empty(0)
        """``float64 [P]`` once weights were taken: in float32 their parts would be rounded away."""

    def take(self, weights: Tensor, steps: int) -> None:
        """Count weights, ``float32 [P]``, for the steps since others were taken.

        Args:
            weights: as they are after ``steps``.
            steps: of the run; the first time all of them are taken to have had these weights.
        """
        if not len(self.mean):
            self.mean = weights.double()
        elif not self._share:
            self.mean.copy_(weights)
        elif steps > self._steps:
            self.mean.lerp_(weights.double(), 1 - (self._steps / steps) ** (1 / self._share))
        self._steps = max(steps, self._steps)
