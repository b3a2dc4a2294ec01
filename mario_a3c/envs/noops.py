"""What finishes after how many frames without a button, and how many come while it is learned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MASTERY_RATE, SHARE_RATE = 1 / 16, 1 / 4
"""How much the newest episode counts in the share without no-op frames and in the others."""
LEAST_WEIGHT = 0.1
"""How likely a number is drawn that always finishes, against one that never does (about)."""


class Completions:
    """How often recent episodes from the start of the stage finished, by their no-op frames.

    Attributes:
        shares: ``float64 [most + 1]``, the share of recent episodes that finished, for every number
            of no-op frames. May be replaced by an array that outlives this object: it is changed
            in place.
    """

    def __init__(self, most: int) -> None:
        """Begin with nothing known.

        Args:
            most: the largest number of no-op frames.
        """
        self.shares: NDArray[np.float64] = np.zeros(most + 1)

    @property
    def completion(self) -> float:
        """The share of recent episodes that finished, every number of no-op frames alike."""
        return float(self.shares.mean())

    def record(self, noops: int, finished: bool) -> None:
        """Note how an episode from the start of the stage ended; above ``most`` it is left out."""
        if noops < len(self.shares):
            rate = SHARE_RATE if noops else MASTERY_RATE
            self.shares[noops] += rate * (finished - self.shares[noops])


class GradualNoops(Completions):
    """No-op frames as a curriculum: none until the stage is finished, then what fails most.

    Every number of no-op frames makes another game: all enemies move at other moments. One of them,
    0, is learned first. As often as that finishes (`mastery`), another number is drawn, one
    that has mostly failed rather than one that has mostly finished; that is prioritised
    level replay (Jiang et al. 2021, arXiv:2010.03934) with the share of failures as its score.
    """

    @property
    def mastery(self) -> float:
        """The share of recent episodes without no-op frames that finished the stage."""
        return float(self.shares[0])

    def draw(self, generator: np.random.Generator) -> int:
        """Return the number of no-op frames for a new episode."""
        if generator.random() >= self.mastery:
            return 0
        weights = 1 + LEAST_WEIGHT - self.shares
        return int(generator.choice(len(weights), p=weights / weights.sum()))
