"""A campaign: stage after stage on one machine, until all are solved or the time is over.

Each turn of a stage is a run of ``train.py`` of its own, in a process of its own. What the
campaign knows stands in ``campaign.json`` and in the folders of the runs, so it can be stopped and
started again at any point. An unsolved stage gets another turn once the others had theirs: first
its run goes on, and after every third turn, or when it has had all its steps, a new one begins with
another seed. With several seeds a stage has a run with each of them, as if it were several stages.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from mario_a3c.config import BEGINNING, ConfigError, RunConfig, option_of
from mario_a3c.faults import RunError
from mario_a3c.files import write_atomically
from mario_a3c.training.processes import stop_with_parent
from mario_a3c.training.resume import states

TURNS_PER_SEED = 3
ROUNDING = 0.01
"""Turns that were cut short may add up to so much less than whole ones."""
MOST_FAILURES = 3
"""Runs in a row that may fail, of whatever stages, before the campaign ends."""
POLL, PATIENCE = 1.0, 60.0
"""Seconds between two looks at a run, and that it gets to end when it is asked to."""


@dataclass
class StageRecord:
    """What a campaign knows of one stage, or of one stage with one of several seeds."""

    world: int
    stage: int
    seed: int
    turns: float = 0
    """One that the end of a campaign has cut short counts as the part of it that there was."""
    solved: bool = False
    options: list[str] = field(default_factory=list)
    """The campaign's options when it was solved: with others it may not be."""
    failed: bool = False
    """Whether the run of its last turn ended with an error."""
    run: str = ""
    """Name of its newest run."""
    run_seed: int = 0
    """Seed of that run."""
    began: float = 0
    """How many turns it had had when that run began."""
    seconds: float = 0.0
    status: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The stage's name, for example ``1-1``."""
        return f"{self.world}-{self.stage}"

    @property
    def key(self) -> str:
        """The name of this record: no other of the campaign has it."""
        return f"{self.name}-seed{self.seed}"


