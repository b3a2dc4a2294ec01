"""Find ways through stages by search: ``python -m mario_a3c.explore --stages 1-1,8-4 --out ways``.

Every way is written as a trace, ``W-S.jsonl``, as soon as it is found and again when it has become
shorter; ``python -m mario_a3c.replay FILE`` plays one in the bare environment. The search itself is
explained in ``docs/engine.md``. These ways are found by the program, not played by an agent.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from mario_a3c.envs.actions import controller_bytes
from mario_a3c.envs.native_engine import available
from mario_a3c.envs.traces import Trace
from mario_a3c.faults import RunError
from mario_a3c.files import write_atomically
from mario_a3c.search.searchers import Report, Searchers, Task
from mario_a3c.stages import parse_stages
from mario_a3c.words import read_options

FOUND_ALL, MISSING_SOME, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
SHORTEST_SLOT = 2.0
"""Seconds for which at least a way is tried to be made shorter before it is another's turn."""

# The stages that take longest, so that they are not begun last.
_SLOWEST = [(8, 4), (8, 1), (7, 2), (2, 2), (4, 2), (4, 4), (7, 4)]


@dataclass(frozen=True)
class Options:
    """Find ways through stages by search, and make them shorter while time is left."""

    stages: str = "all"
    """Stages, as in 1-1,8-4, or 4-* for a whole world, or all."""
    seconds: float = 120.0
    """The search stops after so many seconds, found or not."""
    shorten: bool = True
    """Make ways shorter in the seconds that are left when every stage has one."""
    seed: int = 0
    """Another seed finds other ways."""
    action_type: str = ""
    """Press only what this action set can: right, simple, complex or pipes. For ways to learn from;
    8-4 has none without the "down" of pipes and complex."""
    processes: int = os.cpu_count() or 1
    """How many stages are searched at the same time."""
    out: Path = Path("ways")
    """The folder that receives W-S.jsonl for each stage; files of the same name are replaced."""


@dataclass
class Progress:
    """How far the search of one stage has come."""

    way: bytes = b""
    running: bool = False
    decisions: int = 0
    places: int = 0
    found_after: float = 0.0
    found_length: int = 0

    def __str__(self) -> str:
        """Return a few words for a table."""
        if self.way:
            shorter = f" ({self.found_length})" if len(self.way) < self.found_length else ""
            return f"{len(self.way)}{shorter}"
        return f"... {self.places}" if self.running else "-"


@dataclass
class Exploration:
    """The search of all stages: what is left to do, and what is known."""

    options: Options
    stages: list[tuple[int, int]]
    started: float = field(default_factory=time.monotonic)
    all_found_after: float = 0.0

    def __post_init__(self) -> None:
        """Line the stages up."""
        name = self.options.action_type
        self._allowed = controller_bytes(name).tobytes() if name else b""
        self.progress = {stage: Progress() for stage in self.stages}
        first = [stage for stage in _SLOWEST if stage in self.progress]
        self._unsearched = deque(first + [s for s in self.stages if s not in first])
        self._to_shorten: deque[tuple[int, int]] = deque()
        self._rounds = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.started

    @property
    def num_found(self) -> int:
        """How many stages have a way."""
        return sum(bool(progress.way) for progress in self.progress.values())

    def next_task(self) -> Task | None:
        """Return what an idle process should do, or None if there is nothing."""
        left = self.options.seconds - self.elapsed
        if left <= 0:
            return None
        if self._unsearched:
            stage = self._unsearched.popleft()
            self.progress[stage].running = True
            return Task(*stage, self.options.seed, b"", left, self._allowed)
        if not (self._to_shorten and self.options.shorten):
            return None
        stage = self._to_shorten.popleft()
        self._rounds += 1
        slot = max(SHORTEST_SLOT, left * self.options.processes / len(self.stages))
        seed = self.options.seed + self._rounds
        return Task(*stage, seed, self.progress[stage].way, min(left, slot), self._allowed)

    def take(self, report: Report) -> bool:
        """Note what a process has told; return whether a stage has been found for the first time.

        Raises:
            OSError: if the way cannot be written.
        """
        stage = (report.task.world, report.task.stage)
        progress = self.progress[stage]
        first = bool(report.best) and not progress.way
        if not report.task.known:
            progress.decisions, progress.places = report.decisions, report.places
        if report.best and (first or len(report.best) < len(progress.way)):
            progress.way = report.best
            self._write(stage, report.best)
        if first:
            progress.found_after, progress.found_length = self.elapsed, len(report.best)
            if self.num_found == len(self.stages):
                self.all_found_after = self.elapsed
        if report.done and progress.way:
            self._to_shorten.append(stage)
        return first

    def _write(self, stage: tuple[int, int], way: bytes) -> None:
        trace = Trace(*stage, seed=self.options.seed, noops=0, completed=True, buttons=way)
        name = f"{stage[0]}-{stage[1]}.jsonl"
        write_atomically(self.options.out / name, f"{trace.to_json()}\n".encode())


