"""Prove the native engine: ``python -m mario_a3c.verify_engine``.

The same buttons go to the native engine and to the bare ``SuperMarioBrosEnv`` of
gym-super-mario-bros. After every frame all 2,048 bytes of RAM must be equal, and whether the game
has ended; after every tenth frame, and at the end of every episode, the full-colour screen and
the observation that is made from it. Two more native consoles, which leave frames undrawn as
training and the search do, must be in the same state after every decision of four frames. With
``--record`` what is equal is kept in a file, and not compared again until the engine changes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from mario_a3c.envs.native_engine import available, built_from, outdated
from mario_a3c.files import check_writable
from mario_a3c.stages import parse_stages
from mario_a3c.tables import renew_table, renewed
from mario_a3c.training.processes import stop_with_parent
from mario_a3c.verify_engine.comparison import PLAYERS, Case, Outcome, compare
from mario_a3c.verify_engine.record import Record, Row
from mario_a3c.words import read_options

BAD_INPUT = 2
TABLE = "equality"

_ROW = "{:17} {:9} {:>7} {:>8} {:>9} {:>5}  {}"


@dataclass(frozen=True)
class Options:
    """Compare the native engine with nes-py, frame by frame."""

    frames: int = 20_000
    """Frames for each stage and player."""
    stages: str = "all"
    """Stages of Super Mario Bros, as in 1-1,8-4; all; or none."""
    lost_levels: bool = True
    """Compare the first world of The Lost Levels as well."""
    seed: int = 0
    """Seeds the random player."""
    processes: int = 2
    """How many stages are compared at the same time."""
    record: Path | None = None
    """File that keeps what was compared, docs/equality.csv for instance. What it holds already, of
    the same engine, is not compared again."""
    page: Path | None = None
    """Page whose table of the record is renewed, docs/engine.md for instance."""


def cases(options: Options) -> list[Case]:
    """Return everything that is to be compared.

    Raises:
        ValueError: for a stage that is not in the game.
    """
    named = [] if options.stages == "none" else parse_stages(options.stages)
    stages = [(world, stage, False) for world, stage in named]
    if options.lost_levels:
        stages += [(1, stage, True) for stage in range(1, 5)]
    return [
        Case(world, stage, lost_levels, player, options.frames, options.seed)
        for world, stage, lost_levels in stages
        for player in PLAYERS
    ]


def _row(case: Case, outcome: Outcome) -> Row:
    return {
        "game": "lost-levels" if case.lost_levels else "smb1",
        "stage": f"{case.world}-{case.stage}",
        "player": case.player,
        "seed": str(case.seed),
        "frames": str(outcome.frames),
        "screens": str(outcome.screens),
        "episodes": str(outcome.episodes),
        "furthest_x": str(outcome.furthest),
        "differences": str(len(outcome.differences)),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print a table, and return 0 if everything was equal, 1 if not, 2 for bad input."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        options = read_options(Options(), words, "python -m mario_a3c.verify_engine")
        to_compare, record = _checked(options)
    except ValueError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    started = time.monotonic()
    known = [case for case in to_compare if record and record.has(_row(case, Outcome(case.frames)))]
    if known:
        print(f"{options.record} has {len(known)} of these cases, equal with this engine.")
    rows = []
    try:
        for row in _compare_all([c for c in to_compare if c not in known], options.processes):
            rows.append(row)
            if record:
                record.add(row)
        if record and options.page:
            renew_table(options.page, TABLE, record.table())
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    different = sum(row["differences"] != "0" for row in rows)
    frames, screens = (sum(int(row[name]) for row in rows) for name in ("frames", "screens"))
    print(
        f"{len(rows)} cases, {frames} frames, {screens} screens in "
        f"{time.monotonic() - started:.0f} s: {different} cases with differences."
    )
    return 1 if different else 0


def _checked(options: Options) -> tuple[list[Case], Record | None]:
    """Return what is to be compared, and the record if one is kept.

    Raises:
        ValueError: in a sentence, for what cannot be compared, recorded or shown.
    """
    is_there, reason = available()
    if not is_there:
        raise ValueError(f"There is no native engine to compare: {reason}.")
    if options.processes < 1 or options.frames < 1:
        raise ValueError("--processes and --frames must be positive.")
    if options.seed < 0:
        raise ValueError(f"--seed {options.seed} is not allowed: give 0 or more.")
    to_compare = cases(options)
    if not to_compare:
        raise ValueError("Nothing is left to compare: name --stages, or allow the Lost Levels.")
    if options.record is None:
        if options.page:
            raise ValueError("--page shows what --record keeps: name a record as well.")
        return to_compare, None
    if sentence := outdated():
        raise ValueError(sentence)
    with _usable("--record", options.record):
        record = Record(options.record, built_from())
    for case in to_compare:
        record.check_replaceable(_row(case, Outcome(case.frames)))
    if options.page:
        with _usable("--page", options.page):
            renewed(options.page, TABLE, "")
    return to_compare, record


@contextmanager
def _usable(option: str, path: Path) -> Iterator[None]:
    """Refuse a file that cannot be read in the block, or not be written later."""
    try:
        check_writable(path)
        yield
    except OSError as error:
        raise ValueError(f"{option} {path} cannot be used: {error.strerror}.") from None


def _compare_all(to_compare: list[Case], processes: int) -> Iterator[Row]:
    """Compare several cases at the same time, print a line for each, and yield it for a record."""
    print(_ROW.format("stage", "player", "frames", "screens", "episodes", "x", "result"))
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=stop_with_parent) as pool:
        running = {pool.submit(compare, case): case for case in to_compare}
        for future in as_completed(running):
            case, outcome = running[future], future.result()
            counts = (outcome.frames, outcome.screens, outcome.episodes, outcome.furthest)
            result = "equal" if not outcome.differences else "DIFFERENT"
            print(_ROW.format(case.name, case.player, *counts, result), flush=True)
            for difference in outcome.differences:
                print(f"    {difference}", flush=True)
            yield _row(case, outcome)


if __name__ == "__main__":
    sys.exit(main())
