"""Training without processes: one worker in this one, so that equal seeds give equal agents."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, cast

import torch

from mario_a3c.config import RunConfig
from mario_a3c.envs.factory import make_env
from mario_a3c.learning.model import ActorCritic
from mario_a3c.learning.rollout import Episode
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.playing.once import play_once_each
from mario_a3c.presets import settings_for
from mario_a3c.training.trainer import Trainer
from mario_a3c.training.worker import WorkerReport, train_in_memory


class Reports:
    """Takes what a worker would send to its parent."""

    def __init__(self) -> None:
        """Nothing has come in yet."""
        self.taken: list[Any] = []

    def send(self, report: Any) -> None:
        """Keep a report."""
        self.taken.append(report)

    @property
    def episodes(self) -> list[Episode]:
        """The episodes of all reports."""
        rollouts = [report for report in self.taken if isinstance(report, WorkerReport)]
        return [episode for report in rollouts for episode in report.episodes]


def task_config(env_name: str, preset: str = "", **changes: Any) -> RunConfig:
    """Return the settings that train.py would give a task, for one worker on the CPU."""
    _, settings = settings_for(RunConfig(env_name=env_name, preset=preset))
    settings = {"env_name": env_name} | settings | {"num_processes": 1, "device": "cpu"} | changes
    config = dataclasses.replace(RunConfig(), **settings)
    config.validate()
    return config


def spec_of(config: RunConfig) -> ModelSpec:
    """Return the network that a run has."""
    env = make_env(config, 1, seed=0)
    env.close()
    return ModelSpec.for_task(env.single_observation_space, env.single_action_space, config)


def train_alone(config: RunConfig, folder: Path) -> tuple[ActorCritic, Reports]:
    """Train for ``config.num_global_steps`` and return the agent and what the worker reported."""
    trainer = Trainer(config, spec_of(config), folder)
    reports = Reports()
    threads = torch.get_num_threads()
    try:
        train_in_memory(config, trainer.spec, trainer.shared, 0, config.seed, cast(Any, reports))
    finally:
        torch.set_num_threads(threads)
    trainer.model.take_statistics(trainer.shared.statistics)
    return trainer.model.eval(), reports


def mean_score(config: RunConfig, model: ActorCritic, episodes: int = 100) -> float:
    """Return the mean return over episodes that nobody has seen, played greedily."""
    env = make_env(config, episodes, seed=10_000)
    played = play_once_each(model, env, greedy_games=episodes)
    env.close()
    return sum(episode.score for episode in played) / episodes