class Display:
    """A table that renews itself on a terminal, a line for each way found elsewhere."""

    def __init__(self, exploration: Exploration) -> None:
        """Show how ``exploration`` is getting on."""
        self._exploration = exploration
        self._console = Console()
        self._live: Live | None = None
        if self._console.is_terminal:
            self._live = Live(self._table(), console=self._console, refresh_per_second=4)
            self._live.start()

    def refresh(self) -> None:
        """Renew the table."""
        if self._live is not None:
            self._live.update(self._table())

    def found(self, world: int, stage: int) -> None:
        """Tell of the first way through a stage."""
        progress = self._exploration.progress[world, stage]
        if self._live is None:
            print(
                f"{world}-{stage}: {len(progress.way)} frames, found after "
                f"{progress.found_after:.1f} s with {progress.decisions} decisions",
                flush=True,
            )

    def close(self) -> None:
        """Leave the last state standing."""
        if self._live is not None:
            self._live.update(self._table())
            self._live.stop()

    def _table(self) -> Table:
        exploration = self._exploration
        table = Table(
            title=f"{exploration.num_found} of {len(exploration.stages)} stages, "
            f"{exploration.elapsed:.0f} of {exploration.options.seconds:.0f} s",
            caption="frames of the shortest way (of the first); ... places known while searching",
        )
        table.add_column("world")
        for stage in range(1, 5):
            table.add_column(str(stage), justify="right", min_width=11)
        for world in sorted({world for world, _ in exploration.stages}):
            row = (exploration.progress.get((world, stage), "") for stage in range(1, 5))
            table.add_row(str(world), *(str(cell) for cell in row))
        return table


def explore(exploration: Exploration, display: Display) -> None:
    """Search until every stage is found and the time is up.

    Raises:
        OSError: if a way cannot be written.
        RunError: if the searching processes die too often.
    """
    count = min(exploration.options.processes, len(exploration.stages))
    with Searchers(count) as searchers:
        while True:
            while searchers.num_idle and (task := exploration.next_task()) is not None:
                searchers.give(task)
            if searchers.num_idle == count:
                return
            for report in searchers.reports(timeout=0.5):
                if exploration.take(report):
                    display.found(report.task.world, report.task.stage)
            display.refresh()


def _summary(exploration: Exploration) -> str:
    missing = [f"{w}-{s}" for (w, s), p in exploration.progress.items() if not p.way]
    frames = sum(len(progress.way) for progress in exploration.progress.values())
    if missing:
        return f"Found {exploration.num_found} stages; no way through {', '.join(missing)} yet."
    before = sum(progress.found_length for progress in exploration.progress.values())
    return (
        f"Found a way through all {len(exploration.stages)} stages in "
        f"{exploration.all_found_after:.1f} s; they have {frames} frames, {before} when found. "
        f"They are in {exploration.options.out}."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Explore; return 0 if a way was found through every stage, 1 if not, 2 for bad input."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        options = read_options(Options(), words, "python -m mario_a3c.explore")
        stages = parse_stages(options.stages)
        if options.action_type:
            controller_bytes(options.action_type)
        if options.processes < 1 or not 0 < options.seconds < float("inf"):
            raise ValueError("--processes and --seconds must be positive.")
        is_there, reason = available()
        if not is_there:
            raise ValueError(f"Exploring needs the native engine: {reason}.")
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"--out {options.out} cannot be made: {error.strerror}.", file=sys.stderr)
        return BAD_INPUT
    except ValueError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    exploration = Exploration(options, stages)
    display = Display(exploration)
    try:
        explore(exploration, display)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        print(f"A way could not be written: {error}.", file=sys.stderr)
        return BAD_INPUT
    except RunError as error:
        print(f"{error} --processes 1 needs the least.", file=sys.stderr)
        return MISSING_SOME
    finally:
        display.close()
        print(_summary(exploration), flush=True)
    return FOUND_ALL if exploration.num_found == len(stages) else MISSING_SOME


if __name__ == "__main__":
    sys.exit(main())
