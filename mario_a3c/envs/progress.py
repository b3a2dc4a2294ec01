"""How far a batch of games has come, and what the last decision changed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mario_a3c.envs import ram as fields
from mario_a3c.envs.ram import Integers, Ram

# Mario makes at most 3 pixels a frame; anything faster is a pipe, a loop or another map.
GROUND_PER_FRAME = 4
MOVE_PER_FRAME = 5
STRIP = 16
NUM_STRIPS = 512
"""Strips of ground in a map, each `STRIP` pixels wide; the longest map has 400 of them."""


def strip(x: Integers) -> Integers:
    """Return the index of the strip of ground in which each x lies."""
    return np.clip(x // STRIP, 0, NUM_STRIPS - 1)


class Change(NamedTuple):
    """What one decision changed, each ``int32 [B]``."""

    ground: Integers
    """Pixels of new ground, at most ``4 * frame_skip``."""
    moved: Integers
    """Pixels to the right; 0 for a jump of more than ``5 * frame_skip`` either way."""
    ticks: Integers
    """Ticks lost on the game's clock."""
    points: Integers
    """Points gained."""


class Progress:
    """Positions, clock and points of ``B`` games, and the furthest x of each in every map.

    Ground is new once per map, so that a loop in a maze or a second visit through a pipe pays
    nothing, and a map with coordinates of its own (a bonus room, the water in 8-4) still does.

    Attributes:
        x: ``int32 [B]`` position in pixels.
        max_x: ``int32 [B]`` largest position in this episode, in whatever map.
        time: ``int32 [B]`` the game's clock.
        score: ``int32 [B]`` points.
        furthest: ``int32 [B, 128]`` furthest x in each map, -1 where the game has not been.
        idle: ``int32 [B]`` decisions since the last new ground.
        counted: ``bool [128, NUM_STRIPS]``, the strips of each map whose ground counts as new
            ground, or None for all of it.
    """

    def __init__(self, num_games: int, frame_skip: int) -> None:
        self._largest_ground = GROUND_PER_FRAME * frame_skip
        self._largest_move = MOVE_PER_FRAME * frame_skip
        self._rows = np.arange(num_games)
        self.x = np.zeros(num_games, dtype=np.int32)
        self.max_x = np.zeros(num_games, dtype=np.int32)
        self.time = np.zeros(num_games, dtype=np.int32)
        self.score = np.zeros(num_games, dtype=np.int32)
        self.idle = np.zeros(num_games, dtype=np.int32)
        self.furthest = np.full((num_games, fields.NUM_AREAS), -1, dtype=np.int32)
        self.counted: NDArray[np.bool_] | None = None

    def begin(
        self, games: NDArray[np.intp], ram: Ram, furthest: NDArray[np.int32] | None = None
    ) -> None:
        """Start counting for some games from where they are.

        Args:
            games: indices of the games that begin.
            ram: ``uint8 [B, 2048]`` of all games.
            furthest: ``int32 [128]`` ground that counts as reached already.
        """
        ram = ram[games]
        x = fields.x(ram)
        self.x[games] = x
        self.time[games] = fields.time(ram)
        self.score[games] = fields.score(ram)
        self.idle[games] = 0
        self.furthest[games] = -1 if furthest is None else furthest
        area = fields.area(ram)
        self.furthest[games, area] = np.maximum(self.furthest[games, area], x)
        self.max_x[games] = self.furthest[games].max(1)

    def update(self, ram: Ram) -> Change:
        """Take in the RAM after a decision, ``uint8 [B, 2048]``, and return what it changed."""
        x, time, score = fields.x(ram), fields.time(ram), fields.score(ram)
        area = fields.area(ram)

        before = self.furthest[self._rows, area]
        entered = before < 0
        gain = np.where(entered, 0, x - before)
        fresh = entered | (gain > 0)
        if self.counted is not None:
            fresh &= self.counted[area, strip(x)]
        ground = np.where(fresh, np.clip(gain, 0, self._largest_ground), 0)
        self.furthest[self._rows, area] = np.maximum(before, x)
        self.idle = np.where(fresh, 0, self.idle + 1)

        moved = x - self.x
        moved[np.abs(moved) > self._largest_move] = 0
        change = Change(
            ground=ground,
            moved=moved,
            ticks=np.maximum(self.time - time, 0),
            points=np.maximum(score - self.score, 0),
        )
        self.x, self.time, self.score = x, time, score
        self.max_x = np.maximum(self.max_x, x)
        return change
