"""What the benchmark measures of agents for other tasks than Mario, and the tables of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mario_a3c.benchmark.versions import versions_told
from mario_a3c.checkpoint import load_agent
from mario_a3c.playing.tasks import (
    SIDE_BY_SIDE,
    TaskGame,
    agent_game,
    play_task,
    random_game,
    summary,
)
from mario_a3c.tables import markdown_table, read_rows

TASK_EPISODES = 100
"""Episodes of each agent, and as many of the random baseline."""
TASK_SEED = 10_000
"""Of those episodes: none that training or its evaluation has seen."""
SEED_OF_SCORES = 0
"""Of the episodes over which benchmarks/seeds.py scores each agent; training has not seen them."""


@dataclass(frozen=True)
class Goal:
    """What the project set out to reach in a task.

    Attributes:
        score: mean return.
        minutes: of training in which to reach it, on two cores.
    """

    score: float
    minutes: float


GOALS = {
    "CartPole-v1": Goal(475.0, 2),
    "Acrobot-v1": Goal(-100.0, 5),
    "LunarLander-v3": Goal(200.0, 20),
    "Pendulum-v1": Goal(-200.0, 10),
    "Pendulum-v1-hide-2": Goal(-300.0, 20),
    "MountainCarContinuous-v0": Goal(90.0, 10),
    "Reacher-v5": Goal(-6.0, 20),
    "PongDeterministic-v4": Goal(20.0, 45),
}
"""By the names of the agents' files."""

_COLUMNS = (
    "task",
    "asked for",
    "within",
    "score",
    "random",
    "steps",
    "trained for",
    "reached",
    "seed",
    "means",
)
_SEED_COLUMNS = (
    "task",
    "seed",
    "score",
    "best after",
    "reached",
    "solved",
    "steps",
    "wall-clock",
    "CPU",
    "workers",
)
_PACKAGES = ("Python", "torch", "numpy", "gymnasium", "ale-py", "mujoco", "box2d")


def measure_task(path: Path) -> dict[str, Any]:
    """Play an agent greedily, play at random beside it, and return the figures.

    Raises:
        CheckpointError: the file is not an agent of a task that can be made.
    """
    metadata = load_agent(path).metadata
    config = metadata["config"]
    game = agent_game(path, config["env_name"], "", stochastic=False)
    agent, at_random = (_play(game), _play(random_game(config["env_name"])))
    return {
        "score": agent["mean_return"],
        "deviation": agent["deviation"],
        "random": at_random["mean_return"],
        "random_deviation": at_random["deviation"],
        "steps": metadata["steps"],
        "seconds": metadata.get("seconds", 0.0),
        "seed": config["seed"],
        "means": _means(config),
    }


def _play(game: TaskGame) -> dict[str, Any]:
    return summary(game, list(play_task(game, TASK_EPISODES, TASK_SEED)))


def _means(config: dict[str, Any]) -> str:
    means = ["LSTM"] if config["recurrent"] else []
    if config["epochs"] * config["minibatches"] > 1:
        means.append("reuse")
    if config["hide"]:
        means.append(f"observation {', '.join(map(str, config['hide']))} hidden")
    if config["action_repeat"] > 1:
        means.append(f"actions held for {config['action_repeat']} steps")
    return ", ".join(means) or "none"


def tasks_table(results: dict[str, dict[str, Any]]) -> str:
    """Return the table of all agents but Mario's, Markdown."""
    known = {task: results[task] for task in GOALS if task in results}
    others = {task: results[task] for task in sorted(results) if not task.startswith("mario-")}
    return markdown_table(
        _COLUMNS, [_row(task, figures) for task, figures in (known | others).items()]
    )


def _row(task: str, figures: dict[str, Any]) -> list[str]:
    goal, seconds = GOALS.get(task), figures["seconds"]
    return [
        task,
        "-" if goal is None else f"{goal.score:g}",
        "-" if goal is None else f"{goal.minutes:g} min",
        f"{figures['score']:.2f} ± {figures['deviation']:.2f}",
        f"{figures['random']:.2f} ± {figures['random_deviation']:.2f}",
        f"{figures['steps']:,}",
        f"{seconds / 60:.1f} min",
        _reached(task, figures["score"], seconds),
        str(figures["seed"]),
        figures["means"],
    ]


def _reached(task: str, score: float, seconds: float) -> str:
    """Say whether an agent is as good as was asked for, and was so in time."""
    goal = GOALS.get(task)
    if goal is None:
        return "-"
    return "yes" if score >= goal.score and seconds <= 60 * goal.minutes else "no"


def seeds_table(path: Path) -> str:
    """Return the table of every training that ``benchmarks/seeds.py`` noted, Markdown."""
    rows = read_rows(path)
    order = {task: index for index, task in enumerate(GOALS)}
    rows.sort(key=lambda row: (order.get(row["task"], len(order)), row["workers"], row["seed"]))
    return markdown_table(_SEED_COLUMNS, [_seed_row(row) for row in rows])


def _seed_row(row: dict[str, str]) -> list[str]:
    name = f"{row['task']} ({row['options']})" if row["options"] else row["task"]
    return [
        name,
        row["seed"],
        f"{float(row['score']):.2f} ± {float(row['deviation']):.2f}",
        f"{row['best_seconds']} s",
        _reached(row["task"], float(row["score"]), float(row["best_seconds"])),
        row["solved"],
        f"{int(row['steps']):,}",
        f"{row['seconds']} s",
        f"{row['cpu_seconds']} s",
        row["workers"],
    ]


def tasks_page(results: dict[str, dict[str, Any]], trainings: Path) -> str:
    """Return the part of the results page that is about these tasks, Markdown."""
    others = [figures for task, figures in results.items() if not task.startswith("mario-")]
    page = f"""## Other tasks

Score: mean and standard deviation over {TASK_EPISODES} episodes that training has not seen, the
likeliest action at every step; they are played in {_games(TASK_SEED)}, one after
another in each. Random: as many episodes from the same seeds, with actions drawn evenly and each
held for as many steps as the task's preset says. Steps, time and seed are those of the training
run when these weights were measured best; the time is wall-clock time on two cores; what else ran
on them is told in [experiments.md](experiments.md#other-tasks). Reached: the score is at least what
was asked for, and the time not longer than what it was asked within. Versions, when this was
measured: {versions_told(others, _PACKAGES)}.

{tasks_table(results)}
"""
    if not trainings.exists():
        return page
    return f"""{page}
### Every seed

What `python benchmarks/seeds.py` noted of whole trainings. Score: of the best agent of that seed
over 100 episodes that training has not seen, played like those above, but in
{_games(SEED_OF_SCORES)}. Best after: when that agent
was there. Reached: as above. Solved: the preset's `solved_score`, which asks for more, was reached
in two evaluations in a row, which ended the run; the others ended by the clock. CPU: processor time
of all processes of a run; where the wall-clock time is much more than half of it, other work had
its share of the two cores.

{seeds_table(trainings)}
"""


def _games(seed: int) -> str:
    """Say in which games the episodes of a seed are played."""
    return f"{SIDE_BY_SIDE} games side by side with the seeds {seed} to {seed + SIDE_BY_SIDE - 1}"
