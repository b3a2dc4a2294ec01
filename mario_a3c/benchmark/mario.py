"""What the benchmark measures of a Mario agent, and the table of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mario_a3c.config import view_of
from mario_a3c.playing.mario import agent_game, random_game
from mario_a3c.replay import check
from mario_a3c.tables import markdown_table
from mario_a3c.training.ancestry import ancestors_told
from mario_a3c.training.evaluation import ROBUST

EPISODES = 200
"""Sampled episodes of each agent."""
NOOPS = 30
SEED = 1
"""Of the sampled episodes."""

_COLUMNS = (
    "stage",
    "greedy",
    "replay in nes-py",
    f"sampled, of {EPISODES}",
    "time left",
    "others get to x",
    "random gets to x",
    "steps",
    "trained for",
    "seed",
    "means",
)
_SHORT = ("stage", "greedy", f"sampled, of {EPISODES}", "time left", "steps", "trained for")
"""The columns of the table in the README."""


def measure_mario(path: Path) -> dict[str, Any]:
    """Play an agent and return its figures; those of its training tells `training_of`.

    It plays greedily once, `EPISODES` times with sampled actions and 0 to `NOOPS` no-op frames,
    and beside it an agent that presses buttons at random plays as many. The greedy episode is
    replayed in the bare ``gym_super_mario_bros`` on nes-py.

    Raises:
        CheckpointError: the file is not an agent of Mario's.
    """
    game, drawn = agent_game(path), agent_game(path, stochastic=True)
    world, stage = game.world, game.stage
    (greedy,) = game.play(1)
    sampled = list(drawn.play(EPISODES, seed=SEED, noops=NOOPS))
    at_random = list(random_game(world, stage).play(EPISODES, seed=SEED, noops=NOOPS))
    finished = [episode.time_left for episode in sampled if episode.completed]
    failed = [episode.max_x for episode in sampled if not episode.completed]
    return {
        "world": world,
        "stage": stage,
        "greedy": greedy.completed,
        "greedy_max_x": greedy.max_x,
        "replayed": greedy.completed and check(greedy.trace)[0],
        "sampled": len(finished),
        "episodes": len(sampled),
        "time_left": float(np.mean(finished)) if finished else None,
        "failed_max_x": float(np.mean(failed)) if failed else None,
        "random_max_x": float(np.mean([episode.max_x for episode in at_random])),
    }


def training_of(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return what an agent took from nothing, all its runs together, as its file tells it."""
    runs = [*ancestors_told(metadata), metadata]
    return {
        "steps": sum(run["steps"] for run in runs),
        "seconds": sum(run["seconds"] for run in runs),
        "seed": metadata["config"]["seed"],
        "means": means_of(runs),
        "runs": [
            {name: run[name] for name in ("task", "steps", "seconds")} | {"began": _began(run)}
            for run in runs
        ],
    }


def mario_table(results: dict[str, dict[str, Any]], *, short: bool = False) -> str:
    """Return the table of all Mario agents, Markdown; ``short`` leaves out how they were made."""
    rows = [_row(figures) for task, figures in sorted(results.items()) if task.startswith("mario-")]
    kept = [n for n, name in enumerate(_COLUMNS) if not short or name in _SHORT]
    lines = [[line[n] for n in kept] for line in (_COLUMNS, *rows)]
    return markdown_table(lines[0], lines[1:])


def training_in_all(results: dict[str, dict[str, Any]]) -> str:
    """Say what all Mario agents of the table took to train, in a sentence.

    A run that several of them come from is counted once, as far as it went for any of them. It is
    known by its task, by what it began with, and by how many runs were before it.
    """
    agents = [figures for task, figures in results.items() if task.startswith("mario-")]
    finished = sum(1 for figures in agents if figures["greedy"])
    robust = sum(1 for figures in agents if figures["sampled"] >= ROBUST * figures["episodes"])
    longest: dict[tuple[int, str, str], tuple[int, float]] = {}
    for figures in agents:
        for place, run in enumerate(figures["runs"]):
            known = (place, run["task"], run["began"])
            took = (run["steps"], run["seconds"])
            longest[known] = max(longest.get(known, took), took)
    steps = sum(took for took, _ in longest.values())
    seconds = sum(took for _, took in longest.values())
    warm = sum(1 for figures in agents if "warm start" in figures["means"])
    what = (
        f"Apart from what came before {warm} warm starts this"
        if warm
        else "From nothing to these agents it"
    )
    return (
        f"Of {len(agents)} stages {finished} are finished greedily and {robust} in at least "
        f"{ROBUST:.0%} of the sampled episodes. {what} took {steps:,} steps and "
        f"{seconds / 3600:.1f} hours: the rows of the table added up, and what several agents "
        "come from counted once."
    )


