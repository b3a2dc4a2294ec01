"""Gymnasium tasks that break in all the ways a task can; their ids name how.

A run plays one as ``--env-name tests.broken_games:NanReward-v0``.
"""

import math
import os
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import Env, spaces

LENGTH = 20
BREAKS_AT = 30
"""The step, counted over the life of the game, at which it breaks."""


class Game(Env[Any, Any]):
    """A task of nothing much: the observation tells the time, action 1 pays 1."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.lived = 0
        self.time = 0

    def reset(self, **settings: Any) -> tuple[Any, dict[str, Any]]:
        """Begin."""
        super().reset(**settings)
        self.time = 0
        return self.observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Go on."""
        self.time += 1
        self.lived += 1
        return self.observation(), float(action), self.time >= LENGTH, False, {}

    def observation(self) -> Any:
        """Return what is seen."""
        return np.array([self.time / LENGTH, 1.0], np.float32)

    @property
    def broken(self) -> bool:
        """Whether it is time to break."""
        return self.lived >= BREAKS_AT


class RaisesInStep(Game):
    """Fails now and then."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Go on or fail."""
        if self.broken:
            raise RuntimeError("the cartridge fell out")
        return super().step(action)


class RaisesAtOnce(Game):
    """Fails whenever it is stepped."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Fail."""
        raise RuntimeError("no cartridge")


class RaisesInReset(Game):
    """Cannot begin a second episode."""

    def reset(self, **settings: Any) -> tuple[Any, dict[str, Any]]:
        """Begin once."""
        if self.lived:
            raise RuntimeError("the button is stuck")
        return super().reset(**settings)


class RaisesInLaterReset(Game):
    """Cannot begin the third episode."""

    def reset(self, **settings: Any) -> tuple[Any, dict[str, Any]]:
        """Begin or fail."""
        if self.broken:
            raise RuntimeError("the button is stuck")
        return super().reset(**settings)


class RaisesInFirstReset(Game):
    """Cannot begin at all."""

    def reset(self, **settings: Any) -> tuple[Any, dict[str, Any]]:
        """Fail."""
        raise RuntimeError("the power is out")


class RaisesInClose(Game):
    """Fails now and then, and once more when it is to go."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Go on or fail."""
        if self.broken:
            raise RuntimeError("the cartridge fell out")
        return super().step(action)

    def close(self) -> None:
        """Fail."""
        raise RuntimeError("the door is stuck")


class HangsInBeingMade(Game):
    """Never comes to be as long as the file exists that BROKEN_GAMES names, and says so in it."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        while (file := Path(os.environ["BROKEN_GAMES"])).exists():
            file.write_text("hangs")
            time.sleep(0.1)


class NanReward(Game):
    """Pays a NaN now and then."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Go on."""
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, math.nan if self.broken else reward, terminated, truncated, info


class HugeReward(Game):
    """Pays now and then what is finite in double precision, but not in single."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Go on."""
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, 1e39 if self.broken else reward, terminated, truncated, info


class AlwaysNanReward(Game):
    """Pays nothing but NaN."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Go on."""
        observation, _, terminated, truncated, info = super().step(action)
        return observation, math.nan, terminated, truncated, info


class InfiniteObservation(Game):
    """Shows an infinity now and then."""

    def observation(self) -> Any:
        """Return what is seen."""
        return np.array([math.inf if self.broken else 0.5, 1.0], np.float32)


class NanObservation(Game):
    """Shows a NaN now and then."""

    def observation(self) -> Any:
        """Return what is seen."""
        return np.array([math.nan if self.broken else 0.5, 1.0], np.float32)


class NanWhereItIsCutShort(Game):
    """Is cut short instead of ended, now and then at a NaN."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Go on or be cut short."""
        observation, reward, cut, _, info = super().step(action)
        if cut and self.broken:
            observation = np.array([math.nan, 1.0], np.float32)
        return observation, reward, False, cut, info


class AlwaysNanObservation(Game):
    """Shows nothing but NaN."""

    def observation(self) -> Any:
        """Return what is seen."""
        return np.array([math.nan, 1.0], np.float32)


class Hangs(Game):
    """Never comes back from a step as long as the file exists that BROKEN_GAMES names."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Go on or hang."""
        while self.broken and Path(os.environ["BROKEN_GAMES"]).exists():
            time.sleep(0.1)
        return super().step(action)


KINDS: list[type[Game]] = [Game, *Game.__subclasses__()]
for kind in KINDS:
    gymnasium.register(f"{kind.__name__}-v0", entry_point=f"{__name__}:{kind.__name__}")
