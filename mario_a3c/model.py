"""The actor-critic: an encoder, perhaps an LSTM with one state per game, a policy and a value."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import torch
from gymnasium import Space, spaces
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional

from mario_a3c.distributions import CategoricalHead, GaussianHead, Policy, first_step
from mario_a3c.lstm import ResettingLSTM
from mario_a3c.normalization import Normalizer, merge

if TYPE_CHECKING:
    from mario_a3c.config import RunConfig

State = tuple[Tensor, ...]
"""The recurrent state ``(h, c)``, each ``[B, lstm_size]``; empty without an LSTM.

A critic with an LSTM of its own has a second pair.
"""

# name -> convolutions as (channels, kernel, stride, padding), then the width of a dense layer.
_CONVOLUTIONS: dict[str, tuple[tuple[tuple[int, int, int, int], ...], int]] = {
    # Mnih et al. 2016 (arXiv:1602.01783), section 8: Atari.
    "paper": (((16, 8, 4, 0), (32, 4, 2, 0)), 256),
    "wide": (((32, 8, 4, 0), (64, 4, 2, 0)), 256),
    # The network of the classic Mario A3C and of pytorch-a3c.
    "reference": (((32, 3, 2, 1),) * 4, 0),
}


class Actor(Protocol):
    """Whatever plays: a network, or what stands in its place."""

    spec: ModelSpec

    def initial_state(self, batch: int) -> State:
        """Return the state in which an episode begins, for ``batch`` games."""

    def act(self, observations: Tensor, state: State) -> tuple[Distribution, Tensor, State]:
        """Return distributions of B actions, B values and the next state."""


@dataclass(frozen=True)
class ModelSpec:
    """Everything needed to build the network again, as it stands in a checkpoint.

    Attributes:
        observation_shape: ``(C, H, W)`` of pictures, ``(D,)`` of vectors.
        num_actions: discrete actions, or elements of a continuous one.
        network: convolutions for pictures; vectors go through dense layers instead.
        lstm_size: units of the LSTM; 0 for a network without one.
        hidden: widths of the dense layers for vectors.
        action_low: lowest values of a continuous action; empty for discrete ones.
        action_high: highest values of a continuous action.
        deviation: what the deviation of a continuous action follows from: ``state`` or ``free``.
        separate: the critic has an encoder and an LSTM of its own.
        normalize: observations are brought to mean 0 and deviation 1.
    """

    observation_shape: tuple[int, ...]
    num_actions: int
    network: str = "paper"
    lstm_size: int = 256
    hidden: tuple[int, ...] = (64, 64)
    action_low: tuple[float, ...] = ()
    action_high: tuple[float, ...] = ()
    deviation: str = "state"
    separate: bool = False
    normalize: bool = False

    @classmethod
    def for_task(cls, observation: Space[Any], action: Space[Any], config: RunConfig) -> ModelSpec:
        """Return the network that follows from a task's spaces and a run's options."""
        assert observation.shape is not None
        fields: dict[str, Any] = {"action_low": (), "action_high": ()}
        if isinstance(action, spaces.Box):
            fields["num_actions"] = len(action.low)
            fields["action_low"] = tuple(action.low.tolist())
            fields["action_high"] = tuple(action.high.tolist())
        else:
            assert isinstance(action, spaces.Discrete)
            fields["num_actions"] = int(action.n)
        return cls(
            observation_shape=observation.shape,
            network=config.network,
            lstm_size=config.lstm_size if config.recurrent else 0,
            hidden=config.hidden,
            deviation=config.deviation,
            separate=config.separate,
            normalize=config.normalize_observations,
            **fields,
        )

    @property
    def continuous(self) -> bool:
        """Whether actions are numbers in a range."""
        return bool(self.action_low)

    @property
    def pictures(self) -> bool:
        """Whether observations are pictures."""
        return len(self.observation_shape) == 3

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> ModelSpec:
        """Build a specification from `to_dict`'s output; ``TypeError`` for unknown fields."""
        lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
        return cls(**{**fields, **lists})


