"""Playing B games for T steps, and cutting what was seen into training sequences."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from mario_a3c.faults import NotFiniteError
from mario_a3c.learning.model import Actor, State
from mario_a3c.learning.normalization import RewardScaling
from mario_a3c.learning.returns import generalized_advantages
from mario_a3c.learning.spec import ModelSpec

FIGURES = ("max_x", "completed", "time", "end_reason", "began_elsewhere")
"""What a task may tell of an episode besides its return and length."""


@dataclass(frozen=True)
class Episode:
    """One finished training episode."""

    score: float
    length: int
    figures: dict[str, float] = field(default_factory=dict)
    """Further figures of the task: those of `FIGURES` that it has."""
    buttons: bytes = b""
    """What was pressed in every frame, where the environment logs it."""


@dataclass
class Batch:
    """Training sequences of L steps: N of them side by side, or all of a rollout's.

    Attributes:
        observations: ``uint8 [L, N, C, H, W]`` or ``float32 [L, N, D]``.
        actions: ``int64 [L, N]`` or ``float32 [L, N, A]``.
        log_probs: ``[L, N]``, log probability of each action when it was chosen.
        advantages: ``[L, N]``.
        returns: ``[L, N]``, what the values should have been.
        values: ``[L, N]``, what they were when the actions were chosen.
        resets: ``bool [L, N]``, true where a step begins a new episode.
        random: ``bool [L, N]``, true where the action was not the policy's, but drawn by the task.
        state: recurrent state before the first step, each ``[N, ...]``.
    """

    observations: Tensor
    actions: Tensor
    log_probs: Tensor
    advantages: Tensor
    returns: Tensor
    values: Tensor
    resets: Tensor
    random: Tensor
    state: State

    def minibatches(self, count: int, generator: torch.Generator) -> Iterator[Batch]:
        """Deal the sequences out into random minibatches; a single one is not shuffled.

        Args:
            count: of minibatches.
            generator: of the CPU, on whatever device the batch is.
        """
        if count == 1:
            yield self
            return
        order = torch.randperm(self.actions.shape[1], generator=generator).to(self.actions.device)
        for chosen in order.chunk(count):
            yield Batch(
                _as_stored(partial(torch.index_select, dim=1, index=chosen), self.observations),
                self.actions[:, chosen],
                self.log_probs[:, chosen],
                self.advantages[:, chosen],
                self.returns[:, chosen],
                self.values[:, chosen],
                self.resets[:, chosen],
                self.random[:, chosen],
                tuple(part[chosen] for part in self.state),
            )


def join(first: Tensor, second: Tensor) -> Tensor:
    """Return observations ``[L, N, ...]`` and ``[L, M, ...]`` side by side, ``[L, N + M, ...]``."""
    return _as_stored(lambda *parts: torch.cat(parts, 1), first, second)


def _as_stored(change: Callable[..., Tensor], *observations: Tensor) -> Tensor:
    """Apply a change to observations in the order in which pictures lie in memory.

    Pictures are ``[T, B, C, H, W]`` by shape and ``[T, B, H, W, C]`` in memory (channels last,
    which the convolutions read fastest); a plain copy would lose that order.
    """
    if observations[0].dim() != 5:
        return change(*observations)
    stored = (part.permute(0, 1, 3, 4, 2) for part in observations)
    return change(*stored).permute(0, 1, 4, 2, 3)


class RolloutCollector:
    """Plays B games with a model and keeps the last T steps of each.

    Attributes:
        frames: emulated in the last rollout, of all games; the steps where a task tells none.
    """

    def __init__(
        self,
        env: VectorEnv,
        model: Actor,
        steps: int,
        unroll: int,
        device: torch.device,
        rewards: RewardScaling | None = None,
    ) -> None:
        """Begin to play.

        Args:
            env: B games, with same-step autoreset.
            model: chooses the actions; its weights may change between rollouts.
            steps: T, the length of a rollout.
            unroll: L, the length of a training sequence; divides T.
            device: where the model lies.
            rewards: what is done to rewards before they are learned from.
        """
        self._scale_rewards = rewards
        self.env, self.model = env, model
        self.steps, self.unroll, self.device = steps, unroll, device
        games = env.num_envs
        self._observations, self._actions = _storage(model.spec, steps, unroll, games, device)
        self._log_probs, self._values, self._next_values, self._rewards = (
            torch.zeros((steps, games), device=device) for _ in range(4)
        )
        self._terminated, self._truncated, self._resets, self._random = (
            torch.zeros((steps, games), dtype=torch.bool, device=device) for _ in range(4)
        )
        first, _ = env.reset()
        self._observation = torch.from_numpy(first)
        self._state = model.initial_state(games)
        self.frames = 0
        self._begins = torch.ones(games, dtype=torch.bool, device=device)

    @torch.no_grad()
    def collect(self, gamma: float, gae_lambda: float) -> tuple[Batch, list[Episode]]:
        """Play T steps with the model's present weights.

        Returns:
            the rollout as ``B T / L`` training sequences, and the episodes that ended in it. The
            observations are good until the next rollout, which overwrites them.
        """
        states, episodes = self._play()
        return self._batch(states, gamma, gae_lambda), episodes

    @torch.inference_mode()
    def _play(self) -> tuple[list[State], list[Episode]]:
        """Fill the buffers, and return the states before each sequence and the episodes.

        What is made in inference mode may not be learned from: `_batch`, outside, copies it.
        """
        states: list[State] = []
        episodes: list[Episode] = []
        self.frames = 0
        for t in range(self.steps):
            if t % self.unroll == 0:
                states.append(self._state)
            observation = self._observations[t % self.unroll, t // self.unroll]
            observation.copy_(self._observation)
            self._resets[t] = self._begins
            distribution, values, self._state = self.model.act(observation, self._state)
            if not math.isfinite(values.sum()):
                raise NotFiniteError("the value that the network computes is not finite")
            actions = distribution.sample()
            self._actions[t], self._values[t] = actions, values
            infos = self._step(t, actions.cpu().numpy(), episodes)
            self._random[t] = False
            if "random" in infos:
                self._actions[t] = torch.from_numpy(infos["taken"])
                self._random[t] = torch.from_numpy(infos["random"])
            self._log_probs[t] = distribution.log_prob(self._actions[t])
        self._bootstrap()
        return states, episodes

    def _step(self, t: int, actions: np.ndarray, episodes: list[Episode]) -> dict[str, Any]:
        """Step the games, note what came of it and return what the task told."""
        observation, rewards, terminated, truncated, infos = self.env.step(actions)
        self._observation = torch.from_numpy(observation)
        self._rewards[t] = torch.from_numpy(rewards)
        self._terminated[t] = torch.from_numpy(terminated)
        self._truncated[t] = torch.from_numpy(truncated)
        self._next_values[t] = 0.0
        self.frames += int(infos["frames"].sum()) if "frames" in infos else len(rewards)
        ended = terminated | truncated
        self._begins = torch.from_numpy(ended).to(self.device)
        if ended.any():
            if truncated.any():
                self._value_truncated(t, truncated, infos["final_obs"])
            keep = (~self._begins).unsqueeze(1)
            self._state = tuple(part * keep for part in self._state)
            episodes.extend(finished_episodes(infos, ended))
        return infos

    def _value_truncated(self, t: int, truncated: np.ndarray, final: np.ndarray) -> None:
        """Value the observations at which episodes were cut short, for the bootstrap."""
        cut = torch.from_numpy(np.flatnonzero(truncated)).to(self.device)
        last = torch.from_numpy(np.stack([final[i] for i in cut.tolist()])).to(self.device)
        _, values, _ = self.model.act(last, tuple(part[cut] for part in self._state))
        self._next_values[t, cut] = values

    def _bootstrap(self) -> None:
        """Fill in V(s_{t+1}) of all steps whose episodes go on, that of the last step included."""
        observation = self._observation.to(self.device)
        _, last, _ = self.model.act(observation, self._state)
        going_on = ~(self._terminated | self._truncated)
        following = torch.cat([self._values[1:], last.unsqueeze(0)])
        self._next_values = torch.where(going_on, following, self._next_values)

    def _batch(self, states: list[State], gamma: float, gae_lambda: float) -> Batch:
        rewards = self._rewards
        if self._scale_rewards is not None:
            rewards = self._scale_rewards(rewards, self._terminated | self._truncated)
        advantages = generalized_advantages(
            rewards,
            self._values,
            self._next_values,
            self._terminated,
            self._truncated,
            gamma,
            gae_lambda,
            self._before_random(),
        )
        # What came of random actions says nothing of what the policy's are worth.
        returns = torch.where(self._random, self._values, advantages + self._values)
        return Batch(
            self._observations.flatten(1, 2),
            self._cut(self._actions),
            self._cut(self._log_probs),
            self._cut(advantages),
            self._cut(returns),
            self._cut(self._values),
            self._cut(self._resets),
            self._cut(self._random),
            tuple(torch.cat(parts) for parts in zip(*states, strict=True)),
        )

    def _before_random(self) -> Tensor:
        """Return ``bool [T, B]``, which steps of the policy were followed by a random one."""
        following = torch.cat([self._random[1:], torch.zeros_like(self._random[:1])])
        return following & ~self._random

    def _cut(self, steps: Tensor) -> Tensor:
        """Cut ``[T, B, ...]`` into ``[L, (T / L) B, ...]``: the pieces side by side."""
        pieces = steps.unflatten(0, (-1, self.unroll))
        return pieces.transpose(0, 1).flatten(1, 2)


def _storage(
    spec: ModelSpec, steps: int, unroll: int, games: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return room for observations, and for ``[T, B]`` actions.

    Observations take most of a worker's memory, so they are stored as they are learned from,
    ``[L, T / L, B, ...]``, and not copied again; pictures lie there channels-last.
    """
    pieces = steps // unroll
    if spec.pictures:
        channels, height, width = spec.observation_shape
        room = torch.empty(
            (unroll, pieces, games, height, width, channels), dtype=torch.uint8, device=device
        )
        observations = room.permute(0, 1, 2, 5, 3, 4)
    else:
        shape = (unroll, pieces, games, *spec.observation_shape)
        observations = torch.zeros(shape, device=device)
    if spec.continuous:
        return observations, torch.zeros((steps, games, spec.num_actions), device=device)
    return observations, torch.zeros((steps, games), dtype=torch.int64, device=device)


def finished_episodes(infos: dict[str, Any], ended: np.ndarray) -> list[Episode]:
    """Read the episodes that ended in a step, in the games' order, from the step's infos."""
    final = infos["final_info"]
    figures = [name for name in FIGURES if name in final]
    return [
        Episode(
            score=float(final["episode_return"][game]),
            length=int(final["episode_length"][game]),
            figures={name: float(final[name][game]) for name in figures},
            buttons=final["buttons"][game] if "buttons" in final else b"",
        )
        for game in np.flatnonzero(ended).tolist()
    ]
