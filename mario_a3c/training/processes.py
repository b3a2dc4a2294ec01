"""Processes: what a child is deaf to, what it keeps and dies of, and when the parent stops."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from mario_a3c.faults import Failure, RunError

PR_SET_PDEATHSIG = 1
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Names of settings for mallopt(3)."""
_libc = ctypes.CDLL(None)
_prctl = getattr(_libc, "prctl", None)  # looked up here: little may be done in a fork
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What asks a run to stop. Only the parent acts on them, and tells its children."""


def run_child(target: Callable[..., None], arguments: tuple[Any, ...], pipe: Connection) -> None:
    """Be a child process: do the work, and say in the end what went wrong.

    Args:
        target: the work; called with the arguments and the pipe.
        arguments: of the work.
        pipe: leads to the parent.
    """
    enter_child()
    try:
        target(*arguments, pipe)
        os._exit(0)  # without the interpreter's clearing up, which takes PyTorch a while
    except Exception as error:
        text = str(error) if isinstance(error, RunError) else f"{type(error).__name__}: {error}"
        pipe.send(Failure(text, traceback.format_exc(), final=isinstance(error, RunError)))
        raise SystemExit(1) from None


def enter_child() -> None:
    """Prepare a spawned process for its work.

    Ctrl-C reaches every process of a terminal, and other signals every process of a service; only
    the parent acts on them, and tells the children through shared memory. A child whose parent has
    died ends at once, whatever it is doing: orphaned workers would run for ever. A thread sees to
    that; on Linux the kernel does too, for a child inside foreign code that lets no thread run. It
    looks at the thread that started the child, so the main thread has to.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    keep_freed_memory()
    parent = parent_process()
    if parent is None:
        return
    _have_kernel_send(signal.SIGKILL)
    if os.getppid() != parent.pid:  # it died before we asked
        os._exit(1)
    threading.Thread(
        target=_end_with, args=(parent.sentinel,), name="parent watch", daemon=True
    ).start()


def keep_freed_memory() -> None:
    """Have memory that this process frees stay with it, to be used again.

    An update makes and drops tensors of some hundred megabytes. The GNU C library gives pieces of
    that size back to the system at once, which has to clear each page before it hands it out again
    (``docs/engine.md`` tells what that cost). Elsewhere nothing happens.
    """
    mallopt = getattr(_libc, "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)  # no piece of memory is asked for on its own
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def how_it_ended(process: BaseProcess) -> str:
    """Return how a process ended that should not have: by which signal, or with which status."""
    status = process.exitcode or 0
    if status < 0:
        known = -status in set(signal.Signals)
        return f"was killed by {signal.Signals(-status).name if known else f'signal {-status}'}"
    return f"ended unasked with status {status}"


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _have_kernel_send(number: signal.Signals) -> None:
    if _prctl is not None:
        _prctl(PR_SET_PDEATHSIG, int(number))


def stop_with_parent() -> None:
    """Have the kernel send us SIGTERM when the process that started us ends, however it does.

    For programs that are started as such and cannot watch their parent. Linux only; elsewhere
    nothing happens.
    """
    _have_kernel_send(signal.SIGTERM)


@contextmanager
def signals_withheld() -> Iterator[None]:
    """Let no process that is started in this block be stopped by the signals meant for us.

    They are blocked, which a started process inherits, and delivered to us afterwards: a child is
    busy with its imports for seconds before it reaches `enter_child`.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        # The first process that is started starts this helper too, which unblocks some of them.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def signals_ending_us() -> Iterator[None]:
    """Let what asks a run to stop end this process at once, even in foreign code that hangs.

    For the time before a run has anything to save. The system's own action is taken, since ours
    would wait for that code to come back. A signal that is ignored stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may choose
        return
    actions = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    before = {n: action for n, action in actions.items() if action not in (signal.SIG_IGN, None)}
    try:
        for number in before:
            signal.signal(number, signal.SIG_DFL)
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


class Interruption:
    """Turns SIGINT, SIGTERM and SIGHUP into a wish to stop, and a second one into haste.

    A signal that was ignored when we were started (nohup) stays ignored.
    """

    def __init__(self) -> None:
        """Nothing has been asked for yet."""
        self.signal: int | None = None
        self.insisted = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        """Listen."""
        for number in STOP_SIGNALS:
            before = signal.getsignal(number)
            if before is not signal.SIG_IGN:
                self._before[number] = before
                signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no more."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __bool__(self) -> bool:
        """Whether somebody wants the run to stop."""
        return self.signal is not None

    def _note(self, number: int, _: object) -> None:
        self.insisted = self.signal is not None
        self.signal = self.signal or number
