"""Output that nobody reads, and output that somebody has to."""

import contextlib
import os
import select
import threading
from collections.abc import Iterator
from typing import TextIO


@contextlib.contextmanager
def unread() -> Iterator[TextIO]:
    """Open a stream into a pipe whose reader has gone away; closing it must not fail."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        yield stream


@contextlib.contextmanager
def read_by_somebody(descriptor: int) -> Iterator[None]:
    """Read what comes out of a terminal meanwhile: it holds 4 kB, and then its writers wait."""
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            if select.select([descriptor], [], [], 0.1)[0]:
                os.read(descriptor, 2**16)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield
    finally:
        done.set()
        reader.join()
