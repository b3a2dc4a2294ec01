"""Playing any task but Mario: an agent or the random baseline, scored, shown and recorded."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv, VectorWrapper
from numpy.typing import NDArray

from mario_a3c.checkpoint import CheckpointError, load_agent
from mario_a3c.config import RunConfig
from mario_a3c.envs.atari import FRAME_SKIP, is_atari
from mario_a3c.envs.factory import make_env
from mario_a3c.envs.guard import GuardedEnv
from mario_a3c.envs.gymnasium_tasks import TaskError, told
from mario_a3c.faults import GameError
from mario_a3c.learning.baseline import UniformPolicy
from mario_a3c.learning.model import Actor
from mario_a3c.learning.rollout import Episode
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.playing.once import play_once_each
from mario_a3c.playing.video import FRAMES_PER_SECOND, VideoWriter
from mario_a3c.presets import settings_for

SIDE_BY_SIDE = 16
"""Games that are played at once where nobody watches."""
USUAL_FRAMES_PER_SECOND = 30
"""Of tasks that do not say how fast they are to be shown."""
LONGEST_FILM = 20
"""Seconds of an episode that a training run films at most."""

OnPicture = Callable[[NDArray[np.uint8]], None]


@dataclass(frozen=True)
class TaskGame:
    """What is played, and by whom.

    Attributes:
        config: the task and its settings.
        player: an agent, or the random baseline.
        greedy: take the likeliest action instead of drawing one.
        pictures_per_second: at which a window or a recording runs at the game's own speed.
    """

    config: RunConfig
    player: Actor
    greedy: bool
    pictures_per_second: int


class Shown(VectorWrapper[Any, Any, Any, Any, Any]):
    """Shows every picture of one game to a listener, but none of the time after an episode's end.

    Args:
        env: one game, made to render ``rgb_array``.
        on_picture: is shown ``uint8 [height, width, 3]``.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], on_picture: OnPicture) -> None:
        super().__init__(env)
        self._on_picture = on_picture

    def _show(self) -> None:
        (picture,) = self.env.render() or (None,)
        if picture is None:
            raise GameError("the environment failed in render: there is no picture")
        self._on_picture(np.asarray(picture, dtype=np.uint8))

    def reset(self, **settings: Any) -> tuple[Any, dict[str, Any]]:
        """Begin an episode and show its first picture."""
        result = self.env.reset(**settings)
        self._show()
        return result

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Take a step and show what came of it, unless the next episode has begun."""
        result = self.env.step(actions)
        if not (result[2] | result[3]).any():
            self._show()
        return result


def agent_game(
    path: Path, env_name: str, env_module: str, stochastic: bool, hide: tuple[int, ...] = ()
) -> TaskGame:
    """Return the game of a saved agent.

    Args:
        path: the agent's file.
        env_name: the task that was asked for.
        env_module: registers it. What the file names is not imported: it may come from anywhere.
        stochastic: draw actions from the policy.
        hide: the elements of the observation that were asked to be hidden; if there are none, those
            that the agent was trained without are.

    Raises:
        CheckpointError: the file is missing or damaged, or its agent plays another task.
        ConfigError: its settings are not allowed.
        TaskError: the task cannot be made.
    """
    agent = load_agent(path)
    try:
        config = RunConfig.from_dict(agent.metadata["config"])
    except (AttributeError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} does not say how its agent was trained.") from error
    if config.env_id != RunConfig(env_name=env_name).env_id:
        raise CheckpointError(f"{path} holds an agent for {config.env_name}, not for {env_name}.")
    if hide and config.hide != hide:
        had = f"without {', '.join(map(str, config.hide))}" if config.hide else "with all"
        raise CheckpointError(
            f"{path} holds an agent that was trained {had} of what {env_name} shows: --hide "
            f"{' '.join(map(str, hide))} does not fit it."
        )
    config.validate()
    config = replace(config, env_name=env_name, env_module=env_module)
    needed, speed = _outline(config)
    spec = agent.model.spec
    for name in ("observation_shape", "num_actions", "continuous"):
        has, needs = getattr(spec, name), getattr(needed, name)
        if has != needs:
            raise CheckpointError(
                f"{path} holds a network with {name} {has}, but {env_name} has {needs}."
            )
    return TaskGame(config, agent.model, not stochastic, speed)


def random_game(env_name: str, env_module: str = "", hide: tuple[int, ...] = ()) -> TaskGame:
    """Return the random baseline of a task, with the settings that training would have.

    Args:
        env_name: the task.
        env_module: registers it.
        hide: elements of the observation that are hidden; nobody looks, but it is the same task.

    Raises:
        TaskError: the task cannot be made.
    """
    _, settings = settings_for(RunConfig(env_name=env_name))
    config = RunConfig(**{"env_name": env_name, "env_module": env_module, **settings, "hide": hide})
    spec, speed = _outline(config)
    return TaskGame(config, UniformPolicy(spec), False, speed)


def filmed_game(config: RunConfig, player: Actor) -> TaskGame:
    """Return the game of an agent that is in training, if it can be filmed: played greedily.

    Raises:
        TaskError: it has no pictures to show.
    """
    game = TaskGame(config, player, True, _outline(config)[1])
    picture_size(game)
    return game


def _outline(config: RunConfig) -> tuple[ModelSpec, int]:
    """Return the network that a task needs, and its decisions in a second of its own time.

    Raises:
        TaskError: the task cannot be made or begun.
    """
    try:
        env = make_env(config, 1, seed=0)
        env.close()
    except TaskError:
        raise
    except Exception as error:  # a user's environment may raise anything
        raise TaskError(f"{config.env_name} cannot be begun: {told(error)}") from error
    spec = ModelSpec.for_task(env.single_observation_space, env.single_action_space, config)
    if is_atari(config.env_name):
        return spec, FRAMES_PER_SECOND // FRAME_SKIP
    usual = env.metadata.get("render_fps") or USUAL_FRAMES_PER_SECOND
    return spec, max(1, round(usual / config.action_repeat))


def picture_size(game: TaskGame) -> tuple[int, int]:
    """Return the height and width of the pictures in which a task can be shown.

    Raises:
        TaskError: there are none, told in one sentence.
    """
    name = game.config.env_name
    picture: Any = None
    try:
        with warnings.catch_warnings():  # of Gymnasium, about what is told here
            warnings.simplefilter("ignore")
            env = make_env(game.config, 1, seed=0, render_mode="rgb_array")
            try:
                (picture,) = env.render() or (None,)
            finally:
                env.close()
    except Exception as error:  # a user's environment may raise anything
        cause = error.__cause__ if isinstance(error, TaskError) else None
        raise TaskError(f"{name} has no pictures to show: {told(cause or error)}") from error
    pixels = np.asarray(picture)
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise TaskError(f"{name} has no pictures to show: it does not render as rgb_array.")
    return pixels.shape[0], pixels.shape[1]


def play_task(
    game: TaskGame,
    episodes: int,
    seed: int,
    on_picture: OnPicture | None = None,
    inside: NDArray[np.float64] | None = None,
) -> Iterator[Episode]:
    """Play episodes and yield each.

    Args:
        game: what is played, and by whom.
        episodes: how many.
        seed: of the games and of drawn actions; equal seeds play equal episodes.
        on_picture: is shown every picture, ``uint8 [height, width, 3]``; the episodes are then
            played one after another.
        inside: shows others that the games hang; see `mario_a3c.envs.guard`.

    Raises:
        GameError: a game fails.
        NotFiniteError: a game gives what is no number.
    """
    torch.manual_seed(seed)
    games = min(episodes, SIDE_BY_SIDE) if on_picture is None else 1
    render_mode = None if on_picture is None else "rgb_array"
    env: VectorEnv = GuardedEnv(partial(make_env, game.config, games, seed, render_mode), inside)
    if on_picture is not None:
        env = Shown(env, on_picture)
    try:
        for first in range(0, episodes, games):
            played = play_once_each(game.player, env, games if game.greedy else 0)
            yield from played[: episodes - first]
    finally:
        env.close()


def film(game: TaskGame, path: Path, seed: int, inside: NDArray[np.float64] | None = None) -> None:
    """Write a video of one episode, or of its first `LONGEST_FILM` seconds.

    Args:
        game: what is played, and by whom.
        path: the ``.mp4`` file.
        seed: of the game; what others draw from PyTorch's generator stays as it is.
        inside: see `play_task`.

    Raises:
        GameError: the game fails.
        NotFiniteError: the game gives what is no number.
        OSError: the disk is full or not writable; no broken file is left.
    """
    most = LONGEST_FILM * game.pictures_per_second
    with (
        VideoWriter(path, game.pictures_per_second, scale=1) as video,
        torch.random.fork_rng(devices=[]),
        contextlib.suppress(_LongEnoughError),
    ):

        def write(picture: NDArray[np.uint8]) -> None:
            if video.frames == most:
                raise _LongEnoughError
            video.write(picture)

        for _ in play_task(game, 1, seed, write, inside):
            pass


class _LongEnoughError(Exception):
    """A film has as many pictures as it may have."""


def summary(game: TaskGame, episodes: list[Episode]) -> dict[str, Any]:
    """Return what ``--json`` prints; scores are None without an episode."""
    scores = [episode.score for episode in episodes]
    return {
        "env_name": game.config.env_name,
        "episodes": len(scores),
        "mean_return": float(np.mean(scores)) if scores else None,
        "deviation": float(np.std(scores)) if scores else None,
        "mean_length": float(np.mean([e.length for e in episodes])) if scores else None,
    }
