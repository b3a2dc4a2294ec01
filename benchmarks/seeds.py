"""Trains a task once per seed, measures each agent over 100 episodes, and keeps what came of it.

    python benchmarks/seeds.py --env-name CartPole-v1 [--seeds 1 2 3] [-- train.py options]

A row per seed is added to docs/trainings.csv, whatever came of it; `python -m mario_a3c.benchmark`
makes its tables from there. CPU seconds are those of all processes of a run: on two idle cores it
would take half as many seconds. An agent of seed 1 that is better than the one in saved_models/
takes its place, as with train.py; those of other seeds stay in the run's folder.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from mario_a3c.benchmark.tasks import SEED_OF_SCORES
from mario_a3c.checkpoint import load_agent
from mario_a3c.config import RunConfig
from mario_a3c.plot import read_curve
from mario_a3c.tables import append_row
from mario_a3c.training.resume import load_state
from mario_a3c.training.shared import UPDATES

COLUMNS = (
    "task",
    "preset",
    "options",
    "workers",
    "seed",
    "solved",
    "score",
    "deviation",
    "steps",
    "best_seconds",
    "seconds",
    "cpu_seconds",
    "steps_per_second",
    "staleness",
    "lost_updates",
)


def main() -> None:
    """Train, measure, and add the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env-name", required=True)
    parser.add_argument("--seeds", nargs="+", default=["1", "2", "3"])
    parser.add_argument("--hours", default="1", help="longest time for a seed")
    parser.add_argument("--episodes", default="100", help="over which an agent is measured")
    parser.add_argument("--output", type=Path, default=Path("docs/trainings.csv"))
    parser.add_argument("options", nargs="*", help="further options of train.py, after --")
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        row = train(arguments, seed)
        print(row, flush=True)
        append_row(arguments.output, COLUMNS, row)


def train(arguments: argparse.Namespace, seed: str) -> dict[str, Any]:
    """Train one agent, measure it, and return its row."""
    name = f"{arguments.env_name.replace('/', '-')}-seed{seed}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = Path("logs", name)
    before = _children_cpu_seconds()
    command = [sys.executable, "train.py", "--env-name", arguments.env_name, "--seed", seed]
    command += ["--hours", arguments.hours, "--run-name", name]
    if seed != "1":
        command += ["--saved-path", str(folder / "agents")]
    subprocess.run([*command, *arguments.options], check=True)
    cpu_seconds = _children_cpu_seconds() - before
    status = json.loads((folder / "status.json").read_text("utf-8"))
    config = json.loads((folder / "config.json").read_text("utf-8"))
    speed = read_curve(folder, "speed/agent_steps_per_second")
    measured = play(folder / "best.safetensors", arguments.env_name, arguments.episodes)
    return {
        "task": RunConfig.from_dict(config).task,
        "preset": config["preset"],
        "options": " ".join(arguments.options),
        "workers": config["num_processes"],
        "seed": seed,
        "solved": "yes" if status["solved"] else "no",
        "score": round(measured["mean_return"], 2),
        "deviation": round(measured["deviation"], 2),
        "steps": status["steps"],
        "best_seconds": round(load_agent(folder / "best.safetensors").metadata["seconds"]),
        "seconds": round(status["seconds"]),
        "cpu_seconds": round(cpu_seconds),
        "steps_per_second": round(float(np.median(speed.values))),
        **asynchrony(folder),
    }


def asynchrony(folder: Path) -> dict[str, Any]:
    """Return what working without a lock did in a run.

    ``staleness`` is how many updates others pushed between a pull and its push, on average, and
    ``lost_updates`` how many updates the optimizer's shared count of steps has missed.
    """
    state, _, _ = load_state(folder)
    pushed, counted = int(state["counters"][:, UPDATES].sum()), int(state["optimizer.step"])
    staleness = float(np.mean(read_curve(folder, "train/staleness").values))
    return {"staleness": round(staleness, 2), "lost_updates": pushed - counted}


def play(agent: Path, env_name: str, episodes: str) -> dict[str, Any]:
    """Return what play.py measures of an agent."""
    command = [sys.executable, "play.py", "--env-name", env_name, "--checkpoint", str(agent)]
    command += ["--episodes", episodes, "--seed", str(SEED_OF_SCORES)]
    command += ["--no-window", "--json"]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(printed.splitlines()[-1])


def _children_cpu_seconds() -> float:
    """Return the processor time of all processes that were started here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
