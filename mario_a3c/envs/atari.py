"""Atari games, with the standard preprocessing (Machado et al. 2018, arXiv:1709.06009).

Games are played by ale-py's native vector environment: an action is held for 4 frames, the last two
pictures are pooled, made grey and small, and the last few are stacked. Episodes begin with up to
30 frames without a button.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import ale_py
import gymnasium
from ale_py.vector_env import AtariVectorEnv
from gymnasium import Env
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation, TimeLimit

from mario_a3c.envs.gymnasium_tasks import TaskError, nearest
from mario_a3c.envs.statistics import EpisodeStatistics

FRAME_SKIP = 4
NOOP_MAX = 30
LONGEST_EPISODE = 108_000
"""Frames: half an hour of play."""
STICKINESS = {"0": 0.25, "4": 0.0, "5": 0.25}
"""Version of an id -> probability that an action is ignored and the last one goes on."""

_ID = re.compile(
    r"(?:ALE/)?(?P<game>[A-Za-z0-9]+?)(?:-v5|(?:Deterministic|NoFrameskip)?-v(?P<old>[04]))"
)

gymnasium.register_envs(ale_py)


def _games() -> dict[str, str]:
    """Return the games by the name in their ids: ``MsPacman`` -> ``ms_pacman``."""
    return {
        spec.name: spec.kwargs["game"]
        for spec in gymnasium.registry.values()
        if spec.namespace == "ALE" and spec.version == 5
    }


def is_atari(env_id: str) -> bool:
    """Whether an id is that of an Atari game; also one that ale-py has dropped."""
    match = _ID.fullmatch(env_id)
    return env_id.startswith("ALE/") or (match is not None and match["game"] in _games())


def make_atari_env(
    env_id: str,
    num_envs: int,
    *,
    picture_size: int = 84,
    frame_stack: int = 4,
    max_episode_length: int = 0,
    render_mode: str | None = None,
) -> VectorEnv[Any, Any, Any]:
    """Return ``num_envs`` copies of an Atari game, with same-step autoreset.

    Observations are ``uint8 [B, frame_stack, picture_size, picture_size]``, actions ``int64 [B]``
    from the game's minimal set, rewards the game's own points. Every form of an id means a frame
    skip of 4; ``v0`` and ``v5`` have sticky actions, ``v4`` has none (``PongDeterministic-v4``,
    which ale-py knows no more, among them).

    Args:
        env_id: such as ``ALE/Pong-v5`` or ``PongDeterministic-v4``.
        num_envs: how many.
        picture_size: height and width of the pictures.
        frame_stack: how many pictures the agent sees at once.
        max_episode_length: truncate after so many decisions; 0 after half an hour of play.
        render_mode: as `gymnasium.make` knows it. A game that is shown is played by Gymnasium's
            wrappers, which is slower and looks the same to the agent.

    Raises:
        TaskError: there is no such game.
    """
    match = _ID.fullmatch(env_id)
    games = _games()
    if match is None or match["game"] not in games:
        raise TaskError(f"--env-name {env_id!r} is unknown.{nearest(env_id)}")
    game, stickiness = match["game"], STICKINESS[match["old"] or "5"]
    longest = max_episode_length * FRAME_SKIP or LONGEST_EPISODE
    if render_mode is not None:
        make = partial(
            _make_shown, game, stickiness, picture_size, frame_stack, longest, render_mode
        )
        shown = SyncVectorEnv([make] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)
        return EpisodeStatistics(shown)
    native = AtariVectorEnv(
        games[game],
        num_envs,
        num_threads=1,
        max_num_frames_per_episode=longest,
        repeat_action_probability=stickiness,
        autoreset_mode=AutoresetMode.SAME_STEP,
        img_height=picture_size,
        img_width=picture_size,
        stack_num=frame_stack,
        frameskip=FRAME_SKIP,
        noop_max=NOOP_MAX,
        reward_clipping=False,
    )
    return EpisodeStatistics(native)


def _make_shown(
    name: str,
    stickiness: float,
    picture_size: int,
    frame_stack: int,
    longest: int,
    render_mode: str,
) -> Env[Any, Any]:
    env = gymnasium.make(
        f"ALE/{name}-v5",
        frameskip=1,
        repeat_action_probability=stickiness,
        max_num_frames_per_episode=LONGEST_EPISODE,
        render_mode=render_mode,
    )
    env = AtariPreprocessing(env, NOOP_MAX, FRAME_SKIP, picture_size)
    env = TimeLimit(env, longest // FRAME_SKIP)
    return FrameStackObservation(env, frame_stack, padding_type="zero")
