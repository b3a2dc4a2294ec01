"""Where the native engine spends its time, by ``perf`` (Linux).

    python benchmarks/engine_profile.py [--stage 1-1] [--seconds 10] [--page docs/engine.md]

A process plays 16 games with random buttons and an observation every fourth frame, while perf notes
1,000 times a second of its processor time which function it is in. Those of the extension are
counted; Python is not. Other work on the machine hardly changes the shares. ``--page`` renews the
table there.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from mario_a3c.envs.actions import controller_bytes
from mario_a3c.envs.engine import OBSERVATION_SIZE
from mario_a3c.envs.native_engine import NativeEngine
from mario_a3c.stages import parse_stages
from mario_a3c.tables import markdown_table, renew_table

GAMES, FRAMES_PER_OBSERVATION = 16, 4
PARTS = {
    "the game's program: the processor": r"Console::",
    "drawing every fourth frame": r"Ppu::(draw|find_(tiles|colours|sprites))",
    "the picture processor without pixels": r"Ppu::",
    "the 84x84 observation": r"sum_columns|sum_rows|look_up|nes::observe",
    "the batch, its Python binding, and the rest": "",
}
"""What a function of the extension belongs to: the first pattern found in its name."""


def play(stage: str, seconds: float) -> None:
    """Play, for so many seconds of processor time."""
    ((world, number),) = parse_stages(stage)
    engine = NativeEngine(world, number, GAMES)
    rng = np.random.default_rng(1)
    held = controller_bytes("simple")[rng.integers(7, size=(4096, GAMES))]
    frames = np.full(GAMES, FRAMES_PER_OBSERVATION, dtype=np.int32)
    observation = np.zeros((GAMES, OBSERVATION_SIZE, OBSERVATION_SIZE), dtype=np.uint8)
    step = 0
    while time.thread_time() < seconds:
        _, ended = engine.step(held[step % len(held)], frames, observation)
        step += 1
        for game in np.flatnonzero(ended).tolist():
            engine.reset(game)


def shares(report: str) -> dict[str, float]:
    """Return each part's share, 0 to 1, from lines as ``46.71% ;_native.so ;nes::Batch::step``."""
    found = dict.fromkeys(PARTS, 0.0)
    line = r"^\s*([\d.]+)%\s*;\s*_native\..*?;(.*)$"
    for percent, symbol in re.findall(line, report, re.MULTILINE):
        part = next(part for part, pattern in PARTS.items() if re.search(pattern, symbol))
        found[part] += float(percent)
    total = sum(found.values())
    return {part: share / total for part, share in found.items()}


def measure(stage: str, seconds: float) -> dict[str, float]:
    """Let perf watch another process that plays.

    Raises:
        subprocess.CalledProcessError: if perf cannot, which it has explained.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = str(Path(folder) / "perf.data")
        player = [sys.executable, __file__, "--play", "--stage", stage, "--seconds", str(seconds)]
        subprocess.run(
            ["perf", "record", "-q", "-F", "1000", "-e", "cpu-clock:u", "-o", data, *player],
            check=True,
        )
        columns = ["-F", "overhead,dso,sym", "-t", ";"]
        report = subprocess.run(
            ["perf", "report", "-i", data, "--stdio", "--no-children", *columns],
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    return shares(report.stdout)


def main() -> int:
    """Measure, print a table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stage", default="1-1")
    parser.add_argument("--seconds", type=float, default=10.0, help="of processor time")
    parser.add_argument("--page", type=Path, help="page whose table is renewed")
    parser.add_argument("--play", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.play:
        play(arguments.stage, arguments.seconds)
        return 0
    if shutil.which("perf") is None:
        print("There is no perf; install it (Debian's package is linux-perf).", file=sys.stderr)
        return 2
    try:
        found = measure(arguments.stage, arguments.seconds)
        rows = [(part, f"{share:.0%}") for part, share in found.items()]
        table = markdown_table(("part", "of the time"), rows)
        print(table)
        if arguments.page:
            renew_table(arguments.page, "engine-profile", table)
    except subprocess.CalledProcessError as error:
        print(f"perf failed with status {error.returncode}.", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
