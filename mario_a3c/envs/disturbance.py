"""Random actions in place of the agent's, each held for a while, at the beginning of an episode.

An agent without doubts does the same again where it fails. A random action now and then, held for
a few decisions, leads it to what it would not try, as in epsilon-z-greedy exploration (Dabney et
al. 2020, arXiv:2006.01782).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LONGEST = 8
"""Decisions that a random action is held at most; each number from 1 on is equally likely."""


class Disturbance:
    """Replaces actions of ``B`` games in the first decisions of those that it is asked to disturb.

    Attributes:
        begun: ``bool [B]``, the games whose episode it was asked to disturb.
    """

    def __init__(self, num_games: int, num_actions: int, rate: float) -> None:
        """Disturb no game yet.

        Args:
            num_games: ``B``.
            num_actions: how many there are to draw from.
            rate: how likely a random action begins at a decision, from 0 to 1.
        """
        self._num_actions, self._rate = num_actions, rate
        self._left, self._held = (np.zeros(num_games, dtype=np.int64) for _ in range(2))
        self._action = np.zeros(num_games, dtype=np.int64)
        self.begun = np.zeros(num_games, dtype=np.bool_)

    def begin(self, game: int, decisions: int) -> None:
        """Disturb the first so many decisions of a game that begins; 0 leaves it alone."""
        self._left[game], self._held[game] = decisions, 0
        self.begun[game] = decisions > 0

    def disturb(
        self, actions: NDArray[np.int64], generators: Sequence[np.random.Generator]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the actions to be taken, ``[B]``, and which of them are random, ``bool [B]``.

        Args:
            actions: ``[B]`` the agent's.
            generators: ``B`` random streams, one for every game.
        """
        taken, random = actions.copy(), np.zeros(len(actions), dtype=np.bool_)
        for game in np.flatnonzero(self._left > 0).tolist():
            self._left[game] -= 1
            if not self._held[game] and generators[game].random() < self._rate:
                self._action[game] = generators[game].integers(self._num_actions)
                self._held[game] = generators[game].integers(1, LONGEST + 1)
            if self._held[game]:
                self._held[game] -= 1
                taken[game], random[game] = self._action[game], True
        return taken, random
