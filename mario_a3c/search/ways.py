"""The ways through a stage that a run learns from: found when it begins, if none are given."""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mario_a3c.config import RunConfig
from mario_a3c.envs.actions import controller_bytes
from mario_a3c.envs.traces import Trace
from mario_a3c.faults import RunError
from mario_a3c.files import write_atomically
from mario_a3c.search.searchers import Searchers, Task

NUM_SEARCHES = 2
"""Ways that are looked for. The shortest is learned from: several of them, each with its own manner
of passing an enemy, are learned more slowly than one (docs/experiments.md)."""
LONGEST_SEARCH, SHORTENING = 300.0, 10.0
"""Seconds for which a way is looked for, and then made shorter."""
PATIENCE = 3.0
"""How many times as long as the first way took the others may take."""


def learns_from_ways(config: RunConfig) -> bool:
    """Whether a run needs ways: to begin episodes on them, imitate them or count their ground."""
    uses = config.start_fraction or config.imitation_coef or config.ground_of_ways
    return config.is_mario and bool(uses)


def ways_file(folder: Path, config: RunConfig) -> Path:
    """Return the file in a folder that holds the ways through a run's stage."""
    return folder / f"{config.world}-{config.stage}.jsonl"


def content_of_ways(config: RunConfig) -> bytes:
    """Return what a file has to hold that stands for all those a run learns from, line by line."""
    if not learns_from_ways(config):
        return b""
    folder = Path(config.paths)
    files = sorted(folder.rglob(ways_file(folder, config).name))
    return b"".join(line + b"\n" for file in files for line in file.read_bytes().splitlines())


def provide_ways(
    config: RunConfig, say: Callable[[str], None], interrupted: Callable[[], bool]
) -> None:
    """Search for the ways that a run learns from, and write them, unless they are there.

    Args:
        config: the run; its ``paths`` names the folder.
        say: told what was found.
        interrupted: asked often; true ends the search with nothing written.

    Raises:
        RunError: no way was found, the search keeps dying, or the way cannot be written.
    """
    folder = Path(config.paths)
    file = ways_file(folder, config)
    if not learns_from_ways(config) or any(folder.rglob(file.name)):
        return
    begun, stage = time.monotonic(), f"{config.world}-{config.stage}"
    say(f"Looking for a way through {stage}, by search, to learn from.")
    # What the agent cannot press it cannot imitate: "down" leads into a pipe that it passes by.
    allowed = controller_bytes(config.action_type).tobytes()
    ways = find_ways(config.world, config.stage, config.seed, allowed, interrupted, say)
    if interrupted():
        return
    if not ways:
        raise RunError(
            f"No way through {stage} was found in {time.monotonic() - begun:.0f} s: another --seed "
            "may find one, --paths takes those of python -m mario_a3c.explore, and "
            "--imitation-coef 0 --start-fraction 0 --no-ground-of-ways learns without."
        )
    shortest = ways[0]
    say(f"Found one in {time.monotonic() - begun:.0f} s, of {len(shortest.buttons)} frames.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(file, f"{shortest.to_json()}\n".encode())
    except OSError as error:
        raise RunError(f"{file} cannot be written: {error.strerror}.") from error


def find_ways(
    world: int,
    stage: int,
    seed: int,
    allowed: bytes,
    interrupted: Callable[[], bool],
    say: Callable[[str], None],
    *,
    count: int = NUM_SEARCHES,
    longest: float = LONGEST_SEARCH,
    shortening: float = SHORTENING,
) -> list[Trace]:
    """Search for several ways through a stage, each with a seed of its own, the shortest first.

    Args:
        world: 1 to 8.
        stage: 1 to 4.
        seed: other seeds find other ways.
        allowed: the controller bytes that may be pressed.
        interrupted: asked often; true ends the search.
        say: told when a searching process has died.
        count: how many ways; they are fewer where the others take much longer than the first.
        longest: seconds after which a search without a way is given up.
        shortening: seconds for which each way that was found is made shorter.

    Raises:
        RunError: if the searching processes die too often.
    """
    seeds = range(seed * count, (seed + 1) * count)
    waiting = deque(Task(world, stage, seed, b"", longest, allowed) for seed in seeds)
    ways: dict[int, bytes] = {}
    processes = min(count, os.cpu_count() or 1)
    begun, end = time.monotonic(), math.inf
    with Searchers(processes, say) as searchers:
        while not interrupted() and time.monotonic() < end:
            while waiting and searchers.num_idle:
                searchers.give(waiting.popleft())
            if searchers.num_idle == processes:
                break
            for report in searchers.reports(timeout=0.2):
                if not report.best:
                    continue
                ways[report.task.seed] = report.best
                if report.done and not report.task.known:
                    waiting.append(replace(report.task, known=report.best, limit=shortening))
                if end == math.inf:
                    end = begun + 2 * count * shortening + PATIENCE * (time.monotonic() - begun)
    found = (Trace(world, stage, way, 0, True, buttons) for way, buttons in ways.items())
    return sorted(found, key=lambda way: len(way.buttons))
