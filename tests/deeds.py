"""What child processes do in the tests of children: light, so that they start in no time."""

import os
import re
import resource
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from mario_a3c.faults import RunError

WORKED_WITH = 64 * 2**20
"""Bytes of the memory that is used again and again."""


def report_and_wait(text: str, pipe: Connection) -> None:
    """Say something, then do nothing for ever."""
    pipe.send(text)
    while True:
        time.sleep(60)


def report_and_return(text: str, pipe: Connection) -> None:
    """Say something and be done."""
    pipe.send(text)


def report_and_die(text: str, pipe: Connection) -> None:
    """Say a lot and be killed at once."""
    for number in range(50):
        pipe.send(f"{text} {number}")
    os.kill(os.getpid(), signal.SIGKILL)


def die_while_reporting(pipe: Connection) -> None:
    """Be killed in the middle of a message."""
    pipe.send("whole")
    os.write(pipe.fileno(), (1000).to_bytes(4, "big") + b"half of it")
    os.kill(os.getpid(), signal.SIGKILL)


def raise_error(text: str, pipe: Connection) -> None:
    """Fail by a mistake."""
    raise ValueError(text)


def raise_run_error(text: str, pipe: Connection) -> None:
    """Fail for good."""
    raise RunError(text)


def report_signals(pipe: Connection) -> None:
    """Tell our process number, and be deaf."""
    pipe.send(os.getpid())
    report_and_wait("waiting", pipe)


def report_and_hang(pipe: Connection) -> None:
    """Tell our process number, and be inside C code that lets no other thread run."""
    pipe.send(os.getpid())
    re.match("(a+)+$", "a" * 60 + "b")


def hold_children(number: int, deed: Callable[..., None] = report_signals) -> None:
    """Be a parent of some children that do something, print what they report, and wait."""
    from mario_a3c.training.children import Children

    def show(report: object) -> None:
        print(report, flush=True)

    children = Children(show)
    for index in range(number):
        children.start(f"child {index}", deed, tuple)
    while True:
        children.listen(1.0)


def report_page_faults(pipe: Connection) -> None:
    """Tell how many new pages memory takes that was in use before, as much as a worker's."""

    def use() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(5):
            bytearray(WORKED_WITH)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    use()
    pipe.send(use())
