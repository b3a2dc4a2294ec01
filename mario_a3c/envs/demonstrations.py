"""Recorded ways through a stage as the learner sees its own episodes: what was seen and done."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mario_a3c.envs.actions import controller_bytes
from mario_a3c.envs.engine import Engine
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
    """

    observations: NDArray[np.uint8]
    actions: NDArray[np.int64]


def demonstration(
    engine: Engine,
    trace: Trace,
    action_set: str,
    *,
    display_buttons: bool = False,
) -> Demonstration:
    """Replay a trace that finishes its stage on the first console of an engine.

    Args:
        engine: any engine with the stage of the trace; its first console is used up.
        trace: each decision holds its buttons for `FRAME_SKIP` frames.
        action_set: the actions of the learner.
        display_buttons: as the learner's environment has it.
    """
    indices = {int(byte): index for index, byte in enumerate(controller_bytes(action_set))}
    replay = Replay(
        engine, noops=trace.noops, frame_skip=FRAME_SKIP, display_buttons=display_buttons
    )
    observations, actions = [], []
    for position in range(trace.noops, len(trace.buttons), FRAME_SKIP):
        pressed = trace.buttons[position : position + FRAME_SKIP]
        observations.append(replay.stack)
        actions.append(indices.get(pressed[0], NO_ACTION))
        replay.decide(pressed)
    return Demonstration(np.stack(observations), np.array(actions))
