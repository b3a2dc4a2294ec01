"""The random baseline: actions drawn evenly, in the place of a network."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, Uniform

from mario_a3c.learning.model import State
from mario_a3c.learning.spec import ModelSpec


class UniformPolicy:
    """Draws every action evenly, whatever is shown.

    A continuous action that has no bounds is drawn from -1 to 1, and one that has a bound on one
    side only from a range of 2 beside it. There is no likeliest action.

    Args:
        spec: of the network in whose place this stands.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        low, high = torch.tensor(spec.action_low), torch.tensor(spec.action_high)
        below = torch.where(torch.isfinite(high), high - 2.0, -1.0)
        self._low = torch.where(torch.isfinite(low), low, below)
        self._high = torch.where(torch.isfinite(high), high, self._low + 2.0)

    def initial_state(self, batch: int) -> State:
        """Return the state in which an episode begins: there is none."""
        return ()

    def act(self, observations: Tensor, state: State) -> tuple[Distribution, Tensor, State]:
        """Choose for B games; see `mario_a3c.learning.model.ActorCritic.act`."""
        games, device = len(observations), observations.device
        return self._distribution(games, device), torch.zeros(games, device=device), ()

    def _distribution(self, games: int, device: torch.device) -> Distribution:
        shape = (games, self.spec.num_actions)
        if not self.spec.continuous:
            return Categorical(logits=torch.zeros(shape, device=device), validate_args=False)
        low, high = (bound.to(device).expand(shape) for bound in (self._low, self._high))
        each = Uniform(low, high, validate_args=False)
        return Independent(each, 1, validate_args=False)
