"""What a decision in the Mario task is worth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mario_a3c.envs.progress import Change


@dataclass(frozen=True)
class RewardWeights:
    """The reward of one decision, as a weighted sum; weights of 0 leave their part out."""

    ground: float = 0.01
    """Per pixel of ground not reached before in this episode."""
    velocity: float = 0.0
    """Per pixel of way to the right; to the left counts negative."""
    clock: float = 0.0
    """Per tick that the game's clock lost (give it a negative sign)."""
    score: float = 0.0
    """Per point scored in the game."""
    completion: float = 1.5
    """For the flag or the axe of the stage."""
    death: float = -1.5
    """For dying (give it a negative sign)."""
    step: float = 0.0
    """For every decision."""

    def total(
        self, change: Change, completed: NDArray[np.bool_], died: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return the reward of one decision of every game, ``float32 [B]``."""
        reward = self.ground * change.ground + self.step
        if self.velocity:
            reward += self.velocity * change.moved
        if self.clock:
            reward += self.clock * change.ticks
        if self.score:
            reward += self.score * change.points
        reward += self.completion * completed + self.death * died
        return reward.astype(np.float32)


REWARDS: dict[str, RewardWeights] = {
    "ground": RewardWeights(),
    # Per frame the classic reference adds the way to the right, the clock and -15 at death (its
    # environment clips -25 there), a 40th of the points, 50 for the flag, -50 for any other end,
    # and divides by 10.
    "reference": RewardWeights(
        ground=0.0, velocity=0.1, clock=-0.1, score=1 / 400, completion=5.0, death=-6.5
    ),
}


def reward_of(name: str, death_cost: float | None = None) -> RewardWeights:
    """Return the weights of that name, with another cost of dying if one is given.

    Args:
        name: a key of `REWARDS`.
        death_cost: what dying takes away; None for what the named weights say.
    """
    weights = REWARDS[name]
    return weights if death_cost is None else replace(weights, death=-death_cost)
