"""The child processes of a run: started, listened to, replaced when they die, and ended.

Nothing is shared between them but memory that nobody locks, and a pipe leads from each to the
parent; so one that is killed at any moment leaves nothing locked.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from mario_a3c.faults import Failure, RunError
from mario_a3c.training.processes import how_it_ended, run_child, signals_withheld

MOST_DEATHS, WITHIN = 5, 600.0
"""Deaths that a run survives within so many seconds, or longer (see `seconds_that_count`)."""


def seconds_that_count(hang_limit: float) -> float:
    """Return within how many seconds a run survives no more than `MOST_DEATHS`.

    One child that hangs again and again, and is ended after ``hang_limit`` seconds each time, must
    get to one death more than that, even if it plays for a while in between.
    """
    return max(WITHIN, 2 * MOST_DEATHS * hang_limit)


@dataclass
class Child:
    """A process and what is known of it.

    Attributes:
        name: what it is called in messages.
        target: its work.
        arguments: called for the arguments of the work whenever the process is started.
        process: the process itself.
        pipe: leads from it to us.
        failure: what it said last, if it failed and could say so.
        killed_for: why we killed it, if we did.
        ended: it is gone, and all that it sent was taken.
    """

    name: str
    target: Callable[..., None]
    arguments: Callable[[], tuple[Any, ...]]
    process: BaseProcess
    pipe: Connection
    failure: Failure | None = None
    killed_for: str = ""
    ended: bool = False

    def epitaph(self) -> str:
        """Return who died of what."""
        if self.killed_for:
            return f"{self.name} was ended: {self.killed_for}"
        if self.failure is not None:
            return f"{self.name} failed: {self.failure.text}"
        return f"{self.name} {how_it_ended(self.process)}"


class Children:
    """The processes of a run.

    Args:
        take: called with everything that they send.
        hang_limit: seconds after which one that hangs is killed.
    """

    def __init__(self, take: Callable[[Any], None], hang_limit: float = 0.0) -> None:
        self._take = take
        self._within = seconds_that_count(hang_limit)
        self._children: dict[str, Child] = {}
        self._deaths: list[float] = []
        self._context = get_context("spawn")
        self.last_trace = ""

    def __getitem__(self, name: str) -> Child:
        """Return a child by its name."""
        return self._children[name]

    def start(
        self, name: str, target: Callable[..., None], arguments: Callable[[], tuple[Any, ...]]
    ) -> None:
        """Start a process; another one takes its place when it dies (see `replace_dead`)."""
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=run_child, args=(target, arguments(), theirs), name=name, daemon=True
        )
        with signals_withheld():
            process.start()
        theirs.close()
        self._children[name] = Child(name, target, arguments, process, ours)

    def listen(self, timeout: float) -> None:
        """Take what comes in, waiting up to ``timeout`` seconds for something."""
        living = [child for child in self._children.values() if not child.ended]
        # Asked before their pipes are emptied: what a dead one sent then lies in its pipe.
        dead = [child for child in living if not child.process.is_alive()]
        pipes = {child.pipe: child for child in living if not child.pipe.closed}
        sentinels = [child.process.sentinel for child in living]
        if not living:
            time.sleep(timeout)
        for ready in wait([*pipes, *sentinels], 0 if dead else timeout):
            if isinstance(ready, Connection):
                self._receive(pipes[ready])
        for child in dead:
            while not child.pipe.closed and child.pipe.poll():
                self._receive(child)
            child.process.join()
            child.ended = True

    def _receive(self, child: Child) -> None:
        """Take one message; a pipe that ends, even in the middle of one, is closed."""
        try:
            message = child.pipe.recv()
        except (EOFError, OSError):
            child.pipe.close()
            return
        if isinstance(message, Failure):
            child.failure = message
            self.last_trace = message.trace
        else:
            self._take(message)

    def kill(self, name: str, reason: str) -> None:
        """End a process that must not go on; `replace_dead` says the reason."""
        self._children[name].killed_for = reason
        self._children[name].process.kill()

    def replace_dead(self, say: Callable[[str], None]) -> None:
        """Start another process in the place of each that has died, and say so.

        Raises:
            RunError: one died of something that another would die of too, or they die too often.
        """
        for child in [child for child in self._children.values() if child.ended]:
            child.pipe.close()
            if child.failure is not None and child.failure.final:
                raise RunError(f"{child.name}: {child.failure.text}.")
            now = time.monotonic()
            self._deaths = [at for at in self._deaths if now - at < self._within] + [now]
            if len(self._deaths) > MOST_DEATHS:
                raise RunError(
                    f"Processes died {len(self._deaths)} times within {self._within / 60:.0f} "
                    f"minutes; the last time, {child.epitaph()}."
                )
            say(f"{child.epitaph()}; another one takes its place.")
            self.start(child.name, child.target, child.arguments)

    def stop(self, patience: Callable[[str], float], hurry: Callable[[], bool]) -> None:
        """Wait for all to finish, taking what they still send, and end those that do not.

        Args:
            patience: called with a child's name: seconds from now that it gets.
            hurry: asked often; true ends all that are left at once.
        """
        begun = time.monotonic()
        while not all(child.ended for child in self._children.values()) and not hurry():
            self.listen(0.1)
            for child in self._children.values():
                if not child.ended and time.monotonic() - begun > patience(child.name):
                    child.process.kill()
        for child in self._children.values():
            if not child.ended:
                child.process.kill()
                child.process.join()
            child.pipe.close()
