"""The evaluation process: plays with the shared weights, measures, records, keeps the best."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from mario_a3c.checkpoint import CheckpointError, round_to_half, save_agent
from mario_a3c.config import RunConfig
from mario_a3c.envs.factory import make_env
from mario_a3c.envs.guard import GuardedEnv
from mario_a3c.faults import MOST_FAULTS, GameError, NotFiniteError, Notice, Patience, reason
from mario_a3c.learning.flat import FlatParameters
from mario_a3c.learning.model import Actor, ActorCritic
from mario_a3c.learning.rollout import Episode, finished_episodes
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.training.recording import Recorder
from mario_a3c.training.shared import FAULTS, Shared

REST, REST_OF_VIDEO = 15.0, 9.0
"""Seconds of rest per second of evaluation, and per second in which a video was made.

Even if every evaluation were filmed, both would take less than a tenth of two cores."""


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation found.

    Attributes:
        steps: agent steps of the run when the weights were pulled.
        greedy: the episode in which the likeliest action was taken at every step.
        sampled: episodes in which actions were drawn from the policy.
        seconds: how long it took.
        good: whether it meets the criterion for a solved task.
        video: file name of the recording, if there is one.
        kept: whether its weights were saved as the run's best agent.
        all_greedy: whether ``sampled`` are greedy episodes too, of other games.
    """

    steps: int
    greedy: Episode
    sampled: list[Episode]
    seconds: float
    good: bool
    video: str = ""
    kept: bool = False
    all_greedy: bool = False

    @property
    def completion_rate(self) -> float:
        """Share of the sampled episodes that finished the stage."""
        return float(np.mean([episode.figures.get("completed", 0.0) for episode in self.sampled]))

    @property
    def score(self) -> float:
        """One number to compare evaluations by: finishing first, then how far or how well."""
        episodes = [self.greedy, *self.sampled]
        if "max_x" not in self.greedy.figures:
            return float(np.mean([episode.score for episode in episodes]))
        finished = (self.greedy.figures["completed"] + self.completion_rate) / 2
        return float(10_000 * finished + np.mean([e.figures["max_x"] for e in episodes]))

    def summary(self) -> str:
        """Return the outcome in a few words."""
        if "max_x" in self.greedy.figures:
            greedy = (
                "finished"
                if self.greedy.figures["completed"]
                else f"to x {self.greedy.figures['max_x']:.0f}"
            )
            others = "others greedily" if self.all_greedy else "sampled"
            return f"greedy {greedy}, {others} {100 * self.completion_rate:.0f}% finished"
        mean = np.mean([episode.score for episode in self.sampled])
        if self.all_greedy:
            return f"greedy {mean:.1f}"
        return f"greedy {self.greedy.score:.1f}, sampled {mean:.1f}"

    def to_dict(self) -> dict[str, Any]:
        """Return a short form for a checkpoint's metadata."""
        return {
            "steps": self.steps,
            "score": self.score,
            "greedy": {"return": self.greedy.score, **self.greedy.figures},
            "completion_rate": self.completion_rate,
            "mean_return": float(np.mean([episode.score for episode in self.sampled])),
        }


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

    def pull(self, shared: Shared) -> None:
        """Take the shared weights, rounded as they would be saved, and the statistics."""
        self.flat.pull(shared.weights)
        self.model.take_statistics(shared.statistics)
        round_to_half(self.flat.values)

    def play(self, steps: int) -> Evaluation:
        """Play every game to its end with the pulled weights."""
        started = time.perf_counter()
        greedy_games = self.env.num_envs if self.config.eval_greedy else 1
        episodes = play_episodes(self.model, self.env, greedy_games)
        greedy, sampled = episodes[0], episodes[1:]
        good = False
        if self.config.solved_score is not None:
            good = float(np.mean([e.score for e in sampled])) >= self.config.solved_score
        if "completed" in greedy.figures:
            finished = np.mean([episode.figures["completed"] for episode in sampled])
            good = bool(greedy.figures["completed"] and finished >= self.config.solved_share)
        seconds = time.perf_counter() - started
        return Evaluation(steps, greedy, sampled, seconds, good, all_greedy=self.config.eval_greedy)

    def play_again(self, evaluation: Evaluation) -> Evaluation:
        """Play with the weights of an evaluation once more, and add what was sampled to it.

        Whether it was good stays as it is: that is said of `RunConfig.eval_episodes` episodes.
        """
        again = self.play(evaluation.steps)
        seconds = evaluation.seconds + again.seconds
        return replace(evaluation, sampled=evaluation.sampled + again.sampled, seconds=seconds)


