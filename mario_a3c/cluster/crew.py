"""The workers of a run on a cluster: one for each core, wherever and as long as there is one."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from mario_a3c.cluster.nodes import (
    LeftOut,
    Node,
    Waiting,
    free_places,
    gpu_share,
    living_nodes,
)
from mario_a3c.cluster.ray_store import Address
from mario_a3c.cluster.worker import Worker
from mario_a3c.config import RunConfig
from mario_a3c.faults import RunError
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.search.ways import content_of_ways
from mario_a3c.training.children import MOST_DEATHS, seconds_that_count


@dataclass
class _Member:
    """A worker, and what will be there when it has begun, and when it is done."""

    number: int
    node: Node
    actor: Any
    begun: Any
    done: Any
    silent: bool = False


class Crew:
    """Starts workers, notices what becomes of them, and ends them.

    Args:
        config: the run; ``num_processes`` is the most workers that there may be.
        spec: the network.
        address: of the parameters.
        seed: from which those of the workers are made.
        say: called with a sentence when something happened.
        retire: called with the number of each worker that is no more.
    """

    def __init__(
        self,
        config: RunConfig,
        spec: ModelSpec,
        address: Address,
        seed: int,
        say: Callable[[str], None],
        retire: Callable[[int], None],
    ) -> None:
        self._config, self._spec, self._address, self._seed = config, spec, address, seed
        self._say, self._retire = say, retire
        self._ways = content_of_ways(config)
        self._members: list[_Member] = []
        self._nodes: list[Node] = []
        self._started = 0
        within = seconds_that_count(config.hang_limit)
        self._minutes = within / 60
        self._left_out = LeftOut(MOST_DEATHS, within)
        self._waiting = Waiting(say)

    def wait(self, seconds: float) -> None:
        """Wait so long, or until something has become of a worker."""
        if self._members:
            ray.wait([member.done for member in self._members], timeout=seconds)
        else:
            time.sleep(seconds)

    def fill(self) -> None:
        """Start a worker on every core that nobody uses, and say which machines have gone."""
        living = living_nodes()
        ids = {node.id for node in living}
        for node in self._nodes:
            if node.id not in ids:
                self._say(f"{node.host} has left the cluster.")
        self._nodes = living
        nodes = self._left_out.usable(living)
        taken = Counter(member.node.id for member in self._members)
        begun = self._begun()
        coming = Counter(m.node.id for m in self._members if m.number not in begun)
        for node in free_places(nodes, taken, coming, self._config.num_processes):
            self._start(node)
        self._waiting.tell(nodes, not self._members)

    def _begun(self) -> set[int]:
        """Return the numbers of the workers that have begun, or never will."""
        begun = {member.begun: member.number for member in self._members}
        ready, _ = ray.wait([*begun], num_returns=len(begun), timeout=0) if begun else ([], [])
        return {begun[one] for one in ready}

    def _start(self, node: Node) -> None:
        """Start a worker."""
        number, self._started = self._started, self._started + 1
        seed = np.random.SeedSequence([self._seed, number]).generate_state(1)[0] >> 1
        share = 0.0 if self._config.device == "cpu" else gpu_share(node.cores, node.gpus)
        here = NodeAffinitySchedulingStrategy(node.id, soft=False)
        actor = (
            ray.remote(Worker)
            .options(num_cpus=1, num_gpus=share, scheduling_strategy=here)
            .remote(
                self._config,
                self._spec,
                self._address,
                number,
                int(seed),
                gpu=share > 0,
                ways=self._ways,
            )
        )
        begun, done = actor.__ray_ready__.remote(), actor.work.remote()
        self._members.append(_Member(number, node, actor, begun, done))
        self._say(f"worker {number} starts on {node.host}.")

    def check(self) -> None:
        """Take leave of the workers that are no more.

        A machine where one has ended of something that another would end of too, or where they
        end too often, gets no more of them.

        Raises:
            RunError: no other machine is left.
        """
        if not self._members:
            return
        done, _ = ray.wait(
            [member.done for member in self._members], num_returns=len(self._members), timeout=0
        )
        for member in [member for member in self._members if member.done in done]:
            try:
                end = _end_of(member)
            except ActorUnavailableError:
                self._ask_again(member)
                continue
            self._members.remove(member)
            self._retire(member.number)
            if end is not None:
                self._mourn(member, *end)

    def _ask_again(self, member: _Member) -> None:
        """Ask what has become of a worker that does not answer: Ray does not know it either.

        Where its process or its machine is gone, Ray learns of it and says so next time. Where only
        the way to it was broken, it goes on, and answers when it is done.
        """
        if not member.silent:
            member.silent = True
            self._say(f"worker {member.number} on {member.node.host} does not answer.")
        member.done = member.actor.__ray_ready__.remote()

    def _mourn(self, member: _Member, reason: str, final: bool) -> None:
        """Say what a worker ended of, and judge by it the machine that it was on."""
        node, nodes = member.node, living_nodes()
        if node.id not in {node.id for node in nodes}:
            self._say(f"worker {member.number} was lost with its machine, {node.host}.")
            return
        said = f"worker {member.number} on {node.host} {reason}"
        known = node in self._left_out
        deaths = self._left_out.count(node)
        if final:
            self._left_out.add(node)
        elif deaths > MOST_DEATHS:
            said = (
                f"workers on {node.host} died {deaths} times within {self._minutes:.0f} minutes; "
                f"the last time, {said}"
            )
        if not self._left_out.usable(nodes):
            raise RunError(said)
        if node not in self._left_out:
            self._say(f"{said}; another one takes its place.")
        elif known:
            self._say(f"{said}.")
        else:
            self._say(f"{said}; {node.host} gets no more of them.")

    def finish(self, seconds: float) -> None:
        """Wait for all to finish, and end those that do not in time."""
        until = time.monotonic() + seconds
        members = self._members
        while members and time.monotonic() < until:
            left = [member.done for member in members]
            ready, _ = ray.wait(left, timeout=max(0.0, until - time.monotonic()))
            members = [member for member in members if member.done not in ready]
        for member in self._members:
            with contextlib.suppress(RayError):
                ray.kill(member.actor)
        self._members = []


def _end_of(member: _Member) -> tuple[str, bool] | None:
    """Return what a worker ended of, and whether another one would too; None if it was done.

    Raises:
        ActorUnavailableError: that is not known yet.
    """
    try:
        ray.get(member.done)
    except RayTaskError as error:
        if isinstance(error.cause, RunError):
            return f"cannot go on: {str(error.cause).rstrip('.')}", True
        return f"failed: {type(error.cause).__name__}: {error.cause}", False
    except ActorUnavailableError:
        raise
    except RayActorError as error:
        lines = str(error).strip().splitlines()
        cause = next((line for line in reversed(lines) if "Error" in line), "its process ended")
        return f"died: {cause.strip().rstrip('.')}", False
    except RayError as error:
        return f"was lost: {str(error).splitlines()[0].rstrip('.')}", False
    return None
