"""When and why an episode of the Mario task ends."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mario_a3c.envs import ram as fields

MAX_ACTIONS, STALL_LIMIT = 200, 250
"""What `Limits` are for training and playing, unless somebody asks for others."""


class EndReason(IntEnum):
    """Why an episode ended; see `TERMINATING` and `STALLING`."""

    NONE = 0
    COMPLETED = 1
    DIED = 2
    LEFT_STAGE = 3
    STALLED = 4
    REPEATED = 5
    TIME_LIMIT = 6


TERMINATING = (EndReason.COMPLETED, EndReason.DIED, EndReason.LEFT_STAGE)
"""What terminates an episode; everything else truncates it."""
STALLING = (EndReason.STALLED, EndReason.REPEATED)
"""What terminates it too where that is asked for."""


@dataclass(frozen=True)
class Limits:
    """Decisions after which an episode is cut short; 0 for never.

    Attributes:
        max_actions: equal actions in a row.
        stall_limit: decisions without new ground.
        max_episode_steps: decisions in all.
    """

    max_actions: int
    stall_limit: int
    max_episode_steps: int


class Endings:
    """Counts the decisions of ``B`` games and says which of them end.

    Attributes:
        length: ``int32 [B]`` decisions of the episode so far.
    """

    def __init__(self, num_games: int, world: int, stage: int, limits: Limits) -> None:
        """Watch over games of one stage."""
        self._target = (world, stage)
        self._limits = limits
        self.length = np.zeros(num_games, dtype=np.int32)
        self._repeats = np.zeros(num_games, dtype=np.int32)
        self._last_action = np.full(num_games, -1, dtype=np.int64)

    def begin(self, games: NDArray[np.intp]) -> None:
        """Count from 0 again for some games."""
        self.length[games] = 0
        self._repeats[games] = 0

    def reasons(
        self,
        actions: NDArray[Any],
        over: NDArray[np.bool_],
        idle: NDArray[np.int32],
        ram: fields.Ram,
    ) -> NDArray[np.int8]:
        """Count a decision of every game and return why it ends the game, `EndReason` ``[B]``.

        Args:
            actions: ``[B]`` what was decided.
            over: ``bool [B]`` whether the engine says that the game has ended.
            idle: ``int32 [B]`` decisions since the last new ground.
            ram: ``uint8 [B, 2048]`` after the decision.
        """
        self.length += 1
        self._repeats = np.where(actions == self._last_action, self._repeats + 1, 1)
        self._last_action = actions.copy()
        reason = np.zeros(len(actions), dtype=np.int8)
        # From the weakest reason to the strongest.
        limits = self._limits
        if limits.max_episode_steps:
            reason[self.length >= limits.max_episode_steps] = EndReason.TIME_LIMIT
        if limits.max_actions:
            reason[self._repeats >= limits.max_actions] = EndReason.REPEATED
        if limits.stall_limit:
            reason[idle >= limits.stall_limit] = EndReason.STALLED
        inside = fields.in_stage(ram, *self._target)
        reason[~inside] = EndReason.LEFT_STAGE
        if over.any():
            goal = fields.flag_or_axe(ram)
            reason[over & ~goal] = EndReason.DIED
            reason[over & goal & inside] = EndReason.COMPLETED
        return reason