class Campaign:
    """Trains a list of stages with the same options."""

    def __init__(
        self,
        folder: Path,
        stages: Sequence[tuple[int, int]],
        seeds: range,
        options: Sequence[str],
        start_from: Callable[[int, int], Path | None] = lambda world, stage: None,
        most_turns: int = 0,
    ) -> None:
        """Begin a campaign, or take up the one that the folder holds.

        Args:
            folder: for ``campaign.json`` and the runs; made if it is not there.
            stages: the stages, in the order of their first turns.
            seeds: of the first runs of every stage.
            options: options of ``train.py`` that every run gets.
            start_from: called with a world and a stage when a run of it begins; returns the agent
                whose weights it starts from, if any.
            most_turns: that a stage gets, those of before counted; 0 for any number.

        Raises:
            ConfigError: the folder holds a record that cannot be read.
            OSError: the folder cannot be made or read.
        """
        self.folder, self.options, self._start_from = folder, list(options), start_from
        self._most_turns = most_turns
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "campaign.json"
        self._failures = 0
        known: dict[tuple[int, int, int], StageRecord] = {}
        try:
            if self._file.exists():
                for entry in json.loads(self._file.read_text("utf-8")):
                    if "began" not in entry:  # an older record tells it by the number of turns
                        runs = entry["turns"] // TURNS_PER_SEED
                        entry |= {"began": runs * TURNS_PER_SEED, "run_seed": entry["seed"] + runs}
                    known[entry["world"], entry["stage"], entry["seed"]] = StageRecord(**entry)
        except (LookupError, TypeError, ValueError) as error:
            raise ConfigError(f"{self._file} is not the record of a campaign: {error}.") from error
        wanted = [(*stage, seed) for seed in seeds for stage in stages]
        self.records = [known.get(one) or StageRecord(*one) for one in wanted]
        for record in self.records:
            record.solved &= record.options == self.options
        self._others = [record for one, record in known.items() if one not in wanted]

    def next_record(self, busy: Collection[str] = ()) -> StageRecord | None:
        """Return the unsolved stage with the fewest turns that may have another, or None.

        Args:
            busy: keys of the records that have their turn.
        """
        waiting = [
            record
            for record in self.records
            if not (record.solved or self.has_had_all(record) or record.key in busy)
        ]
        return min(waiting, key=lambda record: record.turns, default=None)

    def share_left(self, record: StageRecord, share: float) -> float:
        """Return how much of a turn a stage may have, of the share that there is time for."""
        return min(share, self._most_turns - record.turns) if self._most_turns else share

    def has_had_all(self, record: StageRecord) -> bool:
        """Return whether a stage is out of turns."""
        return 0 < self._most_turns <= record.turns + ROUNDING

    def given_up(self) -> list[str]:
        """Return the keys of the stages that are out of turns, and unsolved."""
        return [one.key for one in self.records if self.has_had_all(one) and not one.solved]

    def save(self) -> None:
        """Write what is known of all stages."""
        records = [asdict(record) for record in (*self.records, *self._others)]
        write_atomically(self._file, (json.dumps(records, indent=1) + "\n").encode())

    def take_turn(
        self,
        record: StageRecord,
        hours: float,
        refresh: Callable[[], None],
        interrupted: Callable[[], bool],
        share: float = 1.0,
    ) -> None:
        """Train one stage for a turn.

        Args:
            record: the stage; updated as the run goes on.
            hours: length of the turn.
            refresh: called about once a second.
            interrupted: asked often; true ends the turn, saved.
            share: of a whole turn, that these hours are.

        Raises:
            RunError: several runs in a row have failed.
        """
        begun, earlier = time.monotonic(), record.seconds
        command, folder = self.command(record, hours)
        with self.log(record).open("a", encoding="utf-8") as log:
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=stop_with_parent,
            )
            try:
                while process.poll() is None:
                    record.seconds = earlier + time.monotonic() - begun
                    self.take_status(record, folder)
                    refresh()
                    if interrupted():
                        _end(process)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(timeout=POLL)
            finally:
                _end(process)
        self.end_turn(record, folder, None if interrupted() else process.returncode, share)

    def take_status(self, record: StageRecord, folder: Path) -> None:
        """Read how the run of a stage stands."""
        record.status = _read_status(folder) or record.status

    def end_turn(
        self, record: StageRecord, folder: Path, status: int | None, share: float = 1.0
    ) -> None:
        """Note what came of a turn.

        Args:
            record: the stage.
            folder: of its run.
            status: with which the run ended, None for a turn that was broken off and counts not.
            share: how much of a turn it was; one that failed counts as a whole one.

        Raises:
            RunError: several runs in a row have failed.
        """
        self.take_status(record, folder)
        record.failed = bool(status)
        # What is there after another end may be of an earlier turn, with other options.
        record.solved = status == 0 and bool(record.status.get("solved"))
        record.options = self.options
        if status is not None and not record.solved:
            record.turns = round(record.turns + (1.0 if status else share), 3)
        self.save()
        if status is not None:
            self._failures = self._failures + 1 if status else 0
        if self._failures >= MOST_FAILURES:
            last = self.log(record).read_text("utf-8").strip().rpartition("\n")[2]
            raise RunError(f"{self._failures} runs in a row failed; the last one said: {last}")

    def log(self, record: StageRecord) -> Path:
        """Return the file that holds what the runs of a stage print."""
        return self.folder / f"{record.key}.log"

    def command(
        self, record: StageRecord, hours: float, home: Path | None = None
    ) -> tuple[list[str], Path]:
        """Return the command of a stage's turn of so many hours, and the folder of its run.

        Args:
            record: the stage.
            hours: length of the turn.
            home: where the command finds the campaign's folder, if that is somewhere else.
        """
        home = home or self.folder
        has_turns_left = record.turns < record.began + TURNS_PER_SEED - ROUNDING
        goes_on = record.run and has_turns_left and not self._has_had_all_steps(record)
        if not goes_on:
            record.run_seed, record.began = self._free_seed(record), record.turns
            record.run = f"{record.name}-seed{record.run_seed}"
        self.save()
        folder = self.folder / record.run
        goes_on = goes_on and bool(states(folder))
        options = _without_beginning(self.options) if goes_on else self.options
        program = [sys.executable, "-m", "mario_a3c.cli", *options]
        program += ["--world", str(record.world), "--stage", str(record.stage)]
        if goes_on:
            spent = float(_read_status(folder).get("seconds", 0.0)) / 3600
            there = str(home / folder.name)
            return [*program, "--resume", there, "--hours", str(spent + hours)], folder
        while folder.exists():  # it ended before its first state, or another record had this seed
            folder = folder.with_name(folder.name + "-again")
            record.run = folder.name
        new = ["--log-path", str(home), "--run-name", record.run, "--hours", str(hours)]
        agent = self._start_from(record.world, record.stage)
        if agent is not None:
            new += ["--load-from", str(agent)]
        return [*program, *new, "--seed", str(record.run_seed)], folder

    def _has_had_all_steps(self, record: StageRecord) -> bool:
        """Return whether the newest run of a record can go no further with these options."""
        status = _read_status(self.folder / record.run)
        return record.options == self.options and bool(status.get("out_of_steps"))

    def _free_seed(self, record: StageRecord) -> int:
        """Return the seed for a record's next run: its own first, then those that nobody has."""
        if not record.run:
            return record.seed
        of_stage = [one for one in (*self.records, *self._others) if one.name == record.name]
        return 1 + max(max(one.seed, one.run_seed) for one in of_stage)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a run, if it has not ended: saved, unless it takes longer than `PATIENCE`."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _read_status(folder: Path) -> dict[str, Any]:
    try:
        status = json.loads((folder / "status.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return status if isinstance(status, dict) else {}


def _without_beginning(options: Sequence[str]) -> list[str]:
    """Return options without those that say what a run begins with: it is to go on."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    for name in BEGINNING:
        takes_value = not isinstance(getattr(RunConfig, name), bool)
        parser.add_argument(option_of(name), action="store" if takes_value else "store_true")
    return parser.parse_known_args(options)[1]


def run_campaign(
    campaign: Campaign, hours: float, stage_hours: float, interrupted: Callable[[], bool]
) -> None:
    """Give turns to the stages until all are solved, the time is over, or somebody interrupts.

    Args:
        campaign: the stages.
        hours: time in all; 0 for no limit.
        stage_hours: length of a turn.
        interrupted: asked often; true ends the campaign, to be started again later.

    Raises:
        RunError: several runs in a row have failed.
    """
    begun = time.monotonic()
    with shown(campaign) as show:
        while not interrupted():
            left = hours - (time.monotonic() - begun) / 3600 if hours else stage_hours
            record = campaign.next_record()
            if record is None or left <= 0:
                break

            refresh = partial(show, {record.key})
            share = campaign.share_left(record, min(1.0, left / stage_hours))
            campaign.take_turn(record, share * stage_hours, refresh, interrupted, share)
            show(set())


Show = Callable[[set[str]], None]
"""Called with the keys of the records that have their turn."""


@contextlib.contextmanager
def shown(campaign: Campaign) -> Iterator[Show]:
    """Show a table of all stages: live in a terminal, and elsewhere a line after each turn."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    if console.is_terminal:
        with Live(console=console, refresh_per_second=1) as live:
            yield lambda current: live.update(table(campaign.records, current))
        return
    before: set[str] = set()

    def tell(current: set[str]) -> None:
        for record in campaign.records:
            if record.key in before - current:
                print("  ".join(_row(record)), flush=True)
        before.clear()
        before.update(current)

    yield tell
    console.print(table(campaign.records, set()))


def table(records: Sequence[StageRecord], current: set[str]) -> Table:
    """Return a table of all stages; those that are being trained are marked."""
    shown = Table("stage", "seed", "state", "turns", "time", "steps", "mean x", "completed")
    shown.add_column("evaluation")
    for record in records:
        shown.add_row(*_row(record, running=record.key in current))
    return shown


def _row(record: StageRecord, running: bool = False) -> list[str]:
    status = record.status
    rests = "failed" if record.failed else "waiting"
    state = "solved" if record.solved else "training" if running else rests
    recent = status.get("recent", {})
    return [
        record.name,
        str(record.run_seed if record.run else record.seed),
        state,
        f"{record.turns:.3g}",
        f"{record.seconds / 60:.1f} min",
        f"{status.get('steps', 0):,}",
        f"{recent.get('max_x', 0):.0f}",
        f"{100 * recent.get('completed', 0):.0f}%",
        str(status.get("evaluation", "")),
    ]
