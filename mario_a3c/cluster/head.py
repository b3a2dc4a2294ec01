"""A run on a cluster, seen from the process that stands in its workers' place on this machine.

It holds what is in shared memory level with the parameters on the cluster, so that evaluation,
curves and checkpoints are those of a run on one machine. What shared memory holds is also what the
parameters begin from, and begin again from when they are lost.
"""

from __future__ import annotations

import time
import uuid
from multiprocessing.connection import Connection
from typing import Any

import ray

from mario_a3c.cluster.crew import Crew
from mario_a3c.cluster.nodes import check_head
from mario_a3c.cluster.parameters import Look
from mario_a3c.cluster.ray_store import ANSWER, LOST, Address, start_parameters
from mario_a3c.cluster.state import state_of, take_state
from mario_a3c.config import RunConfig
from mario_a3c.faults import Notice
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.training.shared import Shared

POLL = 0.25
LOOK = 1.0
LONGEST = 10.0
"""Seconds between two looks, at least and at most; between that they take a 20th of the time."""
FILL = 2.0
"""Seconds between two counts of the cluster's cores."""
GRACE, PATIENCE = 3.0, 50.0
"""Seconds that workers get to finish: in a run that was stopped, and in one that is done."""


class Head:
    """Parameters and workers of a run, started, watched and ended.

    Args:
        config: the run.
        spec: the network.
        shared: in shared memory, with one row of counters and statistics.
        seed: from which those of the workers are made.
        connection: takes what the workers report.
    """

    def __init__(
        self,
        config: RunConfig,
        spec: ModelSpec,
        shared: Shared,
        seed: int,
        connection: Connection,
    ) -> None:
        self._config, self._shared, self._connection = config, shared, connection
        self._address = Address(f"mario_a3c-{uuid.uuid4().hex}")
        self._retired = set[int]()
        self.crew = Crew(config, spec, self._address, seed, self._say, self._retire)
        self._actor = start_parameters(self._address, config, state_of(shared))

    def run(self) -> None:
        """Train until the run's steps are done or it is told to stop.

        Raises:
            RunError: the run cannot go on.
        """
        looked = filled = float("-inf")
        rest = LOOK
        while not self._done():
            now = time.monotonic()
            if now - filled >= FILL:
                filled = now
                self.crew.fill()
            if now - looked >= rest:
                self._level()
                looked = time.monotonic()
                rest = min(LONGEST, max(LOOK, 20 * (looked - now)))
            self.crew.wait(POLL)
            self.crew.check()
        self._call("ask_to_stop")
        enough = self._shared.steps >= self._config.num_global_steps
        self.crew.finish(PATIENCE if enough else GRACE)
        self._level()

    def _done(self) -> bool:
        return self._shared.stopping or self._shared.steps >= self._config.num_global_steps

    def _say(self, text: str) -> None:
        self._connection.send(Notice(text))

    def _call(self, method: str, *arguments: Any) -> Any:
        """Call the parameters; where they are lost, start them again first.

        Raises:
            RunError: the cluster's head is lost, or they cannot be started.
        """
        while True:
            try:
                return ray.get(getattr(self._actor, method).remote(*arguments), timeout=ANSWER)
            except LOST:
                check_head()
                ray.kill(self._actor)
                steps = self._shared.steps
                self._say(f"The parameters were lost; they begin again as of step {steps:,}.")
                state = state_of(self._shared)
                self._actor = start_parameters(self._address, self._config, state, self._retired)

    def _retire(self, worker: int) -> None:
        self._retired.add(worker)
        self._call("retire", worker)

    def _level(self) -> None:
        """Bring shared memory up to date, and pass on what the workers report."""
        look: Look = self._call("look")
        take_state(self._shared, look.state)
        for report in look.reports:
            self._connection.send(report)
