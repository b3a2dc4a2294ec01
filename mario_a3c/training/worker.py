"""``local_train``: one asynchronous worker, from pulled weights to pushed gradients."""

from __future__ import annotations

import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Protocol

import torch
from gymnasium.vector import VectorEnv

from mario_a3c.config import RunConfig
from mario_a3c.envs.factory import make_env, prepare_training
from mario_a3c.envs.guard import GuardedEnv
from mario_a3c.envs.mario import MarioVectorEnv
from mario_a3c.faults import MOST_FAULTS, GameError, NotFiniteError, Notice, Patience
from mario_a3c.learning.baseline import UniformPolicy
from mario_a3c.learning.normalization import RewardScaling
from mario_a3c.learning.rollout import Episode, RolloutCollector
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.training.learner import Learner
from mario_a3c.training.link import Link, MemoryLink
from mario_a3c.training.shared import FAULTS, STEPS, Shared


@dataclass(frozen=True)
class WorkerReport:
    """What a worker tells the trainer after each rollout."""

    worker: int
    episodes: list[Episode]
    figures: dict[str, float]


class Reports(Protocol):
    """Takes what a worker has to tell; a `Connection` does."""

    def send(self, report: WorkerReport | Notice, /) -> None:
        """Take a report."""


def reward_scaling(config: RunConfig, shared: Shared, row: int) -> RewardScaling:
    """Return what a run does to rewards before a worker learns from them."""
    statistics = shared.statistics[:, :, -1:] if config.normalize_rewards else None
    return RewardScaling(config.reward_scale, config.clip_rewards, statistics, row, config.gamma)


def train_in_memory(
    config: RunConfig,
    spec: ModelSpec,
    shared: Shared,
    worker: int,
    seed: int,
    connection: Connection,
) -> None:
    """Run `local_train` over weights in shared memory: the work of a child process."""
    torch.set_num_threads(1)
    local_train(config, spec, MemoryLink(config, shared, worker), seed, connection)


def local_train(
    config: RunConfig, spec: ModelSpec, link: Link, seed: int, reports: Reports
) -> None:
    """Run one worker until the run's steps are done or it is told to stop.

    Args:
        config: the run.
        spec: the network.
        link: leads to the shared weights, counters and statistics.
        seed: of this worker's games and actions.
        reports: takes a `WorkerReport` after each rollout, and a `Notice` of each fault.

    Raises:
        RunError: the environment keeps failing, or updates keep being dropped.
    """
    torch.manual_seed(seed)
    learner = Learner(config, spec, link, torch.device(config.device), seed)
    shared, worker = link.shared, link.worker
    counters = shared.counters[link.row]
    faults, failures = Patience(MOST_FAULTS), 0
    collector: RolloutCollector | None = None
    while not shared.stopping and shared.steps < config.num_global_steps:
        started = time.perf_counter()
        learner.pull()
        try:
            collector = collector or begin_to_play(learner, seed + failures)
            batch, episodes = collector.collect(config.gamma, config.gae_lambda)
        except (GameError, NotFiniteError) as error:
            if collector is not None:
                collector.env.close()
            collector, failures = None, failures + 1
            reports.send(Notice(f"worker {worker}: {error}; it begins with new games."))
            if isinstance(error, NotFiniteError):
                learner.drop(error)
            else:
                counters[FAULTS] += 1
                faults.failed(error)
            continue
        faults.succeeded()
        collected = time.perf_counter()
        counters[STEPS] += config.num_local_steps * config.num_games
        mario = mario_games(collector.env)
        noops = mario.gradual_noops if mario is not None else None
        mastery = noops.mastery if noops is not None else 0.0
        figures = learner.update(batch, mastery) if learner.learning else {}
        learner.count_observations(batch)
        finished = time.perf_counter()
        figures["collect_share"] = (collected - started) / (finished - started)
        figures["frames"] = collector.frames
        if mario is not None:
            figures["completion"] = mario.completions.completion
        if noops is not None:
            figures["mastery"] = mastery
        reports.send(WorkerReport(worker, episodes, figures))


def mario_games(env: VectorEnv) -> MarioVectorEnv | None:
    """Return a worker's games without what is around them, if they are Mario's."""
    games = env.unwrapped
    return games if isinstance(games, MarioVectorEnv) else None


def begin_to_play(learner: Learner, seed: int) -> RolloutCollector:
    """Make a worker's games and begin to play them.

    Raises:
        GameError: they cannot be made or begun.
        NotFiniteError: what they begin with is not finite.
    """
    config, shared, row = learner.config, learner.shared, learner.row

    def make() -> VectorEnv:
        env = make_env(config, num_envs=config.num_games, seed=seed)
        if isinstance(env, MarioVectorEnv):
            prepare_training(env, config)
            env.completions.shares = shared.mastered[row].numpy()
        return env

    games = GuardedEnv(make, shared.inside.numpy()[row : row + 1])
    try:
        return RolloutCollector(
            games,
            learner.model if learner.learning else UniformPolicy(learner.model.spec),
            config.num_local_steps,
            config.unroll,
            torch.device(config.device),
            reward_scaling(config, shared, row),
        )
    except (GameError, NotFiniteError):
        games.close()
        raise
