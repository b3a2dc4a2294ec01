"""Any Gymnasium task as a vector environment of the kind that a rollout plays."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import Env, Wrapper, spaces
from gymnasium.error import DependencyNotInstalled
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers import TimeLimit, TransformAction, TransformObservation

from mario_a3c.envs.statistics import EpisodeStatistics

SMALLEST_GREY = 20
"""Tables of bytes from 0 to 255 are grey pictures from this height and width on."""


class TaskError(ValueError):
    """A task that cannot be played, told in one sentence."""


class ActionRepeat(Wrapper[Any, Any, Any, Any]):
    """Holds each action for several steps and adds their rewards up.

    Args:
        env: the environment.
        repeat: how many steps, 1 or more.
    """

    def __init__(self, env: Env[Any, Any], repeat: int) -> None:
        super().__init__(env)
        self._repeat = repeat

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take the action until it has been held long enough or the episode ends."""
        total = 0.0
        for _ in range(self._repeat):
            observation, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
        return observation, total, terminated, truncated, info


def make_gymnasium_env(
    env_id: str,
    num_envs: int,
    *,
    module: str = "",
    action_repeat: int = 1,
    max_episode_length: int = 0,
    hide: tuple[int, ...] = (),
    render_mode: str | None = None,
) -> VectorEnv[Any, Any, Any]:
    """Return ``num_envs`` copies of a Gymnasium task, with same-step autoreset.

    Observations are ``float32 [B, D]`` or, where the task shows pictures, ``uint8 [B, C, H, W]``.
    Actions are ``int64 [B]`` or ``float32 [B, A]``; what lies outside the bounds is clipped.

    Args:
        env_id: of a registered environment, or ``module:id``.
        num_envs: how many.
        module: imported first.
        action_repeat: steps that each action is held for.
        max_episode_length: truncate after so many decisions; 0 leaves it to the task.
        hide: elements of the observation to leave out.
        render_mode: as `gymnasium.make` knows it.

    Raises:
        TaskError: the task is unknown, lacks a package, or has spaces that are not supported.
    """
    make = partial(_make_one, env_id, module, action_repeat, max_episode_length, hide, render_mode)
    first = make()
    envs: list[Callable[[], Env[Any, Any]]] = [lambda: first, *[make] * (num_envs - 1)]
    return EpisodeStatistics(SyncVectorEnv(envs, autoreset_mode=AutoresetMode.SAME_STEP))


def _make_one(
    env_id: str,
    module: str,
    action_repeat: int,
    max_episode_length: int,
    hide: tuple[int, ...],
    render_mode: str | None,
) -> Env[Any, Any]:
    env = _registered(env_id, module, render_mode)
    if action_repeat > 1:
        env = ActionRepeat(env, action_repeat)
    if max_episode_length:
        env = TimeLimit(env, max_episode_length)
    return _with_plain_observations(_with_plain_actions(env, env_id), env_id, hide)


def _registered(env_id: str, module: str, render_mode: str | None) -> Env[Any, Any]:
    """Make a registered environment, or say in one sentence why that is not possible."""
    own_module, _, name = env_id.rpartition(":")
    for wanted in (module, own_module):
        if wanted:
            import_module(wanted)
    if name not in gymnasium.registry:
        prefix = f"{own_module}:" if own_module else ""
        raise TaskError(f"--env-name {env_id!r} is unknown.{nearest(name, prefix)}")
    no_display = sys.platform == "linux" and not os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"}
    if render_mode is not None and no_display:
        os.environ.setdefault("MUJOCO_GL", "egl")  # draws without a display; read when it is loaded
    # Not every environment takes a render mode.
    shown: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}
    try:
        return gymnasium.make(name, disable_env_checker=True, **shown)
    except DependencyNotInstalled as error:
        raise TaskError(f"--env-name {env_id} needs a package that is not here: {error}") from error
    except gymnasium.error.Error as error:
        raise TaskError(f"--env-name {env_id} cannot be made: {error}") from error
    except Exception as error:  # a user's environment may raise anything
        raise TaskError(f"--env-name {env_id} cannot be made: {told(error)}") from error


