"""What the work RAM of Super Mario Bros says about a game, for a batch of consoles at once.

Every function takes ``uint8 [B, 2048]`` and returns an array ``[B]``. The addresses are those of
gym-super-mario-bros.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mario_a3c.envs.engine import SCREEN_SHAPE

Ram = NDArray[np.uint8]
Integers = NDArray[np.int32]
Booleans = NDArray[np.bool_]

NUM_AREAS = 128

_STAGE_OVER_ENEMIES = (0x2D, 0x31)  # Bowser, the flag
_SLIDING_DOWN = 3
_END_OF_WORLD = 2


def _digits(ram: Ram, first: int, count: int) -> Integers:
    """Return the number whose decimal digits stand one a byte."""
    powers = 10 ** np.arange(count - 1, -1, -1, dtype=np.int32)
    return ram[:, first : first + count].astype(np.int32) @ powers


def x(ram: Ram) -> Integers:
    """Return Mario's horizontal position in pixels from the left end of the area.

    It is negative, not 65,534, where he stands a little to the left of that (in 4-4's loops).
    """
    return ram[:, 0x6D].astype(np.int8).astype(np.int32) * 256 + ram[:, 0x86]


def x_on_screen(ram: Ram) -> Integers:
    """Return where Mario's left edge is in the picture, in pixels from its left end."""
    return ram[:, 0x03AD].astype(np.int32)


def y_on_screen(ram: Ram) -> Integers:
    """Return where Mario is in the picture, in pixels from its top, from 0 to 240.

    It is the upper edge of the 16x32 pixels that he fills when he is big. Above and below the
    picture he counts as at its edge.
    """
    y = (ram[:, 0xB5].astype(np.int32) - 1) * 256 + ram[:, 0xCE]
    return np.clip(y, 0, SCREEN_SHAPE[0])


def score(ram: Ram) -> Integers:
    """Return the points."""
    return _digits(ram, 0x07DE, 6)


def time(ram: Ram) -> Integers:
    """Return the time left on the game's clock, in its own ticks."""
    return _digits(ram, 0x07F8, 3)


def area(ram: Ram) -> NDArray[np.intp]:
    """Return which map is loaded, from 0 to 127; pipes and vines lead from one to another.

    It is the area type and the number within it that the game remembers when it loads a map (the
    area pointer at 0x750 changes earlier, when a pipe comes near).
    """
    return (ram[:, 0x074E] & 3).astype(np.intp) * 32 + (ram[:, 0x074F] & 31)


def flag_or_axe(ram: Ram) -> Booleans:
    """Return whether the flag pole or the axe has been reached, whatever stage this is."""
    enemies = ram[:, 0x16:0x1B]
    guarded = ((enemies == _STAGE_OVER_ENEMIES[0]) | (enemies == _STAGE_OVER_ENEMIES[1])).any(1)
    return (ram[:, 0x0770] == _END_OF_WORLD) | (guarded & (ram[:, 0x1D] == _SLIDING_DOWN))


def in_stage(ram: Ram, asked_world: int, asked_stage: int) -> Booleans:
    """Return whether the game is in the stage asked for; a warp zone leads out of it."""
    return (ram[:, 0x075F] == asked_world - 1) & (ram[:, 0x075C] == asked_stage - 1)


def completed(ram: Ram, asked_world: int, asked_stage: int) -> Booleans:
    """Return whether the flag or axe of the stage asked for has been reached."""
    return flag_or_axe(ram) & in_stage(ram, asked_world, asked_stage)
