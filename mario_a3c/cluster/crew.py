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
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from mario_a3c.cluster.ray_store import Address
from mario_a3c.cluster.worker import Worker
from mario_a3c.config import RunConfig
from mario_a3c.faults import RunError
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.search.ways import content_of_ways
from mario_a3c.training.children import MOST_DEATHS, seconds_that_count


@dataclass(frozen=True)
class Node:
    """A machine of the cluster.

    Attributes:
        id: Ray's name for it.
        host: what a person calls it.
        cores: how many workers it takes.
        gpus: how many they share.
    """

    id: str
    host: str
    cores: int
    gpus: float


def living_nodes() -> list[Node]:
    """Return the machines that the cluster has."""
    nodes = []
    for node in ray.nodes():
        if node["Alive"]:
            resources = node["Resources"]
            cores, gpus = int(resources.get("CPU", 0)), float(resources.get("GPU", 0))
            nodes.append(Node(node["NodeID"], node["NodeManagerAddress"], cores, gpus))
    return nodes


def free_places(nodes: list[Node], taken: Counter[str], most: int) -> list[Node]:
    """Return where workers are to be started, the least loaded machine first.

    Args:
        nodes: the machines.
        taken: how many workers each has, by its id.
        most: workers that there may be in all.
    """
    taken, places = taken.copy(), []
    while taken.total() < most:
        free = [node for node in nodes if taken[node.id] < node.cores]
        if not free:
            break
        node = min(free, key=lambda node: taken[node.id] / node.cores)
        places.append(node)
        taken[node.id] += 1
    return places


@dataclass
class _Member:
    """A worker, and what will be there when it is done."""

    number: int
    node: Node
    actor: Any
    done: Any


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
        self._started = 0
        self._deaths: list[float] = []

    def __len__(self) -> int:
        """How many workers there are."""
        return len(self._members)

    def wait(self, seconds: float) -> None:
        """Wait so long, or until something has become of a worker."""
        if self._members:
            ray.wait([member.done for member in self._members], timeout=seconds)
        else:
            time.sleep(seconds)

    def fill(self) -> None:
        """Start a worker on every core that has none."""
        taken = Counter(member.node.id for member in self._members)
        for node in free_places(living_nodes(), taken, self._config.num_processes):
            number, self._started = self._started, self._started + 1
            seed = np.random.SeedSequence([self._seed, number]).generate_state(1)[0] >> 1
            share = int(10_000 * min(1.0, node.gpus / node.cores)) / 10_000
            share = 0.0 if self._config.device == "cpu" else share
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
            self._members.append(_Member(number, node, actor, actor.work.remote()))
            self._say(f"worker {number} starts on {node.host}.")

    def check(self) -> None:
        """Take leave of the workers that are no more.

        Raises:
            RunError: one ended of something that another would end of too, or they end too often.
        """
        if not self._members:
            return
        done, _ = ray.wait(
            [member.done for member in self._members], num_returns=len(self._members), timeout=0
        )
        for member in [member for member in self._members if member.done in done]:
            self._members.remove(member)
            self._retire(member.number)
            reason = _end_of(member)
            if reason is None:
                continue
            if member.node.id not in {node.id for node in living_nodes()}:
                self._say(f"worker {member.number} was lost with its machine, {member.node.host}.")
                continue
            now, within = time.monotonic(), seconds_that_count(self._config.hang_limit)
            self._deaths = [at for at in self._deaths if now - at < within] + [now]
            if len(self._deaths) > MOST_DEATHS:
                raise RunError(
                    f"Workers died {len(self._deaths)} times within {within / 60:.0f} minutes; "
                    f"the last time, worker {member.number} {reason}"
                )
            self._say(f"worker {member.number} {reason}; another one takes its place.")

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


def _end_of(member: _Member) -> str | None:
    """Return what a worker died of, or None if it has done its work.

    Raises:
        RunError: it said that it cannot go on.
    """
    try:
        ray.get(member.done)
    except RayTaskError as error:
        if isinstance(error.cause, RunError):
            raise RunError(f"worker {member.number}: {error.cause}") from error
        return f"failed: {type(error.cause).__name__}: {error.cause}"
    except RayActorError as error:
        lines = str(error).strip().splitlines()
        cause = next((line for line in reversed(lines) if "Error" in line), "its process ended")
        return f"died: {cause.strip().rstrip('.')}"
    except RayError as error:
        return f"was lost: {str(error).splitlines()[0].rstrip('.')}"
    return None