def import_module(name: str) -> None:
    """Import a user's module, also from the folder in which the command was given.

    Raises:
        TaskError: there is no such module, or it fails.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise TaskError(f"--env-module {name!r} cannot be imported: {error}.") from error
    except Exception as error:  # whatever is wrong in it
        raise TaskError(f"--env-module {name!r} cannot be imported: {told(error)}") from error


def told(error: BaseException) -> str:
    """Return what an error says, as one line that ends with a full stop."""
    name, text = type(error).__name__, " ".join(str(error).split()).rstrip(".")
    return f"{name}: {text}." if text else f"{name}."


def nearest(env_id: str, prefix: str = "") -> str:
    """Return a sentence that suggests the known id most like ``env_id``, or nothing.

    Args:
        env_id: without a module.
        prefix: the module that was given in front of it, with its colon.
    """
    known = list(gymnasium.registry)
    if not prefix:  # what only we know
        games = [spec.name for spec in gymnasium.registry.values() if spec.namespace == "ALE"]
        known += ["SuperMarioBros", *(f"{name}Deterministic-v4" for name in games)]
    close = difflib.get_close_matches(env_id, known, n=1, cutoff=0.5)
    return f" Did you mean {prefix}{close[0]}?" if close else ""


def _with_plain_actions(env: Env[Any, Any], env_id: str) -> Env[Any, Any]:
    """Number discrete actions from 0, and take continuous ones as a clipped vector."""
    space = env.action_space
    if isinstance(space, spaces.Discrete):
        if space.start == 0:
            return env
        start = space.start
        return TransformAction(env, lambda action: action + start, spaces.Discrete(space.n))
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        low, high, shape, dtype = space.low, space.high, space.shape, space.dtype
        plain = spaces.Box(
            low.ravel().astype(np.float32), high.ravel().astype(np.float32), dtype=np.float32
        )
        return TransformAction(
            env, lambda action: np.clip(action.reshape(shape), low, high).astype(dtype), plain
        )
    raise TaskError(
        f"{env_id} takes {type(space).__name__} actions, which are not supported: "
        "they must be Discrete, or a Box of real numbers."
    )


def _with_plain_observations(
    env: Env[Any, Any], env_id: str, hide: tuple[int, ...]
) -> Env[Any, Any]:
    """Show vectors of float32, or pictures of bytes with the channels first."""
    space = env.observation_space
    if isinstance(space, spaces.Discrete):
        return _with_one_hot_observations(env, space, hide)
    if not isinstance(space, spaces.Box):
        raise TaskError(
            f"{env_id} shows {type(space).__name__} observations, which are not supported: "
            "they must be a Box or Discrete."
        )
    if _is_pictures(space, env_id):
        if hide:
            raise TaskError(f"--hide is not possible with {env_id}: its observations are pictures.")
        return _with_channels_first(env, space)
    keep = _kept(int(np.prod(space.shape)), env_id, hide)
    low, high = (bound.ravel()[keep].astype(np.float32) for bound in (space.low, space.high))
    return TransformObservation(
        env,
        lambda observation: np.asarray(observation, dtype=np.float32).ravel()[keep],
        spaces.Box(low, high, dtype=np.float32),
    )


def _is_pictures(space: spaces.Box, env_id: str) -> bool:
    """Return whether observations are pictures, and not numbers of some other meaning."""
    if space.dtype != np.uint8:
        return False
    if len(space.shape) > 3:
        shape = "x".join(map(str, space.shape))
        raise TaskError(
            f"{env_id} shows bytes of shape {shape}, and pictures must be HxWxC, CxHxW or, if they "
            "are grey, HxW: wrap it in gymnasium.wrappers.GrayscaleObservation before its pictures "
            "are stacked, or in FlattenObservation to have numbers."
        )
    whole_range = bool((space.low == 0).all() and (space.high == 255).all())
    grey = len(space.shape) == 2 and whole_range and min(space.shape) >= SMALLEST_GREY
    return len(space.shape) == 3 or grey


def _with_one_hot_observations(
    env: Env[Any, Any], space: spaces.Discrete, hide: tuple[int, ...]
) -> Env[Any, Any]:
    if hide:
        raise TaskError("--hide is not possible: the observation is one number.")
    rows, start = np.eye(int(space.n), dtype=np.float32), space.start
    return TransformObservation(
        env,
        lambda observation: rows[observation - start],
        spaces.Box(0.0, 1.0, (int(space.n),), np.float32),
    )


def _with_channels_first(env: Env[Any, Any], space: spaces.Box) -> Env[Any, Any]:
    """Turn pictures ``[H, W, C]`` and ``[H, W]`` into ``[C, H, W]``.

    Others, as they come from stacking, stay.
    """
    if len(space.shape) == 2:
        return TransformObservation(
            env,
            lambda observation: observation[np.newaxis],
            spaces.Box(0, 255, (1, *space.shape), np.uint8),
        )
    if space.shape[0] <= space.shape[2]:
        return env
    height, width, channels = space.shape
    return TransformObservation(
        env,
        lambda observation: np.ascontiguousarray(observation.transpose(2, 0, 1)),
        spaces.Box(0, 255, (channels, height, width), np.uint8),
    )


def _kept(size: int, env_id: str, hide: tuple[int, ...]) -> np.ndarray:
    """Return the indices of the elements that are not hidden."""
    if any(not 0 <= index < size for index in hide) or len(set(hide)) >= size:
        raise TaskError(
            f"--hide {' '.join(map(str, hide))} is not possible: {env_id} shows {size} numbers, "
            f"0 to {size - 1}, and some must be left."
        )
    return np.array([index for index in range(size) if index not in hide])
