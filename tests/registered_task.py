"""A module such as a user has: it registers an environment that is nowhere else."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import Env, spaces


class Guess(Env[Any, Any]):
    """Say which of two numbers was shown; 20 times an episode, 1 point each."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float64)
    action_space = spaces.Discrete(2, start=5)

    def _show(self) -> np.ndarray:
        self._shown = int(self.np_random.integers(2))
        return np.eye(2)[self._shown]

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._left = 20
        return self._show(), {}

    def step(self, action: Any) -> Any:
        reward = float(action - 5 == self._shown)
        self._left -= 1
        return self._show(), reward, self._left == 0, False, {}


gymnasium.register("tests/Guess-v0", entry_point=lambda **_: Guess())
