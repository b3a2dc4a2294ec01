"""Measures the agents in a folder and writes the tables of the documentation.

``python -m mario_a3c.benchmark`` keeps what it finds in ``docs/results.json`` and makes
``docs/results.md`` and the table in the README from it. Nothing in those tables is typed by hand.
An agent whose file has not changed since it was measured is not measured again, and with
``--no-measure`` none is.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro

from mario_a3c.benchmark.mario import (
    EPISODES,
    NOOPS,
    SEED,
    mario_table,
    measure_mario,
    training_in_all,
    training_of,
)
from mario_a3c.benchmark.tasks import measure_task, tasks_page, tasks_table
from mario_a3c.benchmark.versions import versions, versions_told
from mario_a3c.checkpoint import CheckpointError, load_agent
from mario_a3c.files import write_atomically
from mario_a3c.tables import renew_table

BAD_INPUT = 2
PATTERN = "*.safetensors"

Results = dict[str, dict[str, Any]]
"""Figures by task, ``mario-1-1`` or the id of an environment."""


@dataclass(frozen=True)
class BenchmarkOptions:
    """Play the agents that come with the project and write the results into the documentation."""

    saved_models: Path = Path("saved_models")
    """Folder of the agents."""
    unfinished: tuple[Path, ...] = ()
    """Further agents, which do not come with the project: those of stages not yet finished. One is
    measured only if its stage has no agent in the folder."""
    again: bool = False
    """Measure all, also those that have not changed."""
    measure: bool = True
    """Measure agents that have changed; --no-measure writes the pages from what is known."""
    results: Path = Path("docs/results.json")
    """What was measured, for programs."""
    trainings: Path = Path("docs/trainings.csv")
    """What benchmarks/seeds.py noted of trainings of other tasks than Mario."""
    page: Path = Path("docs/results.md")
    """The page to write."""
    readme: Path = Path("README.md")
    """The page whose table is renewed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write; return 0, or 2 if there is nothing to write or an agent is broken."""
    options = tyro.cli(BenchmarkOptions, args=arguments, prog="python -m mario_a3c.benchmark")
    torch.set_num_threads(1)
    shipped = sorted(options.saved_models.glob(PATTERN))
    if options.measure and not shipped:
        print(f"There is no {PATTERN} in {options.saved_models}.", file=sys.stderr)
        return BAD_INPUT
    results: Results = {}
    if options.results.exists():
        results = json.loads(options.results.read_text("utf-8"))
    elif not options.measure:
        print(f"There is no {options.results} to write pages from.", file=sys.stderr)
        return BAD_INPUT
    if options.measure:
        try:
            results = _measure_all(options, shipped, results)
        except (CheckpointError, OSError) as error:
            print(f"mario_a3c.benchmark: {error}", file=sys.stderr)
            return BAD_INPUT
        _save(options.results, results)
    table = mario_table(results)
    page = _page(table, results) + "\n" + tasks_page(results, options.trainings)
    write_atomically(options.page, page.encode())
    renew_table(options.readme, "agents", mario_table(results, short=True))
    renew_table(options.readme, "tasks", tasks_table(results))
    return 0


def _measure_all(options: BenchmarkOptions, shipped: list[Path], known: Results) -> Results:
    """Return the figures of every agent, those known already where its file is the same."""
    paths = {path.stem: path for path in shipped}
    for path in options.unfinished:
        paths.setdefault(str(load_agent(path).metadata["task"]), path)
    results: Results = {}
    for task, path in sorted(paths.items()):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        before = known.get(task, {})
        if options.again or before.get("sha256") != digest:
            measure = measure_mario if task.startswith("mario-") else measure_task
            before = {"sha256": digest, "versions": versions(), **measure(path)}
            print(f"{task}: {before}", flush=True)
        if task.startswith("mario-"):  # what a file tells costs nothing to read again
            before |= training_of(load_agent(path).metadata)
        results[task] = {**before, "shipped": path in shipped}
        _save(options.results, {**known, **results})
    return results


def _save(path: Path, results: Results) -> None:
    write_atomically(path, (json.dumps(results, indent=1, sort_keys=True) + "\n").encode())


def _page(table: str, results: Results) -> str:
    mario = [figures for task, figures in results.items() if task.startswith("mario-")]
    machine = versions_told(mario, ("processor", "Python", "torch", "nes-py"))
    return f"""# Results

Written by `python -m mario_a3c.benchmark`; nothing here is typed by hand. Every episode starts at
the beginning of its stage. Greedy: one episode, the likeliest action at every step. Replay: the
same button presses in the bare `gym_super_mario_bros` on nes-py. Sampled: {EPISODES} episodes with
actions drawn from the policy and 0-{NOOPS} no-op frames first (seed {SEED}), and how far those that
do not finish get on average. Time left: the game's clock where the stage was finished. Random: mean
furthest x of as many episodes with random buttons. Steps, time and means are those of the training
from nothing to where these weights were measured best, over all runs in a row, each of which began
with the best agent of the one before; the seed is the last one's, and the time wall-clock time on
one or two cores, which other work mostly shared. Of a warm start the row tells only what came
after. Means: reuse is several passes over each rollout; gradual no-ops, retries and averaged
weights are `--gradual-noops`, `--retry-fraction` and `--average-share`, the close view is `--view
close`, the cost of being undecided an `--entropy-coef` below 0, and what death costs and rewards
are multiplied by, where that is not the default, `--death-cost` and `--reward-scale`; gamma is that
of the end, in brackets those before; where several runs are told, they were made one after another;
with first on 1-3 one of these began with the agent of 1-3. Found ways are those of search, in 8-4
also the agent's own (`mario_a3c.own_ways`). Drilled agents were made certain of what they do, and
learned by heart what gets past their failures, after each of these numbers of no-op frames
([agents.md](agents.md#drilled)); the decisions and minutes of that count too. Whether a new agent
replaced an older one was decided by these 200 episodes as well, which favours the figures a little.
A run that was paused counts the pause as its time ([experiments.md](experiments.md) tells of one).
Measured on {machine}.

{training_in_all(results)}

{table}
"""


if __name__ == "__main__":
    sys.exit(main())
