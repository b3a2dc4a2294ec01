"""Second chances: moments shortly before an agent's own failures, for episodes to begin at.

A policy that dies at one place in two spends most of its time on the way there. Beginning some
episodes a few decisions before recent failures lets it practise what it cannot do yet, and as it
learns, the places move on with it. It is a restart distribution in the sense of Kakade and Langford
2002, drawn from the agent's own episodes; no way through the stage has to be known.

A failure is kept, while it is among the newest, until an episode that begins before it gets past
it: to the end of the stage, or to ground beyond it. What fails there once more is not kept as
another one: of such failures each would lie nearer to the end than the one before, until all that
is left is past help.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mario_a3c.envs.starts import Start

EVERY = 8
"""Decisions between two moments that are remembered while a game is played."""
MEMORY = 6
"""Moments that are remembered of each game, the last ones."""
LEAST = 6
"""Decisions that must lie between a moment and the failure: nearer ones may be past help."""
PAST = 64
"""Pixels of ground beyond a failure after which an episode that began before it has got past it."""
KEPT = 64
"""Failures that are kept, the newest; with all their moments some 13 MB."""
STUBBORN = 4
"""Episodes that began before a failure and did not get past it, after which it is stubborn."""


@dataclass(frozen=True)
class Moment:
    """A moment before a failure, and the decisions that were left then."""

    start: Start
    left: int


@dataclass(eq=False)
class Failure:
    """The moments before a failure, the earliest first, and how far it had come in every map."""

    moments: tuple[Moment, ...]
    furthest: NDArray[np.int32]
    """``int32 [128]``; see `mario_a3c.envs.progress.Progress`."""
    again: int = 0
    """Episodes that began before it and got no further."""


class Retries:
    """Remembers moments of running games and keeps those that preceded a failure.

    Attributes:
        kept: the failures that nothing got past yet, the newest last.
    """

    def __init__(self, num_games: int) -> None:
        """Begin with no failures."""
        self._moments: list[deque[tuple[int, Start]]] = [
            deque(maxlen=MEMORY) for _ in range(num_games)
        ]
        self._begun: list[Failure | None] = [None] * num_games
        self.kept: deque[Failure] = deque(maxlen=KEPT)

    def begin(self, game: int) -> None:
        """Forget the moments of a game that begins anew."""
        self._moments[game].clear()
        self._begun[game] = None

    def draw(self, game: int, generator: np.random.Generator) -> Moment:
        """Return where a game begins: any moment of any failure that is kept."""
        failure = self.kept[int(generator.integers(len(self.kept)))]
        self._begun[game] = failure
        return failure.moments[int(generator.integers(len(failure.moments)))]

    def stubborn(self, game: int) -> bool:
        """Return whether a game began before a failure that several others did not get past."""
        begun = self._begun[game]
        return begun is not None and begun.again >= STUBBORN

    def due(self, length: int) -> bool:
        """Return whether a game that is ``length`` decisions old should be remembered now."""
        return length % EVERY == 0

    def remember(self, game: int, length: int, moment: Start) -> None:
        """Remember a moment of a game at which it was ``length`` decisions old."""
        self._moments[game].append((length, moment))

    def succeed(self, game: int) -> None:
        """Drop the failure before which a game began: it got past it."""
        begun = self._begun[game]
        if begun is not None and begun in self.kept:
            self.kept.remove(begun)

    def fail(self, game: int, length: int, furthest: NDArray[np.int32]) -> None:
        """Keep the failure of a game, unless it began before that one and got no further.

        If it began before another one, that is dropped: the game got past it.

        Args:
            game: its index.
            length: decisions that it lasted.
            furthest: ``int32 [128]``, how far it came in every map.
        """
        begun = self._begun[game]
        if begun is not None and (furthest <= begun.furthest + PAST).all():
            begun.again += 1
            return
        self.succeed(game)
        early = [Moment(start, length - at) for at, start in self._moments[game]]
        moments = tuple(moment for moment in early if moment.left >= LEAST)
        if moments:
            self.kept.append(Failure(moments, furthest.copy()))
