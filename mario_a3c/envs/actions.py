"""The action sets of the Mario task: which button combinations an agent chooses from."""

from __future__ import annotations

import numpy as np
from gym_super_mario_bros.actions import COMPLEX_MOVEMENT, RIGHT_ONLY, SIMPLE_MOVEMENT
from numpy.typing import NDArray

# The controller byte as nes-py reads it.
BUTTON_BITS = {
    "NOOP": 0x00,
    "A": 0x01,
    "B": 0x02,
    "select": 0x04,
    "start": 0x08,
    "up": 0x10,
    "down": 0x20,
    "left": 0x40,
    "right": 0x80,
}

ACTION_SETS: dict[str, list[list[str]]] = {
    "right": RIGHT_ONLY,
    "simple": SIMPLE_MOVEMENT,
    "complex": COMPLEX_MOVEMENT,
    # Ours: 8-4 cannot be finished without going down pipes.
    "pipes": [*SIMPLE_MOVEMENT, ["down"]],
}


def controller_bytes(action_set: str) -> NDArray[np.uint8]:
    """Return the controller byte of every action of a set, ``uint8 [num_actions]``.

    Args:
        action_set: ``right``, ``simple`` or ``complex`` as in gym-super-mario-bros, or ``pipes``,
            which is ``simple`` and ``down``.

    Raises:
        ValueError: if there is no such action set.
    """
    if action_set not in ACTION_SETS:
        raise ValueError(
            f"The action set {action_set!r} is unknown; choose one of {', '.join(ACTION_SETS)}."
        )
    combinations = ACTION_SETS[action_set]
    return np.array(
        [sum(BUTTON_BITS[button] for button in buttons) for buttons in combinations], dtype=np.uint8
    )
