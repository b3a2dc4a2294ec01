"""What the processes of a run have in common: one block of shared memory, and no locks.

Every number has exactly one writer: a worker counts in its own row, and sums are taken by whoever
reads. So a process that is killed at any moment leaves nothing locked and nothing half counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

STEPS, UPDATES, DROPPED = range(3)
"""Columns of `Shared.counters`."""


@dataclass
class Shared:
    """The state that workers pull from and push to.

    Attributes:
        weights: ``float32 [P]``, all parameters of the model (see `mario_a3c.flat`).
        optimizer_state: moments and step count of the shared optimizer.
        counters: ``int64 [workers, 3]``: agent steps, updates and dropped updates of each worker.
        stop: ``int64 [1]``, 1 once everybody is to finish.
        statistics: ``float64 [workers, 3, K + 1]``, what each worker counted of K quantities of
            the observations and, last, of discounted returns (see `mario_a3c.normalization`).
    """

    weights: Tensor
    optimizer_state: dict[str, Tensor]
    counters: Tensor
    stop: Tensor = field(default_factory=lambda: torch.zeros(1, dtype=torch.int64))
    statistics: Tensor = field(default_factory=lambda: torch.zeros((1, 3, 1), dtype=torch.float64))

    def share(self) -> Shared:
        """Move everything into shared memory; the segments have no name that could be left over."""
        tensors = (self.weights, self.counters, self.stop, self.statistics)
        for tensor in (*tensors, *self.optimizer_state.values()):
            tensor.share_memory_()
        return self

    @property
    def steps(self) -> int:
        """Agent steps taken by all workers."""
        return int(self.counters[:, STEPS].sum())

    @property
    def updates(self) -> int:
        """Updates pushed by all workers."""
        return int(self.counters[:, UPDATES].sum())

    @property
    def stopping(self) -> bool:
        """Whether everybody is to finish."""
        return bool(self.stop[0])
