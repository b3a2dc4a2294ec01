"""A disk that keeps what a power cut would leave, at every byte that was written and every call."""

import errno
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest


@dataclass
class File:
    """A file, whatever its name: what was written, and how much of it surely is on the disk."""

    content: bytes
    synced: int


@dataclass
class Moment:
    """What a folder's disk has been asked to do by then.

    Data reaches the disk when its file is synced, and a change of names when the folder is; before
    that, any part of it may be there or not.

    Attributes:
        files: by numbers that are given to no other; the system gives those of deleted ones again.
        names: that surely are on the disk, and of which files.
        pending: changes of names since the folder was synced: the file, or None for a name that
            was deleted.
    """

    files: dict[int, File]
    names: dict[str, int]
    pending: list[tuple[str, int | None]]

    def possible_folders(self) -> Iterator[dict[str, bytes]]:
        """Yield all that the folder may hold after the power comes back."""
        for there in itertools.product((False, True), repeat=len(self.pending)):
            names: dict[str, int | None] = dict(self.names)
            names.update(itertools.compress(self.pending, there))
            files = {name: self.files[inode] for name, inode in names.items() if inode is not None}
            lengths = (range(file.synced, len(file.content) + 1) for file in files.values())
            for cut in itertools.product(*lengths):
                pairs = zip(files.items(), cut, strict=True)
                yield {name: file.content[:length] for (name, file), length in pairs}


@dataclass
class RecordedDisk:
    """Does what it is asked with the files of a folder, and keeps every `Moment`.

    Args:
        folder: what is in it is on the disk.
        full: so many calls of `os.write` fail for want of room, the first ones.
    """

    folder: Path
    full: int = 0
    moments: list[Moment] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Take what is in the folder as being on the disk."""
        self._numbers: dict[int, int] = {}
        self._files: dict[int, File] = {}
        self._names: dict[str, int] = {}
        self._pending: list[tuple[str, int | None]] = []
        for path in self.folder.iterdir():
            content = path.read_bytes()
            self._names[path.name] = self._number(path.stat())
            self._files[self._names[path.name]] = File(content, len(content))
        self._note()

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand between the program and its files until the patches are undone."""
        monkeypatch.setattr(os, "write", self._write)
        monkeypatch.setattr(os, "fsync", self._fsync)
        monkeypatch.setattr(Path, "replace", lambda source, target: self._replace(source, target))
        monkeypatch.setattr(Path, "unlink", lambda path, **words: self._unlink(path, **words))

    def _number(self, known: os.stat_result) -> int:
        """Return the number of a file that exists."""
        number = self._numbers.setdefault(known.st_ino, len(self._files))
        self._files.setdefault(number, File(b"", 0))
        return number

    def _note(self) -> None:
        files = {number: replace(file) for number, file in self._files.items()}
        self.moments.append(Moment(files, dict(self._names), list(self._pending)))

    def _write(self, descriptor: int, data: bytes) -> int:
        if self.full:
            self.full -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        file = self._files[self._number(os.fstat(descriptor))]
        for byte in data:
            file.content += bytes([byte])
            self._note()
        return _write(descriptor, data)

    def _fsync(self, descriptor: int) -> None:
        _fsync(descriptor)
        if os.path.samestat(os.fstat(descriptor), self.folder.stat()):
            for name, number in self._pending:
                self._names.pop(name, None)
                if number is not None:
                    self._names[name] = number
            self._pending.clear()
        else:
            file = self._files[self._number(os.fstat(descriptor))]
            file.synced = len(file.content)
        self._note()

    def _replace(self, source: Path, target: Path) -> Path:
        number = self._number(source.stat())
        os.rename(source, target)
        self._pending.append((target.name, number))
        self._note()
        return target

    def _unlink(self, path: Path, missing_ok: bool = False) -> None:
        if missing_ok and not path.exists():
            return
        self._numbers.pop(path.stat().st_ino, None)
        os.unlink(path)
        self._pending.append((path.name, None))
        self._note()


_write, _fsync = os.write, os.fsync
