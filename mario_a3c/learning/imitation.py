"""Learning from found ways (Rajeswaran et al. 2018, arXiv:1709.10087).

The ways are those that the program found by search (`mario_a3c.explore`). Their actions are made
likelier beside what the rollouts teach, with a weight that falls to 0 (`--imitation-coef`). So
they show where to begin to look, which random actions would take too long to find, and in the end
only what was learned by playing counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mario_a3c.envs.demonstrations import NO_ACTION, Demonstration
from mario_a3c.learning.model import ActorCritic, State
from mario_a3c.learning.rollout import Batch, join

STEPS = 64
"""Steps that are imitated in an update, in sequences as long as the network is unrolled for."""
REFRESH = 4
"""The network goes through the ways anew after so many rollouts at least."""
KNOWN = 0.01
"""A loss of imitation, in nats a step, below which all sequences are drawn alike."""
UNKNOWN = 100.0
"""The same, above which they are."""


class Imitated(NamedTuple):
    """Sequences of L steps, N of them side by side.

    Attributes:
        observations: ``uint8 [L, N, C, H, W]``.
        actions: ``int64 [L, N]``.
        counts: ``[L, N]``, 1 where there is something to imitate and 0 elsewhere.
        state: recurrent state before the first step, each ``[N, ...]``.
    """

    observations: Tensor
    actions: Tensor
    counts: Tensor
    state: State

    def beside(self, batch: Batch) -> tuple[tuple[Tensor, State, Tensor], Tensor]:
        """Return what a batch and these sequences give the network together, and their actions.

        The batch comes first: ``(observations, state, resets)`` and actions ``[L, N + M]``.
        """
        going_on = torch.zeros_like(self.actions, dtype=torch.bool)
        state = tuple(torch.cat(parts) for parts in zip(batch.state, self.state, strict=True))
        inputs = (
            join(batch.observations, self.observations),
            state,
            torch.cat([batch.resets, going_on], 1),
        )
        return inputs, torch.cat([batch.actions, self.actions], 1)


def side_by_side(
    demonstrations: Sequence[Demonstration], unroll: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return N episodes side by side, cut into P pieces of L steps, the longest one filling them.

    Args:
        demonstrations: N of them, at least one.
        unroll: L.

    Returns:
        observations ``uint8 [P, L, N, C, H, W]``, actions ``int64 [P, L, N]``, and counts
        ``[P, L, N]``, 1 where there is something to imitate and 0 elsewhere.
    """
    pieces = -(-max(len(episode.actions) for episode in demonstrations) // unroll)
    steps, episodes = pieces * unroll, len(demonstrations)
    shape = demonstrations[0].observations.shape[1:]
    observations = torch.zeros((steps, episodes, *shape), dtype=torch.uint8)
    actions = torch.zeros((steps, episodes), dtype=torch.int64)
    counts = torch.zeros((steps, episodes))
    for n, episode in enumerate(demonstrations):
        length = len(episode.actions)
        observations[:length, n] = torch.from_numpy(episode.observations)
        actions[:length, n] = torch.from_numpy(episode.actions.clip(0))
        counts[:length, n] = torch.from_numpy(episode.actions != NO_ACTION)
    cut = (pieces, unroll)
    return observations.unflatten(0, cut), actions.unflatten(0, cut), counts.unflatten(0, cut)


class Imitation:
    """Demonstrations, cut into sequences.

    Args:
        demonstrations: at least one.
        unroll: L, the length of a sequence.
        device: where the model lies.
        priority: the power of its loss that a sequence is drawn in proportion to, so that what the
            model has not learned yet comes more often (alpha of Schaul et al. 2016,
            arXiv:1511.05952, section 3.3); with 0 all are equally likely.
    """

    def __init__(
        self,
        demonstrations: Sequence[Demonstration],
        unroll: int,
        device: torch.device,
        priority: float = 0.0,
    ) -> None:
        self._priority = priority
        self._sequences = max(1, STEPS // unroll)
        self._pieces = [list(part.to(device)) for part in side_by_side(demonstrations, unroll)]
        # The pieces with something to imitate, as (piece, episode).
        self._worth = [
            (p, n)
            for p, counts in enumerate(self._pieces[2])
            for n in range(len(demonstrations))
            if counts[:, n].any()
        ]
        self._states: list[State] = []
        self._chances = torch.ones(len(self._worth))
        self._rollouts = self._played = 0

    @torch.no_grad()
    def refresh(self, model: ActorCritic, played: int) -> None:
        """Compute the states before the sequences, and how likely each is drawn, once in a while.

        That is after `REFRESH` rollouts, and not before as many steps were played as the ways have:
        many ways would take longer than what is learned from them.

        Args:
            model: the network that learns.
            played: steps of the rollout that it learns from next.
        """
        self._rollouts, self._played = self._rollouts + 1, self._played + played
        pieces = len(self._pieces[0])
        steps = pieces * self._pieces[1][0].numel()
        if self._states and (self._rollouts < REFRESH or self._played < steps):
            return
        self._rollouts = self._played = 0
        state = model.initial_state(self._pieces[1][0].shape[1])
        if not state and not self._priority:  # nothing to compute: the network remembers nothing
            self._states = [state] * pieces
            return
        going_on = torch.zeros_like(self._pieces[1][0], dtype=torch.bool)
        self._states, losses = [], []
        for observations, actions, counts in zip(*self._pieces, strict=True):
            self._states.append(state)
            policy, _, state = model(observations, state, going_on)
            if self._priority:
                unlikely = -policy.log_prob(actions) * counts
                losses.append(unlikely.sum(0) / counts.sum(0).clamp(min=1))
        if losses:
            # Weights that are not finite fail elsewhere, with a sentence.
            table = torch.stack(losses).cpu().nan_to_num().clamp(KNOWN, UNKNOWN) ** self._priority
            self._chances = torch.stack([table[p, n] for p, n in self._worth])

    def draw(self, generator: torch.Generator) -> Imitated:
        """Return random sequences of `STEPS` steps together, by their priority."""
        drawn = self._chances.multinomial(self._sequences, True, generator=generator)
        chosen = [self._worth[index] for index in drawn.tolist()]
        parts = [torch.stack([part[p][:, n] for p, n in chosen], 1) for part in self._pieces]
        states = [tuple(part[n] for part in self._states[p]) for p, n in chosen]
        state = tuple(torch.stack(rows) for rows in zip(*states, strict=True))
        observations, actions, counts = parts
        return Imitated(observations, actions, counts, state)
