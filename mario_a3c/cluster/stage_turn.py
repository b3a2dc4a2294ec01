"""The actor in which a stage of a campaign has its turn: a run of ``train.py`` on some machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from mario_a3c.files import TEMPORARY, FolderLock
from mario_a3c.training.processes import stop_with_parent

HOME = "@home@"
"""Stands in the words of a command for the folder that a turn has on its machine."""
PATIENCE = 60.0
PREFIX = "mario_a3c-turn-"
"""Of the names of folders that turns have, in the machine's folder for what is temporary."""


@dataclass
class TurnLook:
    """A turn at one moment.

    Attributes:
        status: with which it ended; None while it goes on.
        names: all files of the run's folder.
        files: those that have changed since the look before, with their content.
        said: the end of what the program said.
    """

    status: int | None
    names: set[str]
    files: dict[str, bytes]
    said: str


class StageTurn:
    """Runs ``train.py`` in a folder of its own, and hands over what it writes.

    Args:
        words: options; `HOME` in them is replaced by the folder.
        run: name of the run's folder in it.
        files: to be there from the beginning, by their paths in the folder.
    """

    def __init__(self, words: list[str], run: str, files: dict[str, bytes]) -> None:
        _remove_what_is_left()
        new = Path(tempfile.mkdtemp(prefix="mario_a3c-"))
        self._lock = FolderLock(new)
        self._home = new.rename(new.with_name(PREFIX + new.name.rpartition("-")[2]))
        self._folder = self._home / run
        for name, content in files.items():
            path = self._home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self._seen = self._stamps()
        self._log = self._home / "said"
        words = [word.replace(HOME, str(self._home)) for word in words]
        paths = os.pathsep.join(path for path in sys.path if path)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mario_a3c.cli", *words],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
                cwd=self._home,
                preexec_fn=stop_with_parent,
            )

    def look(self) -> TurnLook:
        """Return how the turn stands."""
        status = self._process.poll()
        now = self._stamps()
        files = {}
        for name, stamp in now.items():
            if self._seen.get(name) != stamp:
                try:
                    files[name] = (self._folder / name).read_bytes()
                except OSError:  # removed meanwhile
                    continue
                self._seen[name] = stamp
        said = self._log.read_text("utf-8", "replace")[-2000:]
        return TurnLook(status, set(now), files, said)

    def stop(self) -> None:
        """End the run, saved."""
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def clear(self) -> None:
        """Remove the folder, and end the run if it still goes on."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._home, ignore_errors=True)

    def _stamps(self) -> dict[str, tuple[int, int]]:
        """Return when each file of the run was written, and its size; but not unfinished ones."""
        stamps = {}
        for path in self._folder.rglob("*"):
            try:
                status = path.stat()
            except OSError:  # removed meanwhile
                continue
            if S_ISREG(status.st_mode) and not path.name.endswith((TEMPORARY, ".lock")):
                name = path.relative_to(self._folder).as_posix()
                stamps[name] = status.st_mtime_ns, status.st_size
        return stamps


def _remove_what_is_left() -> None:
    """Remove the folders of turns whose process was killed before it could do that."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # in use, or somebody else's
            lock = FolderLock(folder)
            shutil.rmtree(folder, ignore_errors=True)
            lock.release()
