"""How many agent steps a second training makes, and what they cost: emulator and learner apart.

    python benchmarks/throughput.py [--seconds 30] [--engines native nes-py] [--settings default]
        [--page README.md]

Every row is a real run of train.py with two workers and its evaluation process. The emulator's
share is measured alone: the same number of games, stepped with random actions in one process.
Measure on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mario_a3c.envs.mario import MarioVectorEnv
from mario_a3c.tables import markdown_table, renew_table

ALONE = ["--start-fraction", "0", "--imitation-coef", "0"]
ONE_PASS = [*ALONE, "--epochs", "1", "--minibatches", "1", "--sequence-length", "0"]
SETTINGS: dict[str, tuple[int, list[str]]] = {
    "reference, 1 game x 50": (1, ["--preset", "reference", "--num-processes", "2"]),
    "one pass, 16 games x 20": (16, [*ONE_PASS, "--num-games", "16", "--num-local-steps", "20"]),
    "sample reuse": (16, ALONE),
    "sample reuse, evaluated only once": (16, [*ALONE, "--eval-interval", "1e6"]),
    "default (sample reuse and found ways)": (16, []),
    "default, 8 games": (8, ["--num-games", "8"]),
}
COLUMNS = (
    "engine",
    "setting, two workers on 1-1",
    "agent steps/s",
    "updates/s",
    "emulator alone, agent steps/s a core",
    "memory in all, GiB",
)
FIRST_ROLLOUTS, LONGEST_START = 3, 300.0
"""Rollouts of all workers, and seconds at most, before the measurement begins."""


def measure_training(engine: str, options: list[str], seconds: float) -> dict[str, float]:
    """Run train.py and return agent steps/s, updates/s and GiB of memory once it is under way."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "train.py", "--engine", engine, "--log-path", folder]
        command += ["--saved-path", folder, "--run-name", "run", "--no-until-solved", *options]
        on_gpu = gpu_memory()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            status = Path(folder, "run", "status.json")
            first = _once_under_way(status, process)
            time.sleep(seconds)
            last = _read(status)
            memory, on_gpu = _memory(process.pid), gpu_memory() - on_gpu
        finally:
            process.terminate()
            process.wait()
    elapsed = last["seconds"] - first["seconds"]
    return {
        "steps": (last["steps"] - first["steps"]) / elapsed,
        "updates": (last["updates"] - first["updates"]) / elapsed,
        "memory": memory,
        "gpu_memory": on_gpu,
    }


def gpu_memory() -> float:
    """Return the memory of the GPU that is in use, in GiB; 0 where there is none."""
    if not torch.cuda.is_available():
        return 0.0
    free, whole = torch.cuda.mem_get_info()
    return (whole - free) / 2**30


def _once_under_way(status: Path, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Wait until all have played some rollouts, and been evaluated; return the figures then."""
    config = None
    for _ in range(int(LONGEST_START)):
        time.sleep(1.0)
        if process.poll() is not None:
            raise RuntimeError(f"train.py ended with status {process.returncode}.")
        if not status.exists():
            continue
        config = config or _read(status.with_name("config.json"))
        figures = _read(status)
        rollouts = figures["steps"] / (config["num_games"] * config["num_local_steps"])
        if figures["evaluation"] and rollouts >= FIRST_ROLLOUTS * config["num_processes"]:
            return figures
    raise RuntimeError(f"train.py was not under way after {LONGEST_START:.0f} s.")


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8"))


def _memory(parent: int) -> float:
    """Return the memory of a process and its children in GiB, shared pages counted once."""
    total = 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(entry.name) == parent or int(words[1]) == parent:
                for line in (entry / "smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1])
        except OSError:
            continue
    return total / 2**20


def measure_emulator(engine: str, games: int, seconds: float) -> float:
    """Return the agent steps/s of the environment alone, one process, random actions."""
    env = MarioVectorEnv(games, 1, 1, engine=engine)
    env.reset(seed=1)
    actions = np.random.default_rng(1)
    steps, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        env.step(actions.integers(7, size=games))
        steps += games
    elapsed = time.perf_counter() - begun
    env.close()
    return steps / elapsed


def main() -> None:
    """Measure every setting on every engine and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each run is measured")
    parser.add_argument("--engines", nargs="+", default=["native", "nes-py"])
    parser.add_argument("--settings", default="", help="only those whose name begins so")
    parser.add_argument("--page", type=Path, help="a page whose table 'throughput' is renewed")
    arguments = parser.parse_args()
    rows = []
    for engine in arguments.engines:
        for name, (games, options) in SETTINGS.items():
            if not name.startswith(arguments.settings):
                continue
            figures = measure_training(engine, options, arguments.seconds)
            alone = measure_emulator(engine, games, 3.0)
            cells = [f"{figures[key]:,.0f}" for key in ("steps", "updates")]
            rows.append([engine, name, *cells, f"{alone:,.0f}", f"{figures['memory']:.2f}"])
            print(*rows[-1], sep="  ", flush=True)
    table = markdown_table(COLUMNS, rows)
    print(table)
    if arguments.page is not None:
        renew_table(arguments.page, "throughput", table)


if __name__ == "__main__":
    main()
