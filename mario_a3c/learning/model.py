"""The actor-critic: an encoder, perhaps an LSTM with one state per game, a policy and a value."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from mario_a3c.learning.distributions import CategoricalHead, GaussianHead, Policy, first_step
from mario_a3c.learning.encoders import ConvEncoder, make_encoder
from mario_a3c.learning.lstm import ResettingLSTM
from mario_a3c.learning.normalization import Normalizer, merge
from mario_a3c.learning.spec import ModelSpec

State = tuple[Tensor, ...]
"""The recurrent state ``(h, c)``, each ``[B, lstm_size]``; empty without an LSTM.

A critic with an LSTM of its own has a second pair.
"""


class Actor(Protocol):
    """Whatever plays: a network, or what stands in its place."""

    spec: ModelSpec

    def initial_state(self, batch: int) -> State:
        """Return the state in which an episode begins, for ``batch`` games."""

    def act(self, observations: Tensor, state: State) -> tuple[Distribution, Tensor, State]:
        """Return distributions of B actions, B values and the next state."""


class ActorCritic(nn.Module):
    """The actor-critic: a trunk (encoder and LSTM), a policy head and a value head.

    With ``spec.separate`` the critic has a trunk of its own.
    """

    def __init__(self, spec: ModelSpec) -> None:
        """Build and initialise the network that ``spec`` describes."""
        super().__init__()
        self.spec = spec
        self.normalizer = Normalizer(spec.observation_shape) if spec.normalize else None
        self.encoder = make_encoder(spec)
        self.lstm = ResettingLSTM(self.encoder.size, spec.lstm_size) if spec.lstm_size else None
        size = spec.lstm_size or self.encoder.size
        self.policy = (
            GaussianHead(size, spec.action_low, spec.action_high, spec.deviation)
            if spec.continuous
            else CategoricalHead(size, spec.num_actions)
        )
        self.value = nn.Linear(size, 1)
        self.critic_encoder = make_encoder(spec) if spec.separate else None
        self.critic_lstm = (
            ResettingLSTM(self.encoder.size, spec.lstm_size)
            if spec.separate and spec.lstm_size
            else None
        )
        self._initialise()

    def _initialise(self) -> None:
        """Orthogonal weights; a policy that begins nearly uniform, a value that begins near 0."""
        gains: dict[nn.Module, float] = {self.value: 1.0}
        gains.update(dict.fromkeys(self.policy.modules(), 0.01))
        for lstm in (self.lstm, self.critic_lstm):
            if lstm is not None:
                gains[lstm.cell] = 1.0
        for module in self.modules():
            for parameter in module.parameters(recurse=False):
                if parameter.dim() < 2:  # biases
                    nn.init.zeros_(parameter)
                else:
                    nn.init.orthogonal_(parameter, gains.get(module, math.sqrt(2)))

    def initial_state(self, batch: int) -> State:
        """Return the state in which an episode begins, for ``batch`` games: zeros."""
        lstms = [lstm for lstm in (self.lstm, self.critic_lstm) if lstm is not None]
        shape = (batch, self.spec.lstm_size)
        return tuple(self.value.weight.new_zeros(shape) for _ in range(2 * len(lstms)))

    def forward(
        self, observations: Tensor, state: State, resets: Tensor
    ) -> tuple[Policy, Tensor, State]:
        """Run over T steps of B games.

        Args:
            observations: ``uint8 [T, B, C, H, W]`` or ``float32 [T, B, D]``.
            state: the recurrent state before the first step, ``[B, ...]``.
            resets: ``bool [T, B]``, true where a step begins a new episode.

        Returns:
            the action distribution (batch shape ``[T, B]``), values ``[T, B]`` and the state after
            the last step.
        """
        flat = observations.flatten(0, 1)
        if self.normalizer is not None:
            flat = self.normalizer(flat)
        outputs, after = _run(self.encoder, self.lstm, flat, state[:2], resets)
        of_critic = outputs
        if self.critic_encoder is not None:
            of_critic, critic_after = _run(
                self.critic_encoder, self.critic_lstm, flat, state[2:], resets
            )
            after += critic_after
        return self.policy(outputs), self.value(of_critic).squeeze(-1), after

    def act(self, observations: Tensor, state: State) -> tuple[Policy, Tensor, State]:
        """Run one step of B games that go on: ``[B, ...]`` to a distribution, values ``[B]``.

        The caller zeroes the rows of ``state`` that belong to games which begin anew.
        """
        going_on = torch.zeros(1, len(observations), dtype=torch.bool, device=observations.device)
        distribution, values, state = self(observations.unsqueeze(0), state, going_on)
        return first_step(distribution), values[0], state

    def take_statistics(self, statistics: Tensor) -> None:
        """Normalise observations by the merged statistics of all workers from now on.

        Args:
            statistics: ``float64 [workers, 3, K + 1]`` as in `mario_a3c.training.shared`; not
                looked at by a network that does not normalise.
        """
        if self.normalizer is not None:
            self.normalizer.statistics.copy_(merge(statistics[:, :, : self.normalizer.size]))


def _run(
    encoder: nn.Module, lstm: ResettingLSTM | None, inputs: Tensor, state: State, resets: Tensor
) -> tuple[Tensor, State]:
    """Run a trunk over ``[T * B, ...]`` inputs; return outputs ``[T, B, size]`` and its state."""
    features = encoder(inputs).unflatten(0, resets.shape)
    return (features, ()) if lstm is None else lstm(features, state, resets)


def use_precision(model: ActorCritic, precision: str) -> None:
    """Choose the arithmetic of a model that sees pictures: its convolutions and large products.

    Args:
        model: changed in place; its weights stay float32, and so does what the LSTM carries from
            step to step. A model that does not see pictures stays as it is.
        precision: ``float32``, ``bfloat16``, or ``auto``: bfloat16 where the model is on a CPU that
            has instructions for it.
    """
    if precision == "auto":
        on_cpu = all(weights.device.type == "cpu" for weights in model.parameters())
        fast = on_cpu and torch.cpu._is_avx512_bf16_supported()
        precision = "bfloat16" if fast else "float32"
    if not model.spec.pictures:
        return
    for module in model.modules():
        if isinstance(module, ConvEncoder | ResettingLSTM):
            module.compute_dtype = getattr(torch, precision)
