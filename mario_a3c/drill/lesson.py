"""Several ways side by side, and a network that learns to do at every step what they show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mario_a3c.envs.demonstrations import Demonstration
from mario_a3c.learning.imitation import side_by_side
from mario_a3c.learning.margin import margins, shortfall
from mario_a3c.learning.model import ActorCritic, State, use_precision

UNROLL = 16
"""Steps in a sequence that an LSTM learns from; without one every step stands for itself."""
STEPS = 512
"""In a minibatch."""
EVENLY = 0.8
"""Share of a minibatch that is drawn evenly, and not in proportion to what is wrong there."""
LONGEST_GRADIENT = 0.5


class Found(NamedTuple):
    """What a look at all ways finds.

    Attributes:
        steps: of all ways together.
        wrong: ``int64 [N]`` how many steps of each way the network would do otherwise.
        short: by how much all margins fall short together, in nats.
    """

    steps: int
    wrong: Tensor
    short: float


class Lesson:
    """Ways to be learned by heart, cut into sequences.

    Args:
        ways: at least one.
        margin: how much likelier each shown action should be than any other, in nats.
        seed: of what is drawn.
    """

    def __init__(self, ways: Sequence[Demonstration], margin: float, seed: int) -> None:
        self._margin = margin
        self._generator = torch.Generator().manual_seed(seed)
        self._observations, self._actions, self._counts = side_by_side(ways, UNROLL)
        self._going_on = torch.zeros((UNROLL, len(ways)), dtype=torch.bool)
        self._states: list[State] = []
        self._short = torch.zeros_like(self._counts)

    @torch.no_grad()
    def look(self, model: ActorCritic) -> Found:
        """Go through all ways with a network; what is drawn next follows from what is found."""
        state = model.initial_state(self._going_on.shape[1])
        wrong = torch.zeros(self._going_on.shape[1], dtype=torch.int64)
        self._states = []
        for piece, (observations, actions, counts) in enumerate(
            zip(self._observations, self._actions, self._counts, strict=True)
        ):
            self._states.append(state)
            policy, _, state = model(observations, state, self._going_on)
            wrong += ((margins(policy.logits, actions) <= 0) & (counts > 0)).sum(0)
            self._short[piece] = shortfall(policy.logits, actions, self._margin) * counts
        return Found(int(self._counts.sum()), wrong, float(self._short.sum()))

    def practise(self, model: ActorCritic, optimizer: torch.optim.Optimizer) -> None:
        """Learn in as many minibatches as the ways fill.

        A part of each is what the last look found wrong, and the rest is drawn evenly (`EVENLY`).

        It is computed in the fastest arithmetic; looks are as exact as playing.
        """
        use_precision(model, "auto")
        for _ in range(-(-int(self._counts.sum()) // STEPS)):
            observations, actions, counts, state = self._draw()
            going_on = torch.zeros_like(actions, dtype=torch.bool)
            policy, _, _ = model(observations, state, going_on)
            lacking = shortfall(policy.logits, actions, self._margin) * counts
            optimizer.zero_grad()
            # Squared: what is wrong pulls harder than what is right and lacks a little.
            (lacking.square().sum() / (2 * self._margin * STEPS)).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), LONGEST_GRADIENT)
            optimizer.step()
        use_precision(model, "float32")

    def _draw(self) -> tuple[Tensor, Tensor, Tensor, State]:
        """Return a minibatch: observations, actions, counts and the state before, ``[L, N, ...]``.

        With an LSTM these are sequences of `UNROLL` steps, and without one single steps.
        """
        parts = self._observations, self._actions, self._counts
        if not self._states[0]:
            drawn = self._chosen(self._short**2, self._counts, STEPS)
            observations, actions, counts = (part.flatten(0, 2)[drawn] for part in parts)
            return observations.unsqueeze(0), actions.unsqueeze(0), counts.unsqueeze(0), ()
        drawn = self._chosen((self._short**2).sum(1), self._counts.sum(1), STEPS // UNROLL)
        pieces, ways = drawn // self._short.shape[2], drawn % self._short.shape[2]
        observations, actions, counts = (part[pieces, :, ways].transpose(0, 1) for part in parts)
        rows = [
            tuple(part[way] for part in self._states[piece])
            for piece, way in zip(pieces.tolist(), ways.tolist(), strict=True)
        ]
        state = tuple(torch.stack(part) for part in zip(*rows, strict=True))
        return observations, actions, counts, state

    def _chosen(self, losses: Tensor, counts: Tensor, number: int) -> Tensor:
        """Return so many indices into the flat tables, drawn by their losses, or evenly."""
        worth = (counts.flatten() > 0).float()
        losses = losses.flatten()
        chances = EVENLY * worth / worth.sum()
        chances += (1 - EVENLY) * losses / losses.sum().clamp(min=1e-9)
        return chances.multinomial(number, True, generator=self._generator)