@torch.inference_mode()
def play_episodes(model: Actor, env: VectorEnv, greedy_games: int) -> list[Episode]:
    """Play one episode in each game and return them in the games' order.

    Args:
        model: the agent.
        env: the games; they are reset first.
        greedy_games: in so many of them, the first ones, the likeliest action is taken.
    """
    observation, _ = env.reset()
    games = env.num_envs
    state = model.initial_state(games)
    episodes: list[Episode | None] = [None] * games
    while any(episode is None for episode in episodes):
        distribution, _, state = model.act(torch.from_numpy(observation), state)
        actions = distribution.sample()
        if greedy_games:
            actions[:greedy_games] = distribution.mode[:greedy_games]
        observation, _, terminated, truncated, infos = env.step(actions.numpy())
        ended = terminated | truncated
        if ended.any():
            state = tuple(part * torch.from_numpy(~ended).unsqueeze(1) for part in state)
            finished = finished_episodes(infos, ended)
            for game, episode in zip(np.flatnonzero(ended).tolist(), finished, strict=True):
                episodes[game] = episodes[game] or episode
    return [episode for episode in episodes if episode is not None]


@dataclass(frozen=True)
class SoFar:
    """What a run has behind it when its evaluation begins.

    Attributes:
        best_score: of its best agent.
        began: when it began (monotonic time), as if it had never paused.
        earlier: its other settings in earlier times, the first ones first: for each resume that
            changed some, ``{"steps": when, "settings": {name: what it was before}}``.
        ancestors: the agents before it, if it was started from one; see
            `mario_a3c.training.ancestry`.
    """

    best_score: float
    began: float
    earlier: list[dict[str, Any]]
    ancestors: list[dict[str, Any]]


def evaluate(
    config: RunConfig,
    spec: ModelSpec,
    shared: Shared,
    seed: int,
    folder: Path,
    so_far: SoFar,
    connection: Connection,
) -> None:
    """Evaluate again and again until the run stops.

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
    best_score, good_ones = so_far.best_score, 0
    while not shared.stopping:
        try:
            evaluator = evaluator or Evaluator(config, spec, seed, inside)
            steps = shared.steps
            evaluator.pull(shared)
            evaluation = evaluator.play(steps)
            if evaluation.score >= best_score and evaluation.completion_rate:
                # Ten drawn episodes may be lucky ones, and luck would keep better agents out.
                evaluation = evaluator.play_again(evaluation)
        except (GameError, NotFiniteError) as error:
            if evaluator is not None:
                evaluator.env.close()
            evaluator, seed = None, seed + 1
            connection.send(Notice(f"evaluation: {error}; it begins with new games."))
            shared.counters[-1, FAULTS] += isinstance(error, GameError)
            faults.failed(error)
            continue
        faults.succeeded()
        good_ones = good_ones + 1 if evaluation.good else 0
        try:
            if evaluation.score >= best_score:  # of equals the newer one, which has learned more
                _keep(evaluation, evaluator, folder, so_far)
                best_score, evaluation = evaluation.score, replace(evaluation, kept=True)
        except (CheckpointError, OSError) as error:
            connection.send(Notice(f"The best agent could not be saved: {reason(error)}."))
        played = time.monotonic()
        try:
            evaluation = replace(evaluation, video=recorder.record(evaluation))
        except (GameError, OSError, ValueError) as error:
            connection.send(Notice(f"No video could be written: {reason(error)}."))
            shared.counters[-1, FAULTS] += isinstance(error, GameError)
        connection.send(evaluation)
        if evaluation.good and good_ones < config.solved_evaluations:
            continue
        now = time.monotonic()
        pause = max(REST * evaluation.seconds, REST_OF_VIDEO * (now - played))
        _rest(shared, now + max(pause, config.eval_interval - evaluation.seconds))


def _keep(evaluation: Evaluation, evaluator: Evaluator, folder: Path, so_far: SoFar) -> None:
    """Save the weights that were evaluated as the run's best agent."""
    metadata = {
        "task": evaluator.config.task,
        "steps": evaluation.steps,
        "seconds": time.monotonic() - so_far.began,
        "config": evaluator.config.without_places().to_dict(),
        "earlier": so_far.earlier,
        "ancestors": so_far.ancestors,
        "evaluation": evaluation.to_dict(),
    }
    save_agent(folder / "best.safetensors", evaluator.model, metadata)


def _rest(shared: Shared, until: float) -> None:
    while not shared.stopping and time.monotonic() < until:
        time.sleep(0.1)
