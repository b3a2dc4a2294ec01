"""Draws what more workers bring and cost: speed, what it takes to solve a task, stale gradients.

    for n in 1 2 3 4; do
        python benchmarks/seeds.py --env-name CartPole-v1 -- --num-processes $n
    done
    python benchmarks/workers.py --env-name CartPole-v1

The trainings are read from docs/trainings.csv, where benchmarks/seeds.py notes them. Only those
that solved the task count. Compare times only where the machine was equally busy.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import matplotlib as mpl

from mario_a3c.tables import read_rows

PANELS = {
    "steps_per_second": "agent steps a second",
    "steps": "agent steps until solved",
    "seconds": "seconds until solved",
    "cpu_seconds": "CPU seconds until solved",
    "staleness": "staleness, updates",
}


def main() -> int:
    """Draw one point for each training and a line through the means; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env-name", default="CartPole-v1")
    parser.add_argument("--trainings", type=Path, default=Path("docs/trainings.csv"))
    parser.add_argument("--output", type=Path, default=Path("docs/images/workers.png"))
    arguments = parser.parse_args()
    by_workers = read_trainings(arguments.trainings, arguments.env_name)
    if not by_workers:
        print(f"{arguments.trainings} has no training of {arguments.env_name}.", file=sys.stderr)
        return 2
    draw(by_workers, arguments.env_name, arguments.output)
    print(f"Drew {arguments.output}.")
    return 0


def read_trainings(path: Path, env_name: str) -> dict[int, list[dict[str, str]]]:
    """Return the trainings with nothing but their number of workers changed, by that number."""
    by_workers: dict[int, list[dict[str, str]]] = defaultdict(list)
    for row in read_rows(path):
        workers = row["workers"]
        plain = row["options"] in ("", f"--num-processes {workers}")
        if row["task"] == env_name and plain and row["solved"] == "yes":
            by_workers[int(workers)].append(row)
    return dict(sorted(by_workers.items()))


def draw(by_workers: dict[int, list[dict[str, str]]], env_name: str, output: Path) -> None:
    """Draw the panels into a file."""
    mpl.use("agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(PANELS), figsize=(15, 3.2), layout="constrained")
    for axes, (column, label) in zip(panels, PANELS.items(), strict=True):
        means = []
        for workers, rows in by_workers.items():
            values = [float(row[column]) for row in rows]
            axes.plot([workers] * len(values), values, "o", color="C0", alpha=0.4)
            means.append(sum(values) / len(values))
        axes.plot(list(by_workers), means, color="C0")
        axes.set_xticks(list(by_workers))
        axes.set_ylim(bottom=0)
        axes.set_xlabel("workers")
        axes.set_title(label)
        axes.grid(alpha=0.3)
    figure.suptitle(f"{env_name}: each point is a seed, the line is their mean")
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(main())
