"""Recorded ways through a stage as the learner sees its own episodes: what was seen, done, paid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mario_a3c.envs.actions import controller_bytes
from mario_a3c.envs.engine import Engine
from mario_a3c.envs.rewards import RewardWeights
from mario_a3c.envs.starts import Replay
from mario_a3c.envs.traces import Trace

FRAME_SKIP = 4
NO_ACTION = -1


@dataclass(frozen=True)
class Demonstration:
    """One episode of T decisions, which ends with the stage.

    Attributes:
        observations: ``uint8 [T, 4, 84, 84]``.
        actions: ``int64 [T]`` indices into the action set, `NO_ACTION` where the buttons pressed
            are none of its actions.
        rewards: ``float32 [T]``.
    """

    observations: NDArray[np.uint8]
    actions: NDArray[np.int64]
    rewards: NDArray[np.float32]


def demonstration(
    engine: Engine,
    trace: Trace,
    action_set: str,
    reward: RewardWeights,
    *,
    display_buttons: bool = False,
) -> Demonstration:
    """Replay a trace that finishes its stage on the first console of an engine.

    Args:
        engine: any engine with the stage of the trace; its first console is used up.
        trace: each decision holds its buttons for `FRAME_SKIP` frames.
        action_set: the actions of the learner.
        reward: what a decision is worth.
        display_buttons: as the learner's environment has it.
    """
    indices = {int(byte): index for index, byte in enumerate(controller_bytes(action_set))}
    replay = Replay(
        engine, noops=trace.noops, frame_skip=FRAME_SKIP, display_buttons=display_buttons
    )
    observations, actions, rewards = [], [], []
    for position in range(trace.noops, len(trace.buttons), FRAME_SKIP):
        pressed = trace.buttons[position : position + FRAME_SKIP]
        observations.append(replay.stack)
        actions.append(indices.get(pressed[0], NO_ACTION))
        change = replay.decide(pressed)
        completed = np.array([replay.ended and trace.completed])
        rewards.append(reward.total(change, completed, np.zeros(1, dtype=np.bool_))[0])
    return Demonstration(np.stack(observations), np.array(actions), np.array(rewards))