def _row(figures: dict[str, Any]) -> list[str]:
    return [
        f"{figures['world']}-{figures['stage']}",
        "finishes" if figures["greedy"] else f"to x {figures['greedy_max_x']}",
        "finishes" if figures["replayed"] else "-",
        str(figures["sampled"]),
        _rounded(figures["time_left"]),
        _rounded(figures["failed_max_x"]),
        _rounded(figures["random_max_x"]),
        f"{figures['steps']:,}",
        f"{figures['seconds'] / 60:.1f} min",
        str(figures["seed"]),
        figures["means"] if figures["shipped"] else figures["means"] + " (unfinished, not shipped)",
    ]


def _rounded(number: float | None) -> str:
    return "-" if number is None else f"{number:.0f}"


def means_of(runs: list[dict[str, Any]]) -> str:
    """Say in a few words by what means an agent was trained, besides plain A3C, and how far it saw.

    Args:
        runs: what is told of the run that made it and of those before, each of which began with
            the agent of the one before it; see `mario_a3c.training.ancestry`.
    """
    means: dict[str, None] = {_gammas(runs): None}
    for run in runs:
        for config in _settings_over_time(run):
            means.update(dict.fromkeys(_means_at_a_time(config)))
        if run.get("averaged"):
            means[f"mean of {run['averaged']} checkpoints"] = None
        if (rounds := run.get("drilled")) is not None:
            means[f"drilled in {rounds} round{'' if rounds == 1 else 's'}"] = None
    tasks = dict.fromkeys(run["task"] for run in runs if run["task"] != runs[-1]["task"])
    means.update(dict.fromkeys(f"first on {task.removeprefix('mario-')}" for task in tasks))
    if len(runs) > 1:
        means[f"{len(runs)} runs"] = None
    if parent := _unknown_parent(runs[0]["config"]):
        means[f"warm start from {parent}"] = None
    return ", ".join(means)


def _gammas(runs: list[dict[str, Any]]) -> str:
    """Return the gamma that an agent ended with, and those before it."""
    own, *others = dict.fromkeys(
        f"{config['gamma']:g}" for run in reversed(runs) for config in _settings_over_time(run)
    )
    return f"gamma {own}" + (f" ({', '.join(reversed(others))} before)" if others else "")


def _settings_over_time(run: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the settings of a run, those of its end first and those of its beginning last."""
    config = run["config"]
    yield config
    for entry in reversed(run.get("earlier", [])):
        config = {**config, **entry["settings"]}
        yield config


def _began(run: dict[str, Any]) -> str:
    """Return a short name of the settings that a run began with."""
    *_, config = _settings_over_time(run)
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def _unknown_parent(config: dict[str, Any]) -> str:
    """Return which agent the first run that is told of was started from, if any."""
    if config.get("load_from"):
        return Path(config["load_from"]).stem.removeprefix("mario-")
    return "the stage before" if config.get("load_from_previous_stage") else ""


def _means_at_a_time(config: dict[str, Any]) -> Iterator[str]:
    if not config.get("recurrent", True):
        yield "no LSTM"
    if config["epochs"] * config["minibatches"] > 1:
        yield "reuse"
    if config.get("start_fraction"):
        yield "starts on found ways"
    if config.get("start_from"):
        yield f"starts from {config['start_from']:.0%} of the way on"
    if config.get("imitation_coef"):
        yield "imitation of found ways"
        if config.get("imitation_priority"):
            yield "of what is not learned yet more often"
    if config.get("ground_of_ways"):
        yield "only ground of found ways"
    if config.get("gradual_noops"):
        yield "gradual no-ops"
    if (death_cost := config.get("death_cost")) is not None:
        yield f"death costs {death_cost:g}"
    if config.get("reward_scale", 1.0) != 1.0:
        yield f"rewards times {config['reward_scale']:g}"
    if config.get("retry_fraction"):
        yield "retries"
    if config.get("retry_fraction") and config.get("retry_noise"):
        yield "random actions in retries"
    if config.get("average_share"):
        yield "averaged weights"
    if min(config.get("entropy_coef") or 0, config.get("entropy_coef_final") or 0) < 0:
        yield "cost of being undecided"
    if config.get("anneal_by_completion"):
        yield "annealed by completion"
    if config.get("stall_terminates"):
        yield "stalling terminates"
    if view_of(config) != "screen":
        yield f"{view_of(config)} view"
    if config["action_type"] != "simple":
        yield f"actions {config['action_type']}"
