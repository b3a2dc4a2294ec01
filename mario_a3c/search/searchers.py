"""Processes that search stages, one stage each at a time, for `mario_a3c.explore`."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType

from mario_a3c.faults import RunError
from mario_a3c.monitoring.notices import say
from mario_a3c.search.search import Search
from mario_a3c.training.processes import enter_child, how_it_ended, signals_withheld

REPORT_INTERVAL = 0.5
"""Seconds between two reports of a running search."""
MOST_DEATHS = 3
"""Deaths of searching processes that a search survives."""


@dataclass(frozen=True)
class Task:
    """What a searcher is to do.

    Attributes:
        world: 1 to 8.
        stage: 1 to 4.
        seed: of the search.
        known: a way that is to be made shorter, or b"" where the first one is to be found.
        limit: seconds after which it stops.
        allowed: the controller bytes that may be pressed; b"" for the search's own choice.
    """

    world: int
    stage: int
    seed: int
    known: bytes
    limit: float
    allowed: bytes = b""


@dataclass(frozen=True)
class Report:
    """What a searcher tells while it searches, and once more when it is done.

    Attributes:
        task: what it was asked.
        best: the shortest way known, b"" if none.
        decisions: decisions tried for this task so far.
        places: places known.
        done: whether this is the last report about the task.
    """

    task: Task
    best: bytes
    decisions: int
    places: int
    done: bool


@dataclass
class _Searcher:
    """A process, what it was asked, and when it has to be done with that."""

    process: BaseProcess
    task: Task | None = None
    end: float = 0.0


class Searchers:
    """A number of searching processes. They end with this object, and with the parent process.

    Another one takes the place of one that dies, and goes on with its task from the beginning.
    """

    def __init__(self, count: int, say: Callable[[str], None] = say) -> None:
        """Start ``count`` processes; ``say`` is told when one of them has died."""
        self._say = say
        self._context = get_context("spawn")
        self._searchers: dict[Connection, _Searcher] = {}
        self._deaths = 0
        try:
            for _ in range(count):
                self._start()
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> Searchers:
        """Use them."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End the processes, whatever they are doing."""
        self._end()

    def _end(self) -> None:
        for pipe, searcher in self._searchers.items():
            searcher.process.kill()
            searcher.process.join()
            pipe.close()

    def _start(self) -> Connection:
        """Start a process that has nothing to do, and return what leads to it."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs,), daemon=True)
        with signals_withheld():
            process.start()
            self._searchers[ours] = _Searcher(process)
        theirs.close()
        return ours

    @property
    def num_idle(self) -> int:
        """How many processes have nothing to do."""
        return sum(searcher.task is None for searcher in self._searchers.values())

    def give(self, task: Task) -> None:
        """Let an idle process do something."""
        idle = (pipe for pipe, searcher in self._searchers.items() if searcher.task is None)
        self._give(next(idle), task, time.monotonic() + task.limit)

    def _give(self, pipe: Connection, task: Task, end: float) -> None:
        self._searchers[pipe].task, self._searchers[pipe].end = task, end
        with contextlib.suppress(OSError):  # it has died, which `reports` notices
            pipe.send(task)

    def reports(self, timeout: float) -> Iterator[Report]:
        """Yield what the processes have told, after waiting for it at most ``timeout`` seconds.

        Raises:
            RunError: if they die too often.
        """
        for pipe in wait(list(self._searchers), timeout):
            assert isinstance(pipe, Connection)
            try:
                report: Report = pipe.recv()
            except (EOFError, OSError):
                self._replace(pipe)
                continue
            if report.done:
                self._searchers[pipe].task = None
            yield report

    def _replace(self, pipe: Connection) -> None:
        """Let another process do what a dead one was asked, in the time that it had left."""
        dead = self._searchers.pop(pipe)
        dead.process.join()
        pipe.close()
        self._deaths += 1
        if self._deaths > MOST_DEATHS:
            raise RunError(
                f"Searching processes died {self._deaths} times; is there enough memory?"
            )
        self._say(f"A searching process {how_it_ended(dead.process)}; another one takes its place.")
        another = self._start()
        if dead.task is not None:
            left = max(0.0, dead.end - time.monotonic())
            self._give(another, replace(dead.task, limit=left), dead.end)


def _serve(pipe: Connection) -> None:
    """Do one task after another, until the parent is gone."""
    enter_child()
    try:
        while True:
            _search(pipe.recv(), pipe)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(1)


def _search(task: Task, pipe: Connection) -> None:
    search = Search(task.world, task.stage, task.seed, task.known, task.allowed)
    end = time.monotonic() + task.limit
    next_report = time.monotonic() + REPORT_INTERVAL

    def report(done: bool) -> None:
        pipe.send(Report(task, search.best, search.decisions, search.num_places, done))

    def is_over() -> bool:
        nonlocal next_report
        now = time.monotonic()
        if now >= next_report:
            next_report = now + REPORT_INTERVAL
            report(done=False)
        return now >= end

    search.run(is_over, until_found=not task.known)
    report(done=True)
