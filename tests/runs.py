"""Runs of train.py in processes of their own, for tests that interrupt, starve and kill them."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from mario_a3c.training.processes import stop_with_parent
from mario_a3c.training.resume import load_state, states

ROOT = Path(__file__).parent.parent
SOON = 120.0
"""Seconds that anything may take to begin with: a busy machine imports PyTorch slowly."""
SMALL = (
    *("--preset", "none", "--num-processes", "1", "--num-games", "2", "--num-local-steps", "16"),
    *("--epochs", "1", "--minibatches", "1", "--eval-episodes", "2", "--eval-interval", "0.5"),
    *("--device", "cpu", "--save-interval", "0.3"),
)
VECTORS = ("--hidden", "8", "--no-recurrent")


def busy() -> float:
    """Return how many times slower than alone anything goes here at present, at least 1.

    What takes seconds on a machine of its own takes longer beside other work; limits on time are
    multiplied by this.
    """
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


class TrainRun:
    """A run of train.py with small settings, in a folder called ``run``.

    Args:
        folder: holds the run's folder.
        words: further options of the command line.
        game: a task of `tests.broken_games`, unless the run is resumed; empty for Mario.
        environment: further environment variables.
        terminal: file descriptor of a terminal that becomes the run's own.
        program: what Python is given to run in the place of train.py.
        **settings: of `subprocess.Popen`.
    """

    def __init__(
        self,
        folder: Path,
        *words: str,
        game: str = "Game",
        environment: dict[str, str] | None = None,
        terminal: int | None = None,
        program: tuple[str, ...] = ("train.py",),
        **settings: Any,
    ) -> None:
        self.folder = folder / "run"
        if "--resume" not in words:
            task = ("--env-name", f"tests.broken_games:{game}-v0", *VECTORS) if game else ()
            words = (
                *(*task, *SMALL),
                *("--log-path", str(folder), "--run-name", "run"),
                *("--saved-path", str(folder / "agents"), *words),
            )
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, *program, *words],
            cwd=ROOT,
            env=os.environ | (environment or {}),
            start_new_session=True,
            preexec_fn=partial(become_ordinary, terminal),
            text=True,
            **({"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | settings),
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        if self.process.stdout is not None:
            for line in self.process.stdout:
                self.lines.append(line.rstrip())

    @property
    def output(self) -> str:
        """All that was printed so far."""
        return "\n".join(self.lines)

    def until(self, condition: Callable[[], Any], seconds: float = SOON) -> float:
        """Wait until something holds; return how long that took, as `end` does."""
        begun = time.monotonic()
        while not condition():
            assert time.monotonic() - begun < seconds * busy(), self.output
            time.sleep(0.02)
        return (time.monotonic() - begun) / busy()

    def until_it_trains(self) -> None:
        """Wait until a worker has pushed updates and the evaluation has played."""
        self.until(lambda: (self.folder / "best.safetensors").exists() or self.ended)
        self.until(lambda: self.ended or self.saved_steps()[:1] > [0])
        assert not self.ended, self.output

    def until_it_counts_steps(self) -> None:
        """Wait until the run tells that its workers have made steps, whether they are saved or not.

        It tells that every five seconds.
        """
        self.until(lambda: self.ended or self.status().get("steps", 0) > 0)
        assert not self.ended, self.output

    def until_it_says(self, text: str, seconds: float = SOON) -> float:
        """Wait until something was printed; return how long that took, as `end` does."""
        return self.until(lambda: text in self.output, seconds)

    @property
    def ended(self) -> bool:
        """Whether the parent process is gone."""
        return self.process.poll() is not None

    def signal(self, number: int) -> None:
        """Send a signal to all processes of the run, as a terminal and a service manager do."""
        os.killpg(self.process.pid, number)

    def end(self, number: int | None = None, seconds: float = SOON) -> float:
        """Send a signal, if one is given, and wait for the end.

        Returns:
            the seconds that took, or would have taken on a machine that is not `busy`.
        """
        if number is not None:
            self.signal(number)
        begun = time.monotonic()
        self.process.wait(seconds * busy())
        return (time.monotonic() - begun) / busy()

    def children(self) -> list[int]:
        """Return the numbers of the worker, evaluation and helper processes that live."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    state, _, session = standing(entry / "stat")
                except OSError:
                    continue
                if session == self.process.pid != int(entry.name) and state != "Z":
                    found.append(int(entry.name))
        return sorted(found)

    def spawned(self) -> list[int]:
        """Return the numbers of the worker and evaluation processes, in the order they started."""
        return [number for number in self.children() if "spawn_main" in command(number)]

    def status(self) -> dict[str, Any]:
        """Return what the run leaves for others to look at."""
        try:
            return dict(json.loads((self.folder / "status.json").read_text()))
        except (OSError, ValueError):
            return {}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the newest resume state, which must be sound."""
        tensors, metadata, passed_over = load_state(self.folder)
        assert not passed_over
        return tensors, metadata

    def saved_steps(self) -> list[int]:
        """Return the steps of the resume states, the newest first."""
        return saved_steps(self.folder)

    def clear(self) -> None:
        """End whatever is left."""
        for number in [self.process.pid, *self.children()]:
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()


def saved_steps(folder: Path) -> list[int]:
    """Return the steps of the resume states in a folder, the newest first."""
    return [int(path.stem.partition("-")[2]) for path in states(folder)]


def become_ordinary(terminal: int | None) -> None:
    """Be stopped by Ctrl-C and a closed terminal, also under nohup, and have one if it is given.

    A run does not outlive tests that are killed.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    stop_with_parent()
    if terminal is not None:
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def standing(path: Path) -> tuple[str, int, int]:
    """Return the state, the parent and the session of a process."""
    state, parent, _, session = path.read_text().rpartition(")")[2].split()[:4]
    return state, int(parent), int(session)


def command(number: int) -> str:
    """Return the command line of a process."""
    try:
        return Path(f"/proc/{number}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
