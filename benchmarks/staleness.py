"""What stale gradients do to learning: every gradient is held back until so many others were made.

    python benchmarks/staleness.py --env-name CartPole-v1 --steps 150000 [--processes 2]
    python benchmarks/staleness.py --draw

One worker trains alone, in one process, so that nothing is stale but by the delay, and a run is the
same on every machine, however busy. The curves of all runs are noted in docs/staleness.csv, from
which ``--draw`` makes docs/images/staleness.png. Stages of Mario need ways (``--paths``, from
``python -m mario_a3c.explore``).
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import itertools
import sys
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import torch
from torch import Tensor

from mario_a3c.config import MARIO, RunConfig
from mario_a3c.envs.factory import make_env
from mario_a3c.learning.flat import FlatParameters
from mario_a3c.learning.model import ActorCritic
from mario_a3c.learning.normalization import statistics_size
from mario_a3c.learning.optim import make_state
from mario_a3c.learning.rollout import Episode
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.presets import settings_for
from mario_a3c.tables import read_rows
from mario_a3c.training.link import MemoryLink
from mario_a3c.training.shared import Shared
from mario_a3c.training.worker import WorkerReport, local_train

RECENT = 30
"""Episodes over which a score is averaged."""
POINTS = 60
"""Points of a curve that are noted."""


class Point(NamedTuple):
    """A point of a learning curve: the row of a run after so many steps."""

    task: str
    delay: int
    seed: int
    steps: int
    score: float


class DelayedLink(MemoryLink):
    """Makes every step with the gradient that is ``delay`` updates old."""

    def __init__(self, config: RunConfig, shared: Shared, delay: int) -> None:
        super().__init__(config, shared, worker=0)
        self._delay = delay
        self._waiting: deque[tuple[Tensor, float]] = deque()

    def push(self, gradient: Tensor, learning_rate: float) -> int:
        """Keep a gradient, and take a step with the oldest one if it has waited long enough."""
        self._waiting.append((gradient.clone(), learning_rate))
        if len(self._waiting) > self._delay:
            super().push(*self._waiting.popleft())
        return self._delay


class _Curve:
    """Takes a worker's reports, and notes a score now and then."""

    def __init__(self, config: RunConfig, shared: Shared, delay: int) -> None:
        self._config, self._shared, self._delay = config, shared, delay
        self._recent: deque[float] = deque(maxlen=RECENT)
        self.points: list[Point] = []

    def send(self, report: Any, /) -> None:
        """Take a report."""
        if not isinstance(report, WorkerReport):
            return
        self._recent.extend(_score(episode) for episode in report.episodes if _counts(episode))
        config, steps = self._config, self._shared.steps
        if self._recent and steps >= (len(self.points) + 1) * config.num_global_steps / POINTS:
            score = round(float(np.mean(self._recent)), 3)
            self.points.append(Point(config.task, self._delay, config.seed, steps, score))


def _counts(episode: Episode) -> bool:
    return not episode.figures.get("began_elsewhere")


def _score(episode: Episode) -> float:
    """Return how far a Mario came, and the return of any other task."""
    return float(episode.figures.get("max_x", episode.score))


def train(config: RunConfig, run: tuple[int, int]) -> list[Point]:
    """Train with one delay and seed, and return the curve."""
    delay, seed = run
    torch.set_num_threads(1)
    config = dataclasses.replace(config, seed=seed)
    env = make_env(config, 1, seed=0)
    env.close()
    spec = ModelSpec.for_task(env.single_observation_space, env.single_action_space, config)
    torch.manual_seed(seed)
    weights = FlatParameters(ActorCritic(spec)).values
    quantities = statistics_size(spec.observation_shape)
    state = make_state(config.optimizer, weights)
    shared = Shared.begin(weights, state, 1, quantities, config.noop_max)
    curve = _Curve(config, shared, delay)
    local_train(config, spec, DelayedLink(config, shared, delay), seed * 100_000, curve)
    return curve.points


def draw(points: list[Point], output: Path) -> None:
    """Draw a panel for each task: a line for each delay, the mean over its seeds, and each seed."""
    mpl.use("agg")
    from matplotlib import pyplot

    tasks = sorted({point.task for point in points})
    figure, panels = pyplot.subplots(
        1, len(tasks), figsize=(6 * len(tasks), 4), layout="constrained", squeeze=False
    )
    for axes, task in zip(panels[0], tasks, strict=True):
        of_task = [point for point in points if point.task == task]
        for number, delay in enumerate(sorted({point.delay for point in of_task})):
            runs = [
                [point for point in of_task if (point.delay, point.seed) == (delay, seed)]
                for seed in sorted({point.seed for point in of_task if point.delay == delay})
            ]
            for run in runs:
                xs, ys = [point.steps for point in run], [point.score for point in run]
                axes.plot(xs, ys, color=f"C{number}", alpha=0.25, linewidth=1)
            columns = list(zip(*runs, strict=False))
            xs = [column[0].steps for column in columns]
            means = [float(np.mean([point.score for point in column])) for column in columns]
            axes.plot(xs, means, color=f"C{number}", label=f"{delay} ({len(runs)} seeds)")
        axes.set(title=task, xlabel="agent steps", ylabel=f"mean of {RECENT} training episodes")
        axes.grid(alpha=0.3)
        axes.legend(title="delay in updates")
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=120)
    pyplot.close(figure)


def read(path: Path) -> list[Point]:
    """Return the points that were noted so far."""
    return [
        Point(
            row["task"],
            int(row["delay"]),
            int(row["seed"]),
            int(row["steps"]),
            float(row["score"]),
        )
        for row in read_rows(path)
    ]


def main() -> int:
    """Train with every delay and seed, or draw; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--env-name", default="CartPole-v1")
    parser.add_argument("--delays", nargs="+", type=int, default=[0, 4, 16, 64])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--steps", type=float, default=150_000)
    parser.add_argument("--paths", default="", help="folder with ways through Mario's stage")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("docs/staleness.csv"))
    parser.add_argument("--image", type=Path, default=Path("docs/images/staleness.png"))
    parser.add_argument("--draw", action="store_true", help="train nothing, draw what is noted")
    arguments = parser.parse_args()
    noted = read(arguments.output)
    if not arguments.draw:
        _, settings = settings_for(RunConfig(env_name=arguments.env_name))
        changes = {"num_processes": 1, "device": "cpu", "num_global_steps": arguments.steps}
        if arguments.env_name == MARIO:
            changes["paths"] = arguments.paths
        config = dataclasses.replace(RunConfig(env_name=arguments.env_name), **settings | changes)
        runs = list(itertools.product(arguments.delays, arguments.seeds))
        with ProcessPoolExecutor(arguments.processes, get_context("spawn")) as pool:
            for run, curve in zip(runs, pool.map(partial(train, config), runs), strict=True):
                print(
                    *run,
                    *(f"{point.steps}: {point.score:.0f}" for point in curve[9::10]),
                    flush=True,
                )
                noted = [
                    p for p in noted if (p.task, p.delay, p.seed) != (config.task, *run)
                ] + curve
                with arguments.output.open("w", newline="", encoding="utf-8") as file:
                    writer = csv.writer(file, lineterminator="\n")
                    writer.writerows([Point._fields, *noted])
    if not noted:
        print(f"{arguments.output} holds no curves.", file=sys.stderr)
        return 2
    draw(noted, arguments.image)
    print(f"Drew {arguments.image}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
