"""How a worker is connected with what all workers have in common: it pulls, and it pushes.

`local_train` knows nothing else of where the shared weights are. On one machine they lie in shared
memory (`MemoryLink`).
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from mario_a3c.config import RunConfig
from mario_a3c.learning.optim import make_optimizer, make_state, push_gradient
from mario_a3c.training.shared import UPDATES, Shared


class Link(Protocol):
    """The way between one worker and the shared weights.

    Attributes:
        shared: the counters, the statistics and the wish to stop, as this worker sees them. It
            writes nothing but its own row of each.
        row: index of that row.
        worker: this worker's number, in what it says and for its random streams.
    """

    @property
    def shared(self) -> Shared:
        """What all have in common."""

    @property
    def row(self) -> int:
        """Index of this worker's rows."""

    @property
    def worker(self) -> int:
        """This worker's number."""

    def pull(self, values: Tensor) -> None:
        """Copy the shared weights into ``values``, ``float32 [P]``."""

    def push(self, gradient: Tensor, learning_rate: float) -> int:
        """Take one step of the shared optimizer with a gradient, and count it as an update.

        Args:
            gradient: ``float32 [P]``, of the loss at the weights that were pulled last.
            learning_rate: the step size.

        Returns:
            its staleness: how many updates others pushed since these weights were pulled.
        """


class MemoryLink:
    """The weights lie in shared memory, and the worker takes the optimizer's steps itself.

    Args:
        config: the run.
        shared: in shared memory.
        worker: this worker's number, and the index of its rows.
    """

    def __init__(self, config: RunConfig, shared: Shared, worker: int) -> None:
        self.shared, self.row, self.worker = shared, worker, worker
        state = shared.optimizer_state
        if not config.shared:
            state = make_state(config.optimizer, shared.weights)
        self.optimizer = make_optimizer(config.optimizer, shared.weights, state)
        self._pulled_at = 0

    def pull(self, values: Tensor) -> None:
        """Copy the shared weights."""
        self._pulled_at = self.shared.updates
        values.copy_(self.shared.weights)

    def push(self, gradient: Tensor, learning_rate: float) -> int:
        """Take one step without a lock (see `mario_a3c.learning.optim`)."""
        push_gradient(self.optimizer, gradient, learning_rate)
        self.shared.counters[self.row, UPDATES] += 1
        return self.shared.updates - 1 - self._pulled_at
