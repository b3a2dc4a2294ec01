"""A worker's way to the parameters across the network."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from mario_a3c.cluster.parameters import Message, Reply
from mario_a3c.cluster.wire import Packed, pack, unpack
from mario_a3c.config import RunConfig
from mario_a3c.learning.optim import make_optimizer, make_state, push_gradient
from mario_a3c.training.shared import COLUMNS, UPDATES, Shared

OTHERS, OWN = range(2)
"""Rows of the tables that a worker sees: of everybody else, and its own."""


class LostError(ConnectionError):
    """The parameters do not answer; whether they took the last message is not known."""


class Store(Protocol):
    """Where the parameters are."""

    def join(self, worker: int) -> Reply:
        """Call `Parameters.join`, waiting until there are parameters that answer."""

    def send(self, message: Message) -> Callable[[], Reply]:
        """Begin to call `Parameters.exchange`.

        Returns:
            waits for the reply; raises `LostError` if there will be none.
        """


class StoreLink:
    """A `mario_a3c.training.link.Link` to parameters that somebody else holds.

    A pull takes the reply to the push before: weights cross the network once per push. A push does
    not wait: up to ``ahead`` of them are under way while the worker computes or plays on, with
    weights that do not hold what others did meanwhile. When the parameters are lost, so is what was
    under way; the worker joins those that take their place, and counts from zero again.

    With ``updates_together`` above 1 the worker makes so many updates on its own copy of the
    weights, with moments of its own, before it pushes the change that they made in sum.

    Args:
        store: where the parameters are.
        worker: this worker's number.
        config: the run; ``ray_ahead``, ``ray_half`` and ``updates_together`` say what
            crosses when.
    """

    def __init__(self, store: Store, worker: int, config: RunConfig) -> None:
        self.worker, self.row = worker, OWN
        self._store, self._ahead, self._half = store, config.ray_ahead, config.ray_half
        self._flight: deque[Callable[[], Reply]] = deque()
        self._reports: list[Any] = []
        self._fresh = True
        first = store.join(worker)
        self.shared = Shared(
            weights=torch.empty(len(first.weights.values)),
            optimizer_state={},
            counters=torch.zeros((2, COLUMNS), dtype=torch.int64),
            stop=torch.zeros(1, dtype=torch.int64),
            statistics=torch.zeros((2, *first.statistics.shape), dtype=torch.float64),
            mastered=torch.zeros((2, config.noop_max + 1), dtype=torch.float64),
            inside=torch.zeros(2, dtype=torch.float64),
        )
        self.shared.mastered[OWN] = torch.from_numpy(first.mastered.copy())
        self._own: _OwnSteps | None = None
        if config.updates_together > 1:
            self._own = _OwnSteps(config, self.shared.weights)
        self._begin(first)

    def pull(self, values: Tensor) -> None:
        """Copy the newest weights that are here, asking for some if nothing was learned since."""
        if not self._fresh and not self._flight:
            self._send(self._message())
        self._settle(self._ahead)
        self._fresh = False
        self._pulled = self._version + self._own_under_way
        values.copy_(self.shared.weights)

    def push(self, gradient: Tensor, learning_rate: float) -> int:
        """Send a gradient, or make a step that is sent later with others.

        Returns:
            how stale the last push was that is known to be taken.
        """
        self._fresh = True
        if self._own is None:
            message = self._message()
            message.gradient = pack(gradient, self._half)
            message.learning_rate = learning_rate
            self._send(message)
        elif self._own.step(gradient, learning_rate):
            self._push_own(self._own)
        return self._staleness

    def send(self, report: Any, /) -> None:
        """Report something: it goes with the next message."""
        self._reports.append(report)

    def close(self) -> None:
        """Send what is left to say, and wait until it was taken."""
        if self._own is not None and self._own.made:
            self._push_own(self._own)
        else:
            self._send(self._message())
        self._settle(0)

    def _push_own(self, own: _OwnSteps) -> None:
        self._settle(0)  # sent a rollout ago: a change is the difference to weights that are known
        message = self._message()
        message.updates = self._own_under_way = own.made
        message.change = own.take_change()
        self._send(message)

    def _message(self) -> Message:
        reports, self._reports = self._reports, []
        return Message(
            self._session,
            self.shared.counters[OWN].numpy().copy(),
            self.shared.statistics[OWN].numpy().copy(),
            self.shared.mastered[OWN].numpy().copy(),
            version=self._pulled,
            reports=reports,
        )

    def _send(self, message: Message) -> None:
        self._flight.append(self._store.send(message))

    def _settle(self, left: int) -> None:
        """Take replies until only so many are under way; join again if there are none to come."""
        while len(self._flight) > left:
            try:
                reply = self._flight.popleft()()
            except LostError:
                reply = None
            if reply is None or not reply.session:
                self._flight.clear()
                self.shared.counters[OWN] = 0
                self.shared.statistics[OWN] = 0
                self._begin(self._store.join(self.worker))
            else:
                self._take(reply)

    def _begin(self, reply: Reply) -> None:
        """Take over the weights as they are, after joining."""
        self._take_counts(reply)
        self._pulled = reply.version
        unpack(reply.weights, self.shared.weights)
        if self._own is not None:
            self._own.begin()

    def _take(self, reply: Reply) -> None:
        self._take_counts(reply)
        if self._own is not None:
            self._own.take(reply)
        else:
            unpack(reply.weights, self.shared.weights)

    def _take_counts(self, reply: Reply) -> None:
        shared = self.shared
        self._session, self._version = reply.session, reply.version
        self._staleness, self._fresh = reply.staleness, True
        self._own_under_way = 0  # of updates that were made on the worker's copy: there is one push
        shared.counters[OTHERS] = torch.from_numpy(reply.counters.copy())
        shared.counters[OWN, UPDATES] = reply.own_updates
        shared.statistics[OTHERS] = torch.from_numpy(reply.statistics.copy())
        shared.stop[0] = max(int(shared.stop[0]), int(reply.stop))


class _OwnSteps:
    """Updates that a worker makes on its own copy of the weights.

    Args:
        config: the run.
        weights: ``float32 [P]``, the worker's copy; changed in place.
    """

    def __init__(self, config: RunConfig, weights: Tensor) -> None:
        self.made = 0
        self._together, self._half = config.updates_together, config.ray_half
        self._weights, self._known = weights, torch.empty_like(weights)
        state = make_state(config.optimizer, weights)
        self._optimizer = make_optimizer(config.optimizer, weights, state)

    def begin(self) -> None:
        """Forget what was made: the weights are new."""
        self.made = 0
        self._known.copy_(self._weights)

    def step(self, gradient: Tensor, learning_rate: float) -> bool:
        """Make one update; return whether it is time to push."""
        push_gradient(self._optimizer, gradient, learning_rate)
        self.made += 1
        return self.made >= self._together

    def take_change(self) -> Packed:
        """Return what the updates have changed, and begin to gather anew."""
        change = pack(self._weights - self._known, self._half)
        self.made = 0
        self._known.copy_(self._weights)
        return change

    def take(self, reply: Reply) -> None:
        """Add what others did to weights on which this worker has perhaps gone on since."""
        newest = torch.empty_like(self._weights)
        unpack(reply.weights, newest)
        self._weights += newest - self._known
        self._known.copy_(newest)