class ConvEncoder(nn.Module):
    """Pictures ``uint8 [N, C, H, W]``, or normalised float ones, to features ``[N, size]``.

    The convolutions run in ``compute_dtype`` and in channels-last memory order, which is the fast
    one on CPUs; what leaves the encoder is float32.
    """

    def __init__(self, shape: tuple[int, ...], network: str) -> None:
        """Build the convolutions called ``network`` for pictures of ``shape`` (C, H, W)."""
        super().__init__()
        convolutions, dense = _CONVOLUTIONS[network]
        channels, height, width = shape
        layers: list[nn.Conv2d] = []
        for out_channels, kernel, stride, padding in convolutions:
            layers.append(nn.Conv2d(channels, out_channels, kernel, stride, padding))
            channels = out_channels
            height = (height + 2 * padding - kernel) // stride + 1
            width = (width + 2 * padding - kernel) // stride + 1
        self.convolutions = nn.ModuleList(layers)
        self.size = channels * height * width
        self.dense: nn.Linear | None = None
        if dense:
            self.dense = nn.Linear(self.size, dense)
            self.size = dense
        self.compute_dtype = torch.float32

    def forward(self, pictures: Tensor) -> Tensor:
        """Encode ``[N, C, H, W]`` to ``float32 [N, size]``."""
        low_precision = self.compute_dtype == torch.bfloat16
        with torch.autocast(pictures.device.type, torch.bfloat16, enabled=low_precision):
            x = pictures.to(self.compute_dtype, memory_format=torch.channels_last)
            # Bytes become numbers from 0 to 1 in the first weights, which are fewer than pixels.
            first = self.convolutions[0]
            assert isinstance(first, nn.Conv2d)
            weight = first.weight / 255 if pictures.dtype == torch.uint8 else first.weight
            x = functional.conv2d(x, weight, first.bias, first.stride, first.padding)
            x = functional.relu(x)
            for convolution in self.convolutions[1:]:
                x = functional.relu(convolution(x))
            x = x.flatten(1)
            if self.dense is not None:
                x = functional.relu(self.dense(x))
        return x.float()


class DenseEncoder(nn.Module):
    """Vectors ``[N, D]`` to features ``[N, size]``: dense layers with tanh between them."""

    def __init__(self, inputs: int, hidden: tuple[int, ...]) -> None:
        """Build one layer for each width in ``hidden``."""
        super().__init__()
        widths = (inputs, *hidden)
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        self.size = widths[-1]

    def forward(self, vectors: Tensor) -> Tensor:
        """Encode ``float32 [N, D]`` to ``[N, size]``."""
        for layer in self.layers:
            vectors = torch.tanh(layer(vectors))
        return vectors


class ActorCritic(nn.Module):
    """The actor-critic: a trunk (encoder and LSTM), a policy head and a value head.

    With ``spec.separate`` the critic has a trunk of its own.
    """

    def __init__(self, spec: ModelSpec) -> None:
        """Build and initialise the network that ``spec`` describes."""
        super().__init__()
        self.spec = spec
        self.normalizer = Normalizer(spec.observation_shape) if spec.normalize else None
        self.encoder = _encoder(spec)
        self.lstm = ResettingLSTM(self.encoder.size, spec.lstm_size) if spec.lstm_size else None
        size = spec.lstm_size or self.encoder.size
        self.policy = (
            GaussianHead(size, spec.action_low, spec.action_high, spec.deviation)
            if spec.continuous
            else CategoricalHead(size, spec.num_actions)
        )
        self.value = nn.Linear(size, 1)
        self.critic_encoder = _encoder(spec) if spec.separate else None
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
            statistics: ``float64 [workers, 3, K + 1]`` as in `mario_a3c.shared`; not looked at
                by a network that does not normalise.
        """
        if self.normalizer is not None:
            self.normalizer.statistics.copy_(merge(statistics[:, :, : self.normalizer.size]))


def _encoder(spec: ModelSpec) -> ConvEncoder | DenseEncoder:
    if spec.pictures:
        return ConvEncoder(spec.observation_shape, spec.network)
    return DenseEncoder(spec.observation_shape[0], spec.hidden)


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
        precision: ``float32``, ``bfloat16``, or ``auto``: bfloat16 where the CPU has instructions
            for it.
    """
    if precision == "auto":
        fast = torch.cpu._is_avx512_bf16_supported()
        precision = "bfloat16" if fast else "float32"
    if not model.spec.pictures:
        return
    for module in model.modules():
        if isinstance(module, ConvEncoder | ResettingLSTM):
            module.compute_dtype = getattr(torch, precision)
