"""Returns and lengths of episodes, where Mario's environment reports them too."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper


class EpisodeStatistics(VectorWrapper[Any, Any, Any, Any, Any]):
    """Adds the figures of ended episodes to ``infos["final_info"]``.

    They are arrays ``[B]``, meaningful where the game ended: ``episode_return`` (the sum of the
    rewards) and ``episode_length`` (in decisions). What the environment itself had put there is
    left out: it would not be in this layout.

    Args:
        env: games with same-step autoreset, which give ``final_obs``.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env)
        self._return = np.zeros(env.num_envs)
        self._length = np.zeros(env.num_envs, dtype=np.int64)

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Begin a new episode in every game."""
        self._return[:] = 0.0
        self._length[:] = 0
        return self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Take a step in every game."""
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        self._return += rewards
        self._length += 1
        ended = terminated | truncated
        kept: dict[str, Any] = {}
        if ended.any():
            kept["final_obs"], kept["_final_obs"] = infos["final_obs"], ended
            kept["final_info"], kept["_final_info"] = self._final_info(ended), ended
            self._return[ended] = 0.0
            self._length[ended] = 0
        return observations, rewards, terminated, truncated, kept

    def _final_info(self, ended: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "episode_return": self._return.copy(),
            "episode_length": self._length.copy(),
            "_episode_return": ended,
            "_episode_length": ended,
        }
