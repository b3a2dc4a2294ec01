"""The actor-critic: an encoder, an LSTM with one state per game, a policy and a value."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.nn import functional

State = tuple[Tensor, ...]
"""The recurrent state ``(h, c)``, each ``[B, lstm_size]``; empty without an LSTM."""

# name -> convolutions as (channels, kernel, stride, padding), then the width of a dense layer.
_CONVOLUTIONS: dict[str, tuple[tuple[tuple[int, int, int, int], ...], int]] = {
    # Mnih et al. 2016 (arXiv:1602.01783), section 8: Atari.
    "paper": (((16, 8, 4, 0), (32, 4, 2, 0)), 256),
    "wide": (((32, 8, 4, 0), (64, 4, 2, 0)), 256),
    # The network of the classic Mario A3C and of pytorch-a3c.
    "reference": (((32, 3, 2, 1),) * 4, 0),
}


@dataclass(frozen=True)
class ModelSpec:
    """Everything needed to build the network again, as it stands in a checkpoint."""

    observation_shape: tuple[int, ...]
    num_actions: int
    network: str = "paper"
    lstm_size: int = 256

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> ModelSpec:
        """Build a specification from `to_dict`'s output; ``TypeError`` for unknown fields."""
        return cls(**{**fields, "observation_shape": tuple(fields["observation_shape"])})


class ConvEncoder(nn.Module):
    """Pictures ``uint8 [N, C, H, W]`` to features ``[N, size]``.

    The convolutions run in ``compute_dtype`` and in channels-last memory order, which is the fast
    one on CPUs; what leaves the encoder is float32.
    """

    def __init__(self, shape: tuple[int, ...], network: str) -> None:
        """Build the convolutions called ``network`` for pictures of ``shape`` (C, H, W)."""
        super().__init__()
        convolutions, dense = _CONVOLUTIONS[network]
        channels, height, width = shape
        layers: list[nn.Module] = []
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
        """Encode ``uint8 [N, C, H, W]`` to ``float32 [N, size]``."""
        low_precision = self.compute_dtype == torch.bfloat16
        with torch.autocast(pictures.device.type, torch.bfloat16, enabled=low_precision):
            x = pictures.to(self.compute_dtype, memory_format=torch.channels_last).mul_(1 / 255)
            for convolution in self.convolutions:
                x = functional.relu(convolution(x))
            x = x.flatten(1)
            if self.dense is not None:
                x = functional.relu(self.dense(x))
        return x.float()


class ResettingLSTM(nn.Module):
    """An LSTM over sequences in which episodes end (one layer, batched over games)."""

    def __init__(self, input_size: int, size: int) -> None:
        """Build an LSTM of ``size`` units."""
        super().__init__()
        self.cell = nn.LSTMCell(input_size, size)
        self.size = size

    def forward(self, inputs: Tensor, state: State, resets: Tensor) -> tuple[Tensor, State]:
        """Run over time, starting each episode from a state of zeros.

        The input's share of the gates does not depend on the state, so it is computed for all
        steps at once.

        Args:
            inputs: ``[T, B, input_size]``.
            state: ``(h, c)``, each ``[B, size]``, as the step before the first left them.
            resets: ``bool [T, B]``, true where step t begins a new episode.

        Returns:
            outputs ``[T, B, size]`` and the state after the last step.
        """
        cell = self.cell
        gates_of_inputs = functional.linear(inputs, cell.weight_ih, cell.bias_ih + cell.bias_hh)
        keep = (~resets).to(inputs.dtype).unsqueeze(-1)
        recurrent_weights = cell.weight_hh.t()
        hidden, memory = state
        outputs = []
        for t in range(inputs.shape[0]):
            hidden, memory = hidden * keep[t], memory * keep[t]
            gates = torch.addmm(gates_of_inputs[t], hidden, recurrent_weights)
            in_gate, forget_gate, candidate, out_gate = gates.chunk(4, 1)
            memory = torch.sigmoid(forget_gate) * memory + torch.sigmoid(in_gate) * torch.tanh(
                candidate
            )
            hidden = torch.sigmoid(out_gate) * torch.tanh(memory)
            outputs.append(hidden)
        return torch.stack(outputs), (hidden, memory)


class ActorCritic(nn.Module):
    """The conv-LSTM actor-critic: one trunk, a policy head and a value head."""

    def __init__(self, spec: ModelSpec) -> None:
        """Build and initialise the network that ``spec`` describes."""
        super().__init__()
        self.spec = spec
        self.encoder = ConvEncoder(spec.observation_shape, spec.network)
        self.lstm = ResettingLSTM(self.encoder.size, spec.lstm_size)
        self.policy = nn.Linear(spec.lstm_size, spec.num_actions)
        self.value = nn.Linear(spec.lstm_size, 1)
        self._initialise()

    def _initialise(self) -> None:
        """Orthogonal weights; a policy that begins nearly uniform, a value that begins near 0."""
        gains: dict[nn.Module, float] = {
            self.policy: 0.01,
            self.value: 1.0,
            self.lstm.cell: 1.0,
        }
        for module in self.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if name.startswith("bias"):
                    nn.init.zeros_(parameter)
                else:
                    nn.init.orthogonal_(parameter, gains.get(module, math.sqrt(2)))

    def initial_state(self, batch: int) -> State:
        """Return the state in which an episode begins, for ``batch`` games: zeros."""
        zeros = self.policy.weight.new_zeros(batch, self.spec.lstm_size)
        return (zeros, zeros.clone())

    def forward(
        self, observations: Tensor, state: State, resets: Tensor
    ) -> tuple[Categorical, Tensor, State]:
        """Run over T steps of B games.

        Args:
            observations: ``uint8 [T, B, C, H, W]``.
            state: the recurrent state before the first step, ``[B, ...]``.
            resets: ``bool [T, B]``, true where a step begins a new episode.

        Returns:
            the action distribution (batch shape ``[T, B]``), values ``[T, B]`` and the state after
            the last step.
        """
        steps, batch = resets.shape
        features = self.encoder(observations.flatten(0, 1)).unflatten(0, (steps, batch))
        outputs, state = self.lstm(features, state, resets)
        distribution = Categorical(logits=self.policy(outputs), validate_args=False)
        return distribution, self.value(outputs).squeeze(-1), state

    def act(self, observations: Tensor, state: State) -> tuple[Categorical, Tensor, State]:
        """Run one step of B games that go on: ``[B, C, H, W]`` to a distribution, values ``[B]``.

        The caller zeroes the rows of ``state`` that belong to games which begin anew.
        """
        going_on = torch.zeros(1, len(observations), dtype=torch.bool, device=observations.device)
        distribution, values, state = self(observations.unsqueeze(0), state, going_on)
        logits = distribution.logits[0]
        return Categorical(logits=logits, validate_args=False), values[0], state


def use_precision(model: ActorCritic, precision: str) -> None:
    """Choose the arithmetic of a model's convolutions.

    Args:
        model: changed in place; its weights stay float32.
        precision: ``float32``, ``bfloat16``, or ``auto``: bfloat16 where the CPU has instructions
            for it.
    """
    if precision == "auto":
        fast = torch.cpu._is_avx512_bf16_supported()
        precision = "bfloat16" if fast else "float32"
    model.encoder.compute_dtype = getattr(torch, precision)
