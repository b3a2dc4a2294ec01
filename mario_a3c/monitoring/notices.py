"""What a run has to say: on the terminal, as long as there is one, and in a file for later."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import TextIO


class Notices:
    """Says sentences, and keeps them with the time in a file. Neither can fail.

    Args:
        path: the file; it is made when there is something to say.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def say(self, text: str) -> None:
        """Say a sentence."""
        say(text)
        self._keep(text)

    def add_trace(self, trace: str) -> None:
        """Keep where something failed, which is of use only to those who look for the mistake."""
        if trace:
            self._keep(trace)

    def _keep(self, text: str) -> None:
        with contextlib.suppress(OSError), self._path.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a sentence to a stream, normally the standard output.

    The terminal may have been closed, and a pipe's reader may have gone.
    """
    stream = stream or sys.stdout
    try:
        print(text, file=stream, flush=True)
    except OSError:
        lead_nowhere(stream)


def lead_nowhere(stream: TextIO) -> None:
    """Throw away what is written to a stream that nobody reads any more.

    What Python holds back of it would fail once more when the program ends.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
