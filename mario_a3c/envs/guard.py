"""A guard around games: faults become one kind of error, and who is inside can be seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper
from numpy.typing import NDArray

from mario_a3c.faults import GameError, NotFiniteError


class GuardedEnv(VectorWrapper[Any, Any, Any, Any, Any]):
    """Plays like the games inside, and tells apart what can go wrong with them.

    Making them raises ``GameError`` as well.

    Args:
        make: makes the games.
        inside: its first element is the monotonic time at which the games were entered, and 0
            while we are not inside them. In shared memory, it shows others that they hang.
    """

    def __init__(
        self, make: Callable[[], VectorEnv], inside: NDArray[np.float64] | None = None
    ) -> None:
        self._inside = np.zeros(1) if inside is None else inside
        super().__init__(self._enter("being made", make))

    def reset(self, **settings: Any) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin new episodes.

        Raises:
            GameError: the games raised something.
            NotFiniteError: an observation holds a NaN, or what single precision has no number for.
        """
        observation, infos = self._enter("reset", self.env.reset, **settings)
        _check_finite("observation", observation)
        return observation, infos

    def step(self, actions: Any) -> tuple[Any, NDArray[Any], NDArray[Any], NDArray[Any], Any]:
        """Make a step.

        Raises:
            GameError: the games raised something.
            NotFiniteError: an observation or a reward holds a NaN, or what single precision has no
                number for.
        """
        observation, rewards, terminated, truncated, infos = self._enter(
            "step", self.env.step, actions
        )
        _check_finite("reward", rewards)
        _check_finite("observation", observation)
        return observation, rewards, terminated, truncated, infos

    def _enter(self, doing: str, call: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
        self._inside[0] = time.monotonic()
        try:
            return call(*arguments, **settings)
        except Exception as error:
            raise GameError(
                f"the environment failed in {doing}: {type(error).__name__}: {error}"
            ) from error
        finally:
            self._inside[0] = 0.0


def _check_finite(what: str, numbers: NDArray[Any]) -> None:
    """Refuse what is not finite in single precision, in which everything is learned from."""
    if numbers.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):
        finite = np.isfinite(numbers.astype(np.float32, copy=False))
    if not finite.all():
        raise NotFiniteError(f"the environment gave {what} {numbers[~finite][0]}")
