"""Processes that search stages, one stage each at a time, for `mario_a3c.explore`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from types import TracebackType

from mario_a3c.search.search import Search

REPORT_INTERVAL = 0.5
"""Seconds between two reports of a running search."""
DIED = "A searching process has died; is there enough memory? --processes 1 needs the least."


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


class Searchers:
    """A number of searching processes. They end with this object, and with the parent process."""

    def __init__(self, count: int) -> None:
        """Start ``count`` processes."""
        context = get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        self._idle = list(self._pipes)

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
        for process in self._processes:
            process.terminate()
            process.join()

    @property
    def num_idle(self) -> int:
        """How many processes have nothing to do."""
        return len(self._idle)

    def give(self, task: Task) -> None:
        """Let an idle process do something.

        Raises:
            RuntimeError: if it has died.
        """
        try:
            self._idle.pop().send(task)
        except OSError:
            raise RuntimeError(DIED) from None

    def reports(self, timeout: float) -> Iterator[Report]:
        """Yield what the processes have told, after waiting for it at most ``timeout`` seconds.

        Raises:
            RuntimeError: if a process has died.
        """
        for pipe in wait(self._pipes, timeout):
            assert isinstance(pipe, Connection)
            try:
                report: Report = pipe.recv()
            except (EOFError, OSError):
                raise RuntimeError(DIED) from None
            if report.done:
                self._idle.append(pipe)
            yield report


def _serve(pipe: Connection) -> None:
    """Do one task after another, until the parent is gone."""
    # Ctrl-C reaches every process of a terminal; the parent deals with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
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
