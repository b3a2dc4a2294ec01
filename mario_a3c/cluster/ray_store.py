"""The parameters in a Ray actor, and calls to them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, ObjectLostError, RayActorError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from mario_a3c.cluster.link import LostError
from mario_a3c.cluster.nodes import RETRY
from mario_a3c.cluster.parameters import Message, Parameters, Reply
from mario_a3c.cluster.state import State
from mario_a3c.config import RunConfig
from mario_a3c.faults import RunError

ANSWER = 30.0
"""Seconds in which the parameters answer, unless they are lost."""
BIRTH = 300.0
"""Seconds in which a new process is ready, on a machine that does much else."""
LOST = (RayActorError, ObjectLostError, GetTimeoutError)


@dataclass(frozen=True)
class Address:
    """The name of an actor, under which another one can take its place."""

    namespace: str
    name: str = "parameters"


def start_parameters(
    address: Address, config: RunConfig, state: State, retired: Collection[int] = ()
) -> Any:
    """Start the actor on the machine that we run on, and return its handle.

    An actor without a core of its own may be placed anywhere, and would die with a machine that
    comes and goes; so it is bound to this one.

    Args:
        address: the name that it gets.
        config: the run.
        state: where it begins.
        retired: numbers of workers that it lets in no more.

    Raises:
        RunError: it cannot be started.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(Parameters).options(
        name=address.name, namespace=address.namespace, num_cpus=0, scheduling_strategy=here
    )
    until = time.monotonic() + BIRTH
    while True:
        try:
            handle = actor.remote(config, state, retired)
            break
        except ValueError:  # the actor that died has not given up its name yet
            if time.monotonic() > until:
                raise
            time.sleep(RETRY)
    try:
        ray.get(handle.__ray_ready__.remote(), timeout=BIRTH)
    except (*LOST, RayTaskError) as error:
        raise RunError(f"The parameters cannot be started: {first_line(error)}") from error
    return handle


def first_line(error: Exception) -> str:
    """Return what an error of Ray says, without the trace that it adds."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")


class RayStore:
    """A worker's calls to the actor, whichever holds the name at the time.

    Args:
        address: the actor's name.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._actor: Any = None

    def join(self, worker: int) -> Reply:
        """Join as soon as there is an actor that answers."""
        while True:
            try:
                self._actor = ray.get_actor(self._address.name, self._address.namespace)
                return ray.get(self._actor.join.remote(worker), timeout=ANSWER)
            except (ValueError, *LOST):
                time.sleep(RETRY)  # nobody tells when another actor has taken the name

    def send(self, message: Message) -> Callable[[], Reply]:
        """Begin an exchange."""
        reply = self._actor.exchange.remote(message)

        def wait() -> Reply:
            try:
                return ray.get(reply, timeout=ANSWER)
            except LOST as error:
                raise LostError(str(error)) from error

        return wait
