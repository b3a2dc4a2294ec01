"""From a run's options to the games it plays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gymnasium.vector import VectorEnv

from mario_a3c.envs.atari import is_atari, make_atari_env
from mario_a3c.envs.demonstrations import Demonstration, demonstration
from mario_a3c.envs.engine import Engine
from mario_a3c.envs.engines import make_engine
from mario_a3c.envs.gymnasium_tasks import TaskError, make_gymnasium_env
from mario_a3c.envs.mario import MarioVectorEnv
from mario_a3c.envs.rewards import reward_of
from mario_a3c.envs.starts import ground_along, starts_from_trace
from mario_a3c.envs.traces import Trace, read_traces

if TYPE_CHECKING:
    from mario_a3c.config import RunConfig


START_EVERY = 4
"""Decisions between two starts along a way; fewer where they are in its last part only."""


def prepare_training(env: MarioVectorEnv, config: RunConfig) -> None:
    """Set up what only training has.

    A share of the episodes begins before failures or along the found ways of the stage, and only
    the ground of those ways may count.
    """
    env.set_retries(config.retry_fraction, config.retry_noise)
    if config.ground_of_ways:
        engine = _one_console(config)
        env.set_ground(ground_along(engine, found_ways(config)))
    if not config.start_fraction:
        return
    engine = _one_console(config)
    starts = []
    every = max(1, round(START_EVERY * (1 - config.start_from)))
    for trace in found_ways(config):
        along = starts_from_trace(
            engine,
            trace.buttons,
            noops=trace.noops,
            every=every,
            display_buttons=config.display_buttons,
        )
        starts += along[min(int(config.start_from * len(along)), len(along) - 1) :]
    env.set_starts(starts, config.start_fraction)


def _one_console(config: RunConfig) -> Engine:
    """Return an engine with the stage of a run, which shows it as the run's games do."""
    return make_engine(config.engine, config.world, config.stage, 1, config.view)


def found_ways(config: RunConfig) -> list[Trace]:
    """Return the ways through a run's stage that were found by search.

    They are in the files ``W-S.jsonl`` of the folder ``paths`` and the folders in it.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file holds something else, or no way that finishes the stage is found.
    """
    folder, name = Path(config.paths), f"{config.world}-{config.stage}.jsonl"
    traces = [trace for path in sorted(folder.rglob(name)) for trace in read_traces(path)]
    ways = [trace for trace in traces if trace.completed]
    if not ways:
        raise ValueError(f"there is no {name} in {folder} with a trace that finishes the stage")
    return ways


def demonstrations(config: RunConfig) -> list[Demonstration]:
    """Return the found ways through a run's stage, as the learner would have seen them."""
    engine = _one_console(config)
    return [
        demonstration(engine, way, config.action_type, display_buttons=config.display_buttons)
        for way in found_ways(config)
    ]


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
        if config.hide:
            raise TaskError(
                f"--hide is not possible with {config.env_name}: its observations are pictures."
            )
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
        "reward": reward_of(config.reward, config.death_cost),
        "max_actions": config.max_actions,
        "stall_limit": config.stall_limit,
        "noop_max": config.noop_max,
        "stall_terminates": config.stall_terminates,
        "gradual_noops": config.gradual_noops,
        "display_buttons": config.display_buttons,
        "view": config.view,
        "max_episode_steps": config.max_episode_length,
    }
    return MarioVectorEnv(num_envs, config.world, config.stage, **{**settings, **changes})
