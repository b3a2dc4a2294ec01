"""The files behind TensorBoard's curves: whole records only, and a full disk stops nothing.

tensorboardX writes from a thread, which dies of the first error; the next ten values then fill its
queue, and the eleventh waits for ever. The files made here never raise: what cannot be written is
lost, and said once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tensorboardX.record_writer import register_writer_factory

SCHEME = "whole-records"


class RecordFile:
    """A file to which whole records are appended, or nothing.

    Args:
        path: the file.
        complain: called with a sentence when writing fails for the first time, and again after it
            has worked in between.
    """

    def __init__(self, path: Path, complain: Callable[[str], None]) -> None:
        self._path, self._complain = path, complain
        self._pending = bytearray()
        self._size = 0
        self._failed = False

    def write(self, part: bytes) -> None:
        """Take a part of a record; it is written with the next `flush`."""
        self._pending += part

    def flush(self) -> None:
        """Append the pending records, all of them or none."""
        if not self._pending:
            return
        content, self._pending = bytes(self._pending), bytearray()
        try:
            self._append(content)
        except OSError as error:
            if not self._failed:
                self._complain(f"Curves could not be written to {self._path}: {error.strerror}.")
            self._failed = True
        else:
            self._failed = False

    def _append(self, content: bytes) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.ftruncate(descriptor, self._size)  # what a failed write before has left
            rest = memoryview(content)
            while rest:
                rest = rest[os.pwrite(descriptor, rest, self._size + len(content) - len(rest)) :]
        except OSError:
            os.ftruncate(descriptor, self._size)
            raise
        finally:
            os.close(descriptor)
        self._size += len(content)

    def close(self) -> None:
        """Write what is pending."""
        self.flush()


class _Factory:
    """Makes the files for tensorboardX, which asks for them by a scheme in the path."""

    def __init__(self, complain: Callable[[str], None]) -> None:
        self._complain = complain

    def directory_check(self, path: str) -> None:
        """Do nothing: the run's folder exists."""

    def open(self, path: str) -> RecordFile:
        """Return the file of a path with the scheme in front."""
        return RecordFile(Path(path.removeprefix(f"{SCHEME}:")), self._complain)


def event_folder(folder: Path, complain: Callable[[str], None]) -> str:
    """Return the name by which tensorboardX writes such files into a folder."""
    register_writer_factory(SCHEME, _Factory(complain))
    return f"{SCHEME}:{folder}"
