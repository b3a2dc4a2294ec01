"""What the processes of a run have in common: one block of shared memory, and no locks.

Weights and the optimizer's moments are written by all workers, and read meanwhile (Hogwild). Every
count has one writer: a worker counts in its own row, and sums are taken by whoever reads; for one
that hangs, its parent does. So a process that is killed at any moment leaves nothing locked and
nothing half counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

STEPS, UPDATES, DROPPED, FAULTS = range(4)
"""Columns of `Shared.counters`."""
COLUMNS = 4
FINISH, FINISH_AND_LOOK = 1, 2
"""Values of `Shared.stop`."""


@dataclass
class Shared:
    """The state that workers pull from and push to.

    Attributes:
        weights: ``float32 [P]``, all parameters of the model (see `mario_a3c.learning.flat`).
        optimizer_state: moments and step count of the shared optimizer.
        counters: ``int64 [workers + 1, 4]``: agent steps, updates, updates that were dropped
            because of numbers that are not finite, and faults of the environment, of each worker
            and last of the evaluation, which counts nothing but faults.
        stop: ``int64 [1]``, `FINISH` once everybody is to finish, and `FINISH_AND_LOOK` if the
            evaluation is to look at what was learned last before it does.
        statistics: ``float64 [workers, 3, K + 1]``, what each worker counted of K quantities of
            the observations and, last, of discounted returns (`mario_a3c.learning.normalization`).
        mastered: ``float64 [workers, N]``, how often each worker's recent episodes finished with
            0 to N - 1 no-op frames (`mario_a3c.envs.noops`).
        inside: ``float64 [workers + 1]``, since when each worker, and last the evaluation, has been
            inside the environment's code (monotonic time), or 0 while it is not.
    """

    weights: Tensor
    optimizer_state: dict[str, Tensor]
    counters: Tensor
    stop: Tensor
    statistics: Tensor
    mastered: Tensor
    inside: Tensor

    @classmethod
    def begin(
        cls,
        weights: Tensor,
        optimizer_state: dict[str, Tensor],
        workers: int,
        quantities: int = 0,
        noop_max: int = 0,
    ) -> Shared:
        """Return what the processes of a new run have in common.

        Args:
            weights: all parameters of the model.
            optimizer_state: of the shared optimizer.
            workers: how many there will be.
            quantities: of the observations, that are counted; K above.
            noop_max: the largest number of no-op frames, N - 1 above.
        """
        return cls(
            weights,
            optimizer_state,
            counters=torch.zeros((workers + 1, COLUMNS), dtype=torch.int64),
            stop=torch.zeros(1, dtype=torch.int64),
            statistics=torch.zeros((workers, 3, quantities + 1), dtype=torch.float64),
            mastered=torch.zeros((workers, noop_max + 1), dtype=torch.float64),
            inside=torch.zeros(workers + 1, dtype=torch.float64),
        )

    def share(self) -> Shared:
        """Move everything into shared memory; the segments have no name that could be left over."""
        tensors = (self.weights, self.counters, self.stop, self.statistics)
        more = (self.mastered, self.inside, *self.optimizer_state.values())
        for tensor in (*tensors, *more):
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
    def dropped(self) -> int:
        """Updates that were dropped by all workers."""
        return int(self.counters[:, DROPPED].sum())

    @property
    def faults(self) -> int:
        """Faults of the environment that the workers and the evaluation met."""
        return int(self.counters[:, FAULTS].sum())

    @property
    def stopping(self) -> bool:
        """Whether everybody is to finish."""
        return bool(self.stop[0])

    @property
    def last_look(self) -> bool:
        """Whether the evaluation is to look at what was learned last."""
        return int(self.stop[0]) == FINISH_AND_LOOK
