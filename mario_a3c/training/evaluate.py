"""The evaluation process: plays with the mean of the shared weights and keeps the best."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray
from torch import Tensor

from mario_a3c.checkpoint import CheckpointError, round_to_half
from mario_a3c.config import RunConfig
from mario_a3c.envs.factory import make_env
from mario_a3c.envs.guard import GuardedEnv
from mario_a3c.faults import MOST_FAULTS, GameError, NotFiniteError, Notice, Patience, reason
from mario_a3c.learning.averaging import WeightAverage
from mario_a3c.learning.flat import FlatParameters
from mario_a3c.learning.model import ActorCritic
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.playing.once import play_once_each
from mario_a3c.training.best import BestAgent, SoFar
from mario_a3c.training.evaluation import Evaluation
from mario_a3c.training.recording import Recorder
from mario_a3c.training.shared import FAULTS, Shared

REST, REST_OF_VIDEO = 22.0, 13.0
"""Seconds of rest per second of processor time that an evaluation took, and its video.

Even if every evaluation were filmed, both would take less than a tenth of two cores. Time on the
clock does not count: one that stood still in the middle would be followed by hours of rest."""


class Evaluator:
    """Plays a greedy episode and several sampled ones side by side."""

    def __init__(
        self,
        config: RunConfig,
        spec: ModelSpec,
        seed: int,
        inside: NDArray[np.float64] | None = None,
    ) -> None:
        """Build the games: the first is the greedy one and begins without no-ops.

        Args:
            config: the run.
            spec: the network.
            seed: of the games.
            inside: shows others that the games hang (see `mario_a3c.envs.guard`).
        """
        self.config = config
        self.model = ActorCritic(spec).eval()
        self.flat = FlatParameters(self.model)
        self._generator = np.random.default_rng(seed)
        make = partial(
            make_env,
            config,
            config.eval_episodes + 1,
            seed,
            draw_noops=self._draw_noops,
            log_buttons=True,
        )
        self.env: VectorEnv = GuardedEnv(make, inside)

    def _draw_noops(self, game: int) -> int:
        return int(self._generator.integers(self.config.noop_max + 1)) if game else 0

    def pull(self, weights: Tensor, statistics: Tensor) -> None:
        """Take weights, rounded as they would be saved, and statistics of the observations."""
        self.flat.pull(weights)
        self.model.take_statistics(statistics)
        round_to_half(self.flat.values)

    def play(self, steps: int, model: ActorCritic | None = None) -> Evaluation:
        """Play every game to its end, with the pulled weights or another model's."""
        started = time.perf_counter()
        greedy_games = self.env.num_envs if self.config.eval_greedy else 1
        episodes = play_once_each(model or self.model, self.env, greedy_games)
        greedy, sampled = episodes[0], episodes[1:]
        good = False
        if self.config.solved_score is not None:
            good = float(np.mean([e.score for e in sampled])) >= self.config.solved_score
        if "completed" in greedy.figures:
            finished = np.mean([episode.figures["completed"] for episode in sampled])
            good = bool(greedy.figures["completed"] and finished >= self.config.solved_share)
        seconds = time.perf_counter() - started
        return Evaluation(steps, greedy, sampled, seconds, good, all_greedy=self.config.eval_greedy)

    def play_again(self, evaluation: Evaluation, model: ActorCritic | None = None) -> Evaluation:
        """Play with the weights of an evaluation once more, and add what was sampled to it.

        Whether it was good stays as it is: that is said of `RunConfig.eval_episodes` episodes.
        """
        again = self.play(evaluation.steps, model)
        seconds = evaluation.seconds + again.seconds
        return replace(evaluation, sampled=evaluation.sampled + again.sampled, seconds=seconds)


def _learned(shared: Shared, config: RunConfig) -> tuple[int, int]:
    """Return how far a run has come: its steps, and its updates if they matter.

    A worker counts a rollout's steps before it learns from them, so that weights change when steps
    do not. A mean of weights that counts by steps does not.
    """
    return shared.steps, 0 if config.average_share else shared.updates


def evaluate(
    config: RunConfig,
    spec: ModelSpec,
    shared: Shared,
    seed: int,
    folder: Path,
    so_far: SoFar,
    connection: Connection,
) -> None:
    """Evaluate again and again until the run stops, and if it is asked for once more then.

    Args:
        config: the run.
        spec: the network.
        shared: weights and counters, in shared memory.
        seed: of the evaluation's games and actions.
        folder: the run's folder: the best agent and the videos go there.
        so_far: what the run has behind it.
        connection: takes an `Evaluation` after each, and a `Notice` of what went wrong.

    Raises:
        RunError: the environment keeps failing.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    inside = shared.inside.numpy()[-1:]
    recorder = Recorder(config, folder, inside, so_far.best_score)
    evaluator: Evaluator | None = None
    faults = Patience(MOST_FAULTS)
    average = WeightAverage(config.average_share)
    best, good_ones = BestAgent(folder, config, so_far), 0
    seen = (-1, -1)
    while not shared.stopping or (shared.last_look and _learned(shared, config) != seen):
        started, computed = time.monotonic(), time.process_time()
        seen = _learned(shared, config)
        steps, _ = seen
        average.take(shared.weights, steps)
        try:
            evaluator = evaluator or Evaluator(config, spec, seed, inside)
            evaluator.pull(average.mean, shared.statistics)
            evaluation = evaluator.play(steps)
            evaluation = best.judge(evaluation, evaluator)
        except (GameError, NotFiniteError) as error:
            if evaluator is not None:
                evaluator.env.close()
            evaluator, seed, seen = None, seed + 1, (-1, -1)  # a last look is still to come
            connection.send(Notice(f"evaluation: {error}; it begins with new games."))
            shared.counters[-1, FAULTS] += isinstance(error, GameError)
            faults.failed(error)
            continue
        faults.succeeded()
        good_ones = good_ones + 1 if evaluation.good else 0
        try:
            best.keep(evaluation, evaluator.model)
        except (CheckpointError, OSError) as error:
            connection.send(Notice(f"The best agent could not be saved: {reason(error)}."))
        played = time.process_time()
        try:
            evaluation = replace(evaluation, video=recorder.record(evaluation, evaluator.model))
        except Exception as error:  # a user's environment may raise anything
            connection.send(Notice(f"No video could be written: {reason(error)}."))
            shared.counters[-1, FAULTS] += isinstance(error, GameError)
        connection.send(evaluation)
        if evaluation.good and good_ones < config.solved_evaluations:
            continue
        # Films of other tasks are no part of an evaluation: `Recorder` keeps them apart.
        filmed = time.process_time() - played if config.is_mario else 0.0
        pause = max(REST * (played - computed), REST_OF_VIDEO * filmed)
        until = max(time.monotonic() + pause, started + config.eval_interval)
        while not shared.stopping and time.monotonic() < until:
            average.take(shared.weights, shared.steps)
            time.sleep(0.1)
