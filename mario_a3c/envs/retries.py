"""Second chances: moments shortly before an agent's own failures, for episodes to begin at.

A policy that dies at one place in two spends most of its time on the way there. Beginning some
episodes a few decisions before recent failures lets it practise what it cannot do yet, and as it
learns, the places move on with it. It is a restart distribution in the sense of Kakade and Langford
2002, drawn from the agent's own episodes; no way through the stage has to be known.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from mario_a3c.envs.starts import Start

EVERY = 8
"""Decisions between two moments that are remembered while a game is played."""
MEMORY = 6
"""Moments that are remembered of each game, the last ones."""
LEAST = 6
"""Decisions that must lie between a moment and the failure: nearer ones may be past help."""
KEPT = 256
"""Moments before failures that are kept, the newest."""


class Retries:
    """Remembers moments of running games and keeps one of those that preceded a failure."""

    def __init__(self, num_games: int) -> None:
        """Begin with no failures."""
        self._moments: list[deque[tuple[int, Start]]] = [
            deque(maxlen=MEMORY) for _ in range(num_games)
        ]
        self.starts: deque[Start] = deque(maxlen=KEPT)

    def begin(self, game: int) -> None:
        """Forget the moments of a game that begins anew."""
        self._moments[game].clear()

    def due(self, length: int) -> bool:
        """Return whether a game that is ``length`` decisions old should be remembered now."""
        return length % EVERY == 0

    def remember(self, game: int, length: int, moment: Start) -> None:
        """Remember a moment of a game at which it was ``length`` decisions old."""
        self._moments[game].append((length, moment))

    def fail(self, game: int, length: int, generator: np.random.Generator) -> None:
        """Keep a random moment of a game that has failed after ``length`` decisions.

        Args:
            game: its index.
            length: decisions that it lasted.
            generator: draws the moment.
        """
        early = [moment for at, moment in self._moments[game] if length - at >= LEAST]
        if early:
            self.starts.append(early[int(generator.integers(len(early)))])

    def draw(self, generator: np.random.Generator) -> Start:
        """Return one of the kept moments, each equally likely."""
        return self.starts[int(generator.integers(len(self.starts)))]
