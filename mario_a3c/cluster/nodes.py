"""The machines of a cluster: which there are, what is free on them, and which are left out."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import ray

from mario_a3c.cluster.reach import greet
from mario_a3c.faults import RunError, reason

AWAY = 30.0
"""Seconds that a cluster's head may be away; after 60, Ray would end our process with its own."""
RETRY = 0.5
"""Seconds between two questions where nobody tells when the answer changes."""


@dataclass(frozen=True)
class Node:
    """A machine of the cluster.

    Attributes:
        id: Ray's name for it.
        host: what a person calls it.
        cores: how many it has.
        gpus: how many it has.
        free: how many of its cores nobody used when Ray last heard of it, a moment ago.
    """

    id: str
    host: str
    cores: int
    gpus: float
    free: int


def check_head() -> None:
    """Wait for the cluster's head to answer, but not as long as Ray would with all it is asked.

    Raises:
        RunError: it has not for too long.
    """
    place = ray.get_runtime_context().gcs_address
    until = time.monotonic() + AWAY
    while True:
        try:
            return greet(place)
        except OSError as error:
            if time.monotonic() > until:
                raise RunError(
                    f"Ray's head at {place} was lost ({reason(error)}, for {AWAY:g} s); start it "
                    "again as docs/cluster.md tells, and go on there"
                ) from error
            time.sleep(RETRY)


def living_nodes() -> list[Node]:
    """Return the machines that the cluster has.

    Raises:
        RunError: its head is lost.
    """
    check_head()
    # The one way to learn this of each machine; ray.available_resources tells the sum of all.
    available = ray._private.state.available_resources_per_node()
    nodes = []
    for node in ray.nodes():
        if node["Alive"]:
            resources = node["Resources"]
            cores, gpus = int(resources.get("CPU", 0)), float(resources.get("GPU", 0))
            free = int(available.get(node["NodeID"], resources).get("CPU", 0))
            nodes.append(Node(node["NodeID"], node["NodeManagerAddress"], cores, gpus, free))
    return nodes


def free_places(
    nodes: list[Node],
    taken: Counter[str],
    coming: Counter[str],
    most: int,
    cores: Callable[[Node], int] = lambda node: 1,
) -> list[Node]:
    """Return where actors are to be started, the least loaded machine first.

    Args:
        nodes: the machines.
        taken: how many actors each has, by its id.
        coming: how many of those are still being started: their cores may seem to be free.
        most: that there may be in all.
        cores: that each of them takes on a machine.
    """
    rooms = {
        node: min(
            node.cores // cores(node),
            taken[node.id] + max(0, node.free // cores(node) - coming[node.id]),
        )
        for node in nodes
    }
    taken, chosen = taken.copy(), []
    while taken.total() < most:
        free = [node for node, room in rooms.items() if taken[node.id] < room]
        if not free:
            break
        node = min(free, key=lambda node: taken[node.id] / rooms[node])
        chosen.append(node)
        taken[node.id] += 1
    return chosen


def gpu_share(actors: int, gpus: float) -> float:
    """Return which part of a GPU each of so many actors on a machine is to ask for.

    An actor has its part on one GPU, so that those with a part of 3/8 would come to two on each of
    3 GPUs, and the last two of 8 would wait for ever: it is 1/3.
    """
    if not gpus:
        return 0.0
    return int(10_000 / math.ceil(actors / gpus)) / 10_000  # Ray knows no smaller parts


class Waiting:
    """Says why nothing can be started on any machine, once each time that it comes to that.

    Args:
        say: called with the sentence.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._told = say, ""

    def tell(self, nodes: list[Node], waits: bool) -> None:
        """Say it if all is waiting for these machines, and has not been told."""
        sentence = ""
        if waits and not any(node.cores for node in nodes):
            sentence = (
                "No machine of the cluster has cores to train on; waiting for one that joins."
            )
        elif waits:
            sentence = "All cores of the cluster are in use by others; waiting until some are free."
        if sentence and sentence != self._told:
            self._say(sentence)
        self._told = sentence


class LeftOut:
    """Machines on which nothing more is started, since too much has gone wrong there.

    Args:
        most: deaths that a machine may have.
        within: seconds within which they count.
    """

    def __init__(self, most: int, within: float) -> None:
        self._most, self._within = most, within
        self._deaths: dict[str, list[float]] = defaultdict(list)
        self._ids: set[str] = set()

    def count(self, node: Node) -> int:
        """Note a death on a machine, and return how many count there."""
        now = time.monotonic()
        deaths = [at for at in self._deaths[node.id] if now - at < self._within] + [now]
        self._deaths[node.id] = deaths
        if len(deaths) > self._most:
            self.add(node)
        return len(deaths)

    def add(self, node: Node) -> None:
        """Leave a machine out. One that is started anew has another id, and may be used."""
        self._ids.add(node.id)

    def forgive(self, node: Node) -> None:
        """Forget the deaths on a machine: something has gone well there."""
        self._deaths.pop(node.id, None)

    def __contains__(self, node: Node) -> bool:
        """Whether a machine is left out."""
        return node.id in self._ids

    def usable(self, nodes: list[Node]) -> list[Node]:
        """Return those of some machines that have cores and are not left out."""
        return [node for node in nodes if node.cores and node not in self]
