"""The weights of a run on a cluster, and who may change them: one object, which lives in an actor.

It answers one call at a time, so every update is made whole or not at all, and is counted in the
same moment. It knows nothing of Ray.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from mario_a3c.cluster.state import State
from mario_a3c.cluster.wire import Packed, pack, unpack
from mario_a3c.config import RunConfig
from mario_a3c.learning.normalization import merge
from mario_a3c.learning.optim import make_optimizer, make_state, push_gradient
from mario_a3c.training.shared import COLUMNS, UPDATES


@dataclass
class Message:
    """What a worker sends. It counts from its joining on, so that a lost message loses no count.

    Attributes:
        session: what it got when it joined.
        counters: ``int64 [4]``, its own; the updates among them are counted here instead.
        statistics: ``float64 [3, K + 1]``, its own.
        mastered: ``float64 [N]``, its own.
        gradient: to take a step with, if there is one.
        learning_rate: of that step.
        change: of the weights, in sum, by updates that the worker has made on its own.
        updates: how many those were.
        version: number of updates that the weights had seen, when they were pulled, from which all
            this is; those that the worker has made on its own copy count.
        reports: for whoever watches the run.
    """

    session: int
    counters: NDArray[np.int64]
    statistics: NDArray[np.float64]
    mastered: NDArray[np.float64]
    gradient: Packed | None = None
    learning_rate: float = 0.0
    change: Packed | None = None
    updates: int = 0
    version: int = 0
    reports: list[Any] = field(default_factory=list)


@dataclass
class Reply:
    """What a worker gets back.

    Attributes:
        session: to be named in its next message; 0 if it has to join first.
        weights: the newest.
        version: updates that they have seen.
        staleness: updates that the weights had not seen from which the message was.
        counters: ``int64 [4]``, of everybody else.
        own_updates: that this worker made since it joined.
        statistics: ``float64 [3, K + 1]``, of everybody else.
        mastered: ``float64 [N]``, the mean over all workers.
        stop: whether everybody is to finish.
    """

    session: int
    weights: Packed
    version: int
    staleness: int
    counters: NDArray[np.int64]
    own_updates: int
    statistics: NDArray[np.float64]
    mastered: NDArray[np.float64]
    stop: bool


@dataclass
class Look:
    """The whole run at one moment, and what the workers reported since the look before."""

    state: State
    reports: list[Any]


@dataclass
class _Member:
    """A worker from its joining on."""

    worker: int
    optimizer: Optimizer
    counters: Tensor
    statistics: Tensor
    mastered: NDArray[np.float64]


class Parameters:
    """Weights, optimizer and counters of a run.

    Args:
        config: the run.
        state: where it begins.
        retired: numbers of workers that are let in no more.
    """

    def __init__(self, config: RunConfig, state: State, retired: Collection[int] = ()) -> None:
        torch.set_num_threads(1)
        self._config = config
        self._weights = torch.from_numpy(state["weights"].copy())
        self._vector = torch.zeros_like(self._weights)
        self._counters = torch.from_numpy(state["counters"].copy())
        self._statistics = torch.from_numpy(state["statistics"].copy())
        self._last_mastered = state["mastered"].copy()
        self._optimizer_state = {
            name: torch.from_numpy(state[f"optimizer.{name}"].copy())
            for name in make_state(config.optimizer, self._weights[:0])
        }
        self._optimizer = make_optimizer(config.optimizer, self._weights, self._optimizer_state)
        self._members: dict[int, _Member] = {}
        self._retired = set(retired)
        self._sessions = 0
        self._reports: list[Any] = []
        self._stop = False

    @property
    def _updates(self) -> int:
        return int(self._total(except_for=None)[0][UPDATES])

    def join(self, worker: int) -> Reply:
        """Let a worker in, or in again; what it has counted so far stands, and it begins at zero.

        A worker that was retired is told to stop.
        """
        self._fold(worker)
        if worker in self._retired:
            return self._reply(0, None, 0, stop=True)
        self._sessions += 1
        optimizer = self._optimizer
        if not self._config.shared:
            moments = make_state(self._config.optimizer, self._weights)
            optimizer = make_optimizer(self._config.optimizer, self._weights, moments)
        member = _Member(
            worker,
            optimizer,
            torch.zeros(COLUMNS, dtype=torch.int64),
            torch.zeros_like(self._statistics),
            self._mastered(),
        )
        self._members[self._sessions] = member
        return self._reply(self._sessions, member, 0)

    def exchange(self, message: Message) -> Reply:
        """Take a worker's gradient and counts, and answer with the newest weights.

        A session that is not known, because this object is younger or the worker was retired, is
        answered with session 0, and nothing of the message counts.
        """
        member = self._members.get(message.session)
        if member is None:
            return self._reply(0, None, 0)
        updates = int(member.counters[UPDATES])
        member.counters.copy_(torch.from_numpy(message.counters.copy()))
        member.counters[UPDATES] = updates
        member.statistics.copy_(torch.from_numpy(message.statistics.copy()))
        member.mastered = message.mastered.copy()
        self._reports += message.reports
        staleness = self._updates - message.version
        if message.gradient is not None:
            unpack(message.gradient, self._vector)
            push_gradient(member.optimizer, self._vector, message.learning_rate)
            member.counters[UPDATES] += 1
        elif message.change is not None:
            unpack(message.change, self._vector)
            self._weights += self._vector
            member.counters[UPDATES] += message.updates
        return self._reply(message.session, member, staleness)

    def retire(self, worker: int) -> None:
        """Let a worker in no more; what it has counted stands."""
        self._fold(worker)
        self._retired.add(worker)

    def ask_to_stop(self) -> None:
        """Tell all workers to finish, with the next thing that they hear."""
        self._stop = True

    def look(self) -> Look:
        """Return the run as it is now, and hand over the reports."""
        counters, statistics = self._total(except_for=None)
        state: State = {
            "weights": self._weights.numpy(),
            "counters": counters.numpy(),
            "statistics": statistics.numpy(),
            "mastered": self._mastered(),
        }
        for name, part in self._optimizer_state.items():
            state[f"optimizer.{name}"] = part.numpy()
        reports, self._reports = self._reports, []
        return Look(state, reports)

    def _total(self, except_for: _Member | None) -> tuple[Tensor, Tensor]:
        """Return the counters and the statistics of all but one."""
        others = [member for member in self._members.values() if member is not except_for]
        counters = torch.stack([self._counters, *(member.counters for member in others)])
        statistics = torch.stack([self._statistics, *(member.statistics for member in others)])
        return counters.sum(0), merge(statistics)

    def _mastered(self) -> NDArray[np.float64]:
        """Return what the workers have mastered in the mean, or had when the last one left."""
        if self._members:
            mastered = [member.mastered for member in self._members.values()]
            self._last_mastered = np.mean(mastered, axis=0)
        return self._last_mastered.copy()

    def _fold(self, worker: int) -> None:
        """Add what a worker has counted to what stands, and end its session."""
        self._mastered()
        for session, member in list(self._members.items()):
            if member.worker == worker:
                self._counters += member.counters
                self._statistics = merge(torch.stack([self._statistics, member.statistics]))
                del self._members[session]

    def _reply(
        self, session: int, member: _Member | None, staleness: int, stop: bool = False
    ) -> Reply:
        counters, statistics = self._total(except_for=member)
        own = int(member.counters[UPDATES]) if member is not None else 0
        return Reply(
            session,
            pack(self._weights, self._config.ray_half),
            int(counters[UPDATES]) + own,
            staleness,
            counters.numpy(),
            own,
            statistics.numpy(),
            self._mastered(),
            self._stop or stop,
        )
