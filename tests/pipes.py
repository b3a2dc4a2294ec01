"""Output that nobody reads."""

import contextlib
import os
from collections.abc import Iterator
from typing import TextIO


@contextlib.contextmanager
def unread() -> Iterator[TextIO]:
    """Open a stream into a pipe whose reader has gone away; closing it must not fail."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        yield stream
