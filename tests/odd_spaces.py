"""A module that registers tasks whose spaces are odd, as ``tests.odd_spaces:DictActions-v0``."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import Env, Space, spaces

SPACES: dict[str, Space[Any]] = {
    "Dict": spaces.Dict({"position": spaces.Box(-1.0, 1.0, (2,))}),
    "Tuple": spaces.Tuple([spaces.Discrete(2), spaces.Discrete(3)]),
    "MultiBinary": spaces.MultiBinary(3),
    "MultiDiscrete": spaces.MultiDiscrete([2, 3]),
}
PICTURES = {"Tiny": (7, 7, 3), "Stacked": (4, 84, 84, 3), "Grey": (84, 84)}


class Odd(Env[Any, Any]):
    """Shows and takes what nobody learns from."""

    def __init__(self, observation_space: Space[Any], action_space: Space[Any]) -> None:
        """Have spaces."""
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Begin."""
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Go on."""
        return self.observation_space.sample(), 0.0, False, False, {}


def _register(name: str, observation_space: Space[Any], action_space: Space[Any]) -> None:
    gymnasium.register(
        f"{name}-v0",
        entry_point=f"{__name__}:Odd",
        kwargs={"observation_space": observation_space, "action_space": action_space},
    )


for kind, space in SPACES.items():
    _register(f"{kind}Observations", space, spaces.Discrete(2))
    _register(f"{kind}Actions", spaces.Box(-1.0, 1.0, (2,)), space)
for kind, shape in PICTURES.items():
    _register(f"{kind}Pictures", spaces.Box(0, 255, shape, np.uint8), spaces.Discrete(2))
