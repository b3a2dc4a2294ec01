"""From a run's options to the games it plays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gymnasium.vector import VectorEnv

from mario_a3c.envs.atari import is_atari, make_atari_env
from mario_a3c.envs.engines import make_engine
from mario_a3c.envs.gymnasium_tasks import make_gymnasium_env
from mario_a3c.envs.mario import MarioVectorEnv
from mario_a3c.envs.rewards import REWARDS
from mario_a3c.envs.starts import starts_from_trace

if TYPE_CHECKING:
    from mario_a3c.config import RunConfig


def set_training_starts(env: MarioVectorEnv, config: RunConfig) -> None:
    """Let a share of the episodes begin before failures or along the found ways of the stage."""
    env.set_retries(config.retry_fraction)
    if not config.start_fraction:
        return
    path = Path(config.paths) / f"{config.world}-{config.stage}.jsonl"
    engine = make_engine(config.engine, config.world, config.stage, 1)
    starts = []
    for line in path.read_text("utf-8").splitlines():
        starts += starts_from_trace(engine, json.loads(line)["buttons"], every=4)
    env.set_starts(starts, config.start_fraction)


def make_env(
    config: RunConfig,
    num_envs: int,
    seed: int,
    render_mode: str | None = None,
    **changes: Any,
) -> VectorEnv:
    """Return ``num_envs`` games of the task of a run, seeded, with same-step autoreset.

    Args:
        config: names the task and its settings.
        num_envs: how many games to play side by side.
        seed: seeds the games; equal seeds play equal games.
        render_mode: as Gymnasium knows it; Mario's environment shows its frames to a listener.
        **changes: settings of Mario's environment that differ from the run's (for evaluation).

    Raises:
        TaskError: the task is unknown, lacks a package, or has spaces that are not supported.
    """
    env: VectorEnv
    if config.is_mario:
        env = _make_mario(config, num_envs, changes)
    elif is_atari(config.env_name):
        env = make_atari_env(
            config.env_name,
            num_envs,
            picture_size=config.picture_size,
            frame_stack=config.frame_stack,
            max_episode_length=config.max_episode_length,
            render_mode=render_mode,
        )
    else:
        env = make_gymnasium_env(
            config.env_name,
            num_envs,
            module=config.env_module,
            action_repeat=config.action_repeat,
            max_episode_length=config.max_episode_length,
            hide=config.hide,
            render_mode=render_mode,
        )
    env.reset(seed=seed)
    return env


def _make_mario(config: RunConfig, num_envs: int, changes: dict[str, Any]) -> MarioVectorEnv:
    settings: dict[str, Any] = {
        "action_set": config.action_type,
        "engine": config.engine,
        "reward": REWARDS[config.reward],
        "max_actions": config.max_actions,
        "stall_limit": config.stall_limit,
        "noop_max": config.noop_max,
        "max_episode_steps": config.max_episode_length,
    }
    return MarioVectorEnv(num_envs, config.world, config.stage, **{**settings, **changes})
