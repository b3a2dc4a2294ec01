"""A guard around games: faults become one kind of error, and who is inside can be seen."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper
from numpy.typing import NDArray

from mario_a3c.faults import GameError, NotFiniteError


class Guard:
    """Calls code of an environment: whatever it raises becomes a ``GameError``.

    Args:
        inside: its first element is the monotonic time at which the present call began, and 0
            while there is none. In shared memory, it shows others that the environment hangs.
    """

    def __init__(self, inside: NDArray[np.float64] | None = None) -> None:
        self._inside = np.zeros(1) if inside is None else inside

    def call[T](
        self, doing: str, function: Callable[..., T], *arguments: Any, **settings: Any
    ) -> T:
        """Call a function, and return what it returns.

        Args:
            doing: what it does, for the error.
            function: code of the environment.
            *arguments: are passed on.
            **settings: are passed on.

        Raises:
            GameError: it raised something.
        """
        self._inside[0] = time.monotonic()
        try:
            return function(*arguments, **settings)
        except Exception as error:
            raise GameError(
                f"the environment failed in {doing}: {type(error).__name__}: {error}"
            ) from error
        finally:
            self._inside[0] = 0.0


class GuardedEnv(VectorWrapper[Any, Any, Any, Any, Any]):
    """Plays like the games inside, and tells apart what can go wrong with them.

    Making them raises ``GameError`` as well.

    Args:
        make: makes the games.
        inside: see `Guard`.
    """

    def __init__(
        self, make: Callable[[], VectorEnv], inside: NDArray[np.float64] | None = None
    ) -> None:
        self._guard = Guard(inside)
        super().__init__(self._guard.call("being made", make))

    def reset(self, **settings: Any) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin new episodes.

        Raises:
            GameError: the games raised something.
            NotFiniteError: an observation holds a NaN, or what single precision has no number for.
        """
        observation, infos = self._guard.call("reset", self.env.reset, **settings)
        _check_finite("observation", observation)
        return observation, infos

    def step(self, actions: Any) -> tuple[Any, NDArray[Any], NDArray[Any], NDArray[Any], Any]:
        """Make a step.

        Raises:
            GameError: the games raised something.
            NotFiniteError: an observation or a reward holds a NaN, or what single precision has no
                number for.
        """
        observation, rewards, terminated, truncated, infos = self._guard.call(
            "step", self.env.step, actions
        )
        _check_finite("reward", rewards)
        _check_finite("observation", observation)
        for game in np.flatnonzero(truncated):  # it is valued; after a real end nothing is
            _check_finite("observation", np.asarray(infos["final_obs"][game]))
        return observation, rewards, terminated, truncated, infos

    def render(self) -> Any:
        """Return the games' pictures.

        Raises:
            GameError: the games raised something.
        """
        return self._guard.call("render", self.env.render)

    def close(self, **settings: Any) -> None:
        """Let the games go; what a broken one raises then is of no interest any more."""
        with contextlib.suppress(GameError):
            self._guard.call("close", self.env.close, **settings)


def _check_finite(what: str, numbers: NDArray[Any]) -> None:
    """Refuse what is not finite in single precision, in which everything is learned from."""
    if numbers.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):
        finite = np.isfinite(numbers.astype(np.float32, copy=False))
    if not finite.all():
        raise NotFiniteError(f"the environment gave {what} {numbers[~finite][0]}")
