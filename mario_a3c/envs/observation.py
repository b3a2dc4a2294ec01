"""From an NES picture to what the agent sees: grey, 84x84, by exact area averaging.

It is the whole screen, or a close-up of what is around Mario. The arithmetic is in integers, so
that every engine can produce the same bytes. On top may be shown which buttons led to the picture,
as in recordings of speed runs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mario_a3c.envs.engine import OBSERVATION_SIZE, SCREEN_SHAPE


def _overlaps(source: int, target: int) -> NDArray[np.float32]:
    """Return ``[target, source]`` integer weights: how far each source cell covers each target.

    On a common ruler a source cell is ``target`` units long and a target cell ``source`` units,
    so that every row of weights sums to ``source``.
    """
    starts = np.arange(source) * target
    edges = np.arange(target)[:, None] * source
    covered = np.minimum(starts + target, edges + source) - np.maximum(starts, edges)
    return np.clip(covered, 0, None).astype(np.float32)


# 240 rows make 84 in blocks of 20 to 7, and 256 columns make 84 in blocks of 64 to 21. The blocks
# keep every matrix product small, so that the BLAS library never wakes its threads for one.
_ROWS = _overlaps(20, 7)
_COLUMNS = _overlaps(64, 21).T.copy()
_AREA = 20 * 64


def grey(screen: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the luma ``(77 R + 150 G + 29 B) >> 8`` of an RGB picture, ``[..., 3] -> [...]``."""
    weighted = screen.astype(np.uint16) @ np.array([77, 150, 29], dtype=np.uint16)
    return (weighted >> 8).astype(np.uint8)


def downsample(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Average grey ``uint8 [..., 240, 256]`` over areas to ``[..., 84, 84]``, rounding half up.

    The sums stay below 2**24 and are exact in single precision.
    """
    rows = _ROWS @ luma.reshape(-1, 20, SCREEN_SHAPE[1]).astype(np.float32)
    total = (rows.reshape(-1, 28, 64) @ _COLUMNS).astype(np.uint32)
    average = ((total + _AREA // 2) // _AREA).astype(np.uint8)
    return average.reshape(*luma.shape[:-2], OBSERVATION_SIZE, OBSERVATION_SIZE)


VIEWS = ("screen", "close")
"""What an observation can show: the whole screen, or what is around Mario; see `close_up`."""
_WINDOW = 2 * OBSERVATION_SIZE
_MARIO_IN_WINDOW = (56, 72)
"""Columns to the left of him and rows above him: he looks ahead, to the right."""


def close_up(luma: NDArray[np.uint8], x: int, y: int) -> NDArray[np.uint8]:
    """Show the 168x168 pixels around Mario, 2x2 of them averaged, rounding half up.

    He is always at the same place of it, so that how far away something is from him can be read
    off without knowing where he is. It is black where the screen ends.

    Args:
        luma: the whole screen in grey, ``uint8 [240, 256]``.
        x: Mario's left edge in it, in pixels.
        y: the upper edge of the 16x32 pixels that he fills when he is big.

    Returns:
        ``uint8 [84, 84]``
    """
    padded = np.pad(luma, _WINDOW)
    left, top = x - _MARIO_IN_WINDOW[0] + _WINDOW, y - _MARIO_IN_WINDOW[1] + _WINDOW
    window = padded[top : top + _WINDOW, left : left + _WINDOW].astype(np.uint16)
    total = window.reshape(OBSERVATION_SIZE, 2, OBSERVATION_SIZE, 2).sum((1, 3))
    return ((total + 2) // 4).astype(np.uint8)


_BUTTON = 8
"""Height and width of the field that shows a button: one step of the paper's first convolution."""
# For each controller byte a row of 64 pixels: white where its bit, from the lowest, is set.
_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
_DISPLAY = np.repeat(255 * _BITS, _BUTTON, axis=1)


def show_buttons(pictures: NDArray[np.uint8], buttons: NDArray[np.uint8]) -> None:
    """Draw the buttons over the top of pictures, where the game shows points and time.

    Whether a jump can begin depends on whether its button was released before, which no picture
    of the game tells.

    Args:
        pictures: ``uint8 [B, 84, 84]``, changed in place.
        buttons: controller bytes ``[B]``.
    """
    pictures[:, :_BUTTON, : 8 * _BUTTON] = _DISPLAY[buttons][:, None]
