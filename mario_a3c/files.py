"""Writing files so that nothing is lost: complete or not at all, and one run to a folder."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from pathlib import Path

TEMPORARY = ".partial"
"""Ending of the names under which files are written until they are complete."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that ``path`` holds the old content or all of the new, whatever happens.

    The content reaches the disk before the name does: a power cut between the two leaves the old
    file, and a half-written one only under a temporary name.

    Raises:
        OSError: the disk is full or not writable; ``path`` is then unchanged.
    """
    descriptor, name = tempfile.mkstemp(TEMPORARY, f".{path.name}.", path.parent)
    temporary = Path(name)
    try:
        try:
            _write_all(descriptor, content)
            os.fchmod(descriptor, 0o644)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def check_writable(path: Path) -> None:
    """Raise ``OSError`` if `write_atomically` cannot write ``path``; leave nothing behind."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    with tempfile.TemporaryFile(dir=path.parent):
        pass


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync(path: Path) -> None:
    """Make the content of a file, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_temporaries(folder: Path) -> None:
    """Remove what interrupted writers left in a folder and below; nobody may be writing there."""
    for path in folder.rglob(f".*{TEMPORARY}"):
        path.unlink(missing_ok=True)


class FolderInUseError(OSError):
    """Another process holds the folder."""


class FolderLock:
    """Keeps a folder to one process for as long as that process lives.

    The lock is the kernel's: however the process ends, nothing stays locked.
    """

    def __init__(self, folder: Path) -> None:
        """Take the folder.

        Raises:
            FolderInUseError: another living process holds it.
            OSError: the folder cannot be written to.
        """
        self._descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise FolderInUseError(f"{folder} is in use by another run") from None

    def release(self) -> None:
        """Give the folder back."""
        os.close(self._descriptor)
