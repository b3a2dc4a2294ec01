"""Being a child process: one thread, no keyboard signals, and gone when the parent is."""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing import parent_process
from multiprocessing.connection import wait
from typing import Any

import torch


def enter_child() -> None:
    """Prepare a spawned process for its work.

    Ctrl-C reaches every process of a terminal; only the parent acts on it, and tells the children
    through shared memory. A child whose parent has died ends at once, whatever it is doing:
    orphaned workers would run for ever.
    """
    for interrupt in (signal.SIGINT, signal.SIGHUP):
        signal.signal(interrupt, signal.SIG_IGN)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, name="parent watch", daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


class Interruption:
    """Turns the first SIGINT, SIGTERM or SIGHUP into a wish to stop; a second one insists."""

    def __init__(self) -> None:
        """Nothing has been asked for yet."""
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        """Listen."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no more."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: object) -> None:
        self.signal = number
