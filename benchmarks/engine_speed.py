"""How many frames of Super Mario Bros a second: the native engine and nes-py side by side.

    python benchmarks/engine_speed.py [--stage 1-1] [--seconds 1.0] [--rounds 5] [--threads 2]
    python benchmarks/engine_speed.py --page docs/engine.md     # renews the table there

Random buttons are pressed; a game that ends begins again. Every round measures each row once, so
that all of them see the same machine, and the table has the medians. A second is told twice: by the
clock on the wall, and as processor time of the thread, which other work on the machine hardly
touches. What several threads gain is only seen by the clock on the wall, on an idle machine. It
takes a minute there.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from gym_super_mario_bros.smb_env import SuperMarioBrosEnv

from mario_a3c.envs.actions import controller_bytes
from mario_a3c.envs.engine import OBSERVATION_SIZE, Engine
from mario_a3c.envs.native_engine import NativeEngine, new_snapshots
from mario_a3c.envs.nes_py_engine import NesPyEngine
from mario_a3c.stages import parse_stages
from mario_a3c.tables import markdown_table, renew_table

GAMES = 16
FRAMES_PER_OBSERVATION = 4
BYTES = controller_bytes("simple")

Work = Callable[[], int]
"""Does a little and returns how many frames (or snapshots) it was."""


@dataclass
class Row:
    """What is measured, and how often a second it was done, one figure for each round."""

    name: str
    works: list[Work]
    by_wall: list[float] = field(default_factory=list)
    by_processor: list[float] = field(default_factory=list)

    def measure(self, seconds: float) -> None:
        """Let every work have a thread of its own for some seconds of processor time."""
        done = [0.0] * len(self.works)
        used = [0.0] * len(self.works)

        def repeat(index: int, work: Work) -> None:
            begun = time.thread_time()
            while (now := time.thread_time() - begun) < seconds:
                done[index] += work()
            used[index] = now

        threads = [
            threading.Thread(target=repeat, args=(index, work))
            for index, work in enumerate(self.works)
        ]
        begun = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.by_wall.append(sum(done) / (time.perf_counter() - begun))
        self.by_processor.append(sum(n / t for n, t in zip(done, used, strict=True)))

    @property
    def wall(self) -> float:
        """The median by the clock on the wall."""
        return statistics.median(self.by_wall)

    @property
    def processor(self) -> float:
        """The median by processor time."""
        return statistics.median(self.by_processor)


def observed(engine: Engine) -> Work:
    """Play a batch with an observation of every game every fourth frame."""
    buttons = np.random.default_rng(1)
    frames = np.full(engine.num_games, FRAMES_PER_OBSERVATION, dtype=np.int32)
    size = (engine.num_games, OBSERVATION_SIZE, OBSERVATION_SIZE)
    observation = np.zeros(size, dtype=np.uint8)

    def work() -> int:
        held = BYTES[buttons.integers(len(BYTES), size=engine.num_games)]
        ran, ended = engine.step(held, frames, observation)
        for game in np.flatnonzero(ended).tolist():
            engine.reset(game)
        return int(ran.sum())

    return work


def undrawn(engine: NativeEngine) -> Work:
    """Play one game without drawing, and keep a snapshot every fourth frame, as the search does."""
    buttons = np.random.default_rng(1)
    snapshots = new_snapshots(20)

    def work() -> int:
        held = BYTES[buttons.integers(len(BYTES), size=len(snapshots))]
        _, frames, ended = engine.play(0, held, FRAMES_PER_OBSERVATION, snapshots)
        if ended:
            engine.reset(0)
        return frames

    return work


def bare(world: int, stage: int) -> Work:
    """Advance nes-py, which draws every frame, and do nothing else."""
    env = SuperMarioBrosEnv(target=(world, stage))
    env.reset()

    def work() -> int:
        for _ in range(50):
            env._frame_advance(0)
        return 50

    return work


def saved(engine: Engine) -> Work:
    """Save the state of a game."""

    def work() -> int:
        for _ in range(50):
            engine.save(0)
        return 50

    return work


def loaded(engine: Engine) -> Work:
    """Load a saved state."""
    state = engine.save(0)

    def work() -> int:
        for _ in range(50):
            engine.load(0, state)
        return 50

    return work


def main() -> int:
    """Measure, print the tables, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stage", default="1-1")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each row in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--page", type=Path, help="page whose table is renewed")
    arguments = parser.parse_args()
    try:
        tables = measure(arguments)
        print(tables)
        if arguments.page:
            renew_table(arguments.page, "engine-speed", tables)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def measure(arguments: argparse.Namespace) -> str:
    """Return two tables in Markdown, and a sentence between them.

    Raises:
        ValueError: for an argument that cannot be.
    """
    if min(arguments.seconds, arguments.rounds, arguments.threads) <= 0:
        raise ValueError("--seconds, --rounds and --threads must be positive.")
    stages = parse_stages(arguments.stage)
    if len(stages) != 1:
        raise ValueError(f"--stage takes one stage, not {arguments.stage}.")
    ((world, stage),) = stages
    load = os.getloadavg()[0]

    def native(games: int = GAMES) -> NativeEngine:
        return NativeEngine(world, stage, games)

    nes_py = NesPyEngine(world, stage, GAMES)
    bare_frames = Row("nes-py, bare frames", [bare(world, stage)])
    one = Row("native, an observation every 4th frame", [observed(native())])
    several = Row(
        f"native, the same in {arguments.threads} threads",
        [observed(native()) for _ in range(arguments.threads)],
    )
    frames = [
        bare_frames,
        Row("nes-py, an observation every 4th frame", [observed(nes_py)]),
        one,
        several,
        Row("native, undrawn, a snapshot every 4th frame", [undrawn(native(1))]),
    ]
    snapshots = [
        Row("nes-py, save", [saved(nes_py)]),
        Row("nes-py, load", [loaded(nes_py)]),
        Row("native, save", [saved(native(1))]),
        Row("native, load", [loaded(native(1))]),
    ]
    for _ in range(arguments.rounds):
        for row in [*frames, *snapshots]:
            row.measure(arguments.seconds)

    columns = ("frames a second", "wall clock", "processor time", "times bare nes-py")
    speeds = [
        (
            row.name,
            f"{row.wall:,.0f}",
            f"{row.processor:,.0f}",
            f"{row.processor / bare_frames.processor:.1f}",
        )
        for row in frames
    ]
    times = [(row.name, f"{1e6 / row.processor:,.1f}") for row in snapshots]
    sentence = (
        f"{arguments.threads} threads make {several.wall / one.wall:.2f} times the frames of one "
        f"by the clock on the wall, {several.processor / one.processor:.2f} times by processor "
        f"time. Stage {world}-{stage}, {GAMES} games, medians of {arguments.rounds} rounds of "
        f"{arguments.seconds:g} s; the load of the machine's {os.cpu_count()} cores was {load:.1f} "
        "when it began."
    )
    return "\n\n".join(
        (
            markdown_table(columns, speeds),
            textwrap.fill(sentence, 100),
            markdown_table(("a snapshot", "microseconds of processor time"), times),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
