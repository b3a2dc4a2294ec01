"""Running means and deviations, of observations and of rewards.

Every worker counts in rows of its own, ``[3, K]``: number of samples, mean, and sum of squared
differences from the mean, for K quantities. Whoever needs the statistics of all merges the rows,
so nothing is locked and nothing is counted twice.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mario_a3c.faults import NotFiniteError

COUNT, MEAN, SQUARES = range(3)
"""Rows of the statistics of K quantities."""
LIMIT = 10.0
"""Normalised values are cut off at so many deviations."""


def statistics_of(samples: Tensor) -> Tensor:
    """Return the statistics ``float64 [3, K]`` of ``[N, K]`` samples."""
    samples = samples.double()
    mean = samples.mean(0)
    squares = (samples - mean).square().sum(0)
    return torch.stack([torch.full_like(mean, len(samples)), mean, squares])


def merge(statistics: Tensor) -> Tensor:
    """Merge ``[R, 3, K]`` statistics of R sets of samples into those of all samples, ``[3, K]``.

    The rule is that of Chan, Golub and LeVeque (1979), "Updating formulae and a pairwise algorithm
    for computing sample variances".
    """
    counts, means, squares = statistics.unbind(1)
    count = counts.sum(0)
    mean = (counts * means).sum(0) / count.clamp_min(1)
    between = (counts * (means - mean).square()).sum(0)
    return torch.stack([count, mean, squares.sum(0) + between])


def count_samples(row: Tensor, samples: Tensor) -> None:
    """Add ``[N, K]`` samples to the statistics ``[3, K]`` of a worker, in place.

    Raises:
        NotFiniteError: the statistics would not be finite; they stay as they were.
    """
    merged = merge(torch.stack([row, statistics_of(samples).to(row.device)]))
    if not merged.isfinite().all():
        raise NotFiniteError("the statistics of what is normalised are not finite")
    row.copy_(merged)


def deviation(statistics: Tensor) -> Tensor:
    """Return the standard deviation of each quantity, ``[K]``; 1 before there are any samples."""
    counts = statistics[COUNT]
    variance = statistics[SQUARES] / counts.clamp_min(1)
    return torch.where(counts > 0, variance + 1e-8, 1.0).sqrt()


class Normalizer(nn.Module):
    """Brings observations to mean 0 and deviation 1.

    Each element of a vector has statistics of its own. A picture has one mean and one deviation
    for all its pixels, as in pytorch-a3c. The statistics are a buffer, so they are saved with the
    network and belong to it.

    Args:
        shape: of one observation.
    """

    statistics: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.size = statistics_size(shape)
        self.register_buffer("statistics", torch.zeros((3, self.size), dtype=torch.float64))

    def forward(self, observations: Tensor) -> Tensor:
        """Normalise ``[N, *shape]`` to ``float32 [N, *shape]``."""
        mean = self.statistics[MEAN].float()
        scale = deviation(self.statistics).float().reciprocal()
        return ((observations - mean) * scale).clamp_(-LIMIT, LIMIT)


def statistics_size(shape: tuple[int, ...]) -> int:
    """Return how many quantities are counted of observations of a shape."""
    return shape[0] if len(shape) == 1 else 1


def quantities(observations: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Lay observations ``[..., *shape]`` out as the samples ``[N, K]`` that are counted."""
    return observations.reshape(-1, statistics_size(shape))


class RewardScaling:
    """What is done to rewards before they are learned from; scores are never touched.

    Args:
        scale: every reward is multiplied by it.
        clip: whether rewards are clipped to -1..1 afterwards (Mnih et al. 2013).
        statistics: ``[workers, 3, 1]``, the workers' statistics of discounted returns; if given,
            rewards are divided by the deviation of all those returns.
        worker: this worker's row of the statistics, in which it counts.
        gamma: discount of those returns.
    """

    def __init__(
        self,
        scale: float = 1.0,
        clip: bool = False,
        statistics: Tensor | None = None,
        worker: int = 0,
        gamma: float = 1.0,
    ) -> None:
        self._scale, self._clip = scale, clip
        self._statistics, self._worker, self._gamma = statistics, worker, gamma
        self._carried: Tensor | None = None

    def __call__(self, rewards: Tensor, ended: Tensor) -> Tensor:
        """Return the rewards ``[T, B]`` to learn from.

        Args:
            rewards: ``[T, B]`` as the environment gave them.
            ended: ``bool [T, B]``, the step ended an episode.
        """
        if self._scale != 1.0:
            rewards = rewards * self._scale
        if self._clip:
            rewards = rewards.clamp(-1.0, 1.0)
        if self._statistics is not None:
            returns = self._discounted(rewards, ended)
            count_samples(self._statistics[self._worker], returns.reshape(-1, 1))
            scale = deviation(merge(self._statistics)).float().to(rewards.device)
            rewards = (rewards / scale).clamp(-LIMIT, LIMIT)
        return rewards

    def _discounted(self, rewards: Tensor, ended: Tensor) -> Tensor:
        """Return the discounted sums of the rewards so far in each episode, ``[T, B]``."""
        carried = torch.zeros_like(rewards[0]) if self._carried is None else self._carried
        returns = torch.empty_like(rewards)
        for t in range(len(rewards)):
            returns[t] = carried = carried * self._gamma + rewards[t]
            carried = carried * (~ended[t]).to(rewards.dtype)
        self._carried = carried
        return returns
