"""An LSTM over sequences in which episodes end, with the gradient worked out by hand.

PyTorch's own ``nn.LSTM`` cannot forget its state in the middle of a sequence, and a loop over
``nn.LSTMCell`` makes autograd multiply and add up a weight gradient at every step. Here the input's
share of the gates and the weight gradient are each one matrix product over all steps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class ResettingLSTM(nn.Module):
    """One LSTM layer (Hochreiter and Schmidhuber 1997, with forget gates), batched over games."""

    def __init__(self, input_size: int, size: int) -> None:
        """Build an LSTM of ``size`` units; its weights are those of an ``nn.LSTMCell``."""
        super().__init__()
        self.cell = nn.LSTMCell(input_size, size)
        self.size = size
        self.compute_dtype = torch.float32
        """Arithmetic of the input's share of the gates, the one large product."""

    def forward(
        self, inputs: Tensor, state: tuple[Tensor, ...], resets: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run over time, starting each episode from a state of zeros.

        Args:
            inputs: ``[T, B, input_size]``.
            state: ``(h, c)``, each ``[B, size]``, as the step before the first left them.
            resets: ``bool [T, B]``, true where step t begins a new episode.

        Returns:
            outputs ``[T, B, size]`` and the state ``(h, c)`` after the last step, without gradient.
        """
        cell = self.cell
        gates = functional.linear(
            inputs.to(self.compute_dtype), cell.weight_ih.to(self.compute_dtype)
        )
        gates = gates.float() + (cell.bias_ih + cell.bias_hh)
        keep = (~resets).to(gates.dtype).unsqueeze(-1)
        outputs, memory = _Recurrence.apply(gates, *state, keep, cell.weight_hh)
        return outputs, (outputs[-1].detach(), memory)


class _Recurrence(torch.autograd.Function):
    """The part of the LSTM that goes from step to step.

    With ``k_t`` 0 where an episode begins and 1 elsewhere, and ``x_t`` the input's share::

        i, f, g, o = x_t + W (k_t h_{t-1}),  squashed by sigmoid, sigmoid, tanh, sigmoid
        c_t = f (k_t c_{t-1}) + i g
        h_t = o tanh(c_t)
    """

    @staticmethod
    def forward(
        ctx: Any, gates: Tensor, hidden: Tensor, memory: Tensor, keep: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return outputs ``[T, B, H]`` and the last memory ``[B, H]``.

        Args:
            ctx: keeps what the gradient needs.
            gates: ``[T, B, 4 H]``, the input's share.
            hidden: ``[B, H]``.
            memory: ``[B, H]``.
            keep: ``[T, B, 1]``.
            weights: ``[4 H, H]``.
        """
        steps, batch, size = gates.shape[0], gates.shape[1], hidden.shape[1]
        squashed = torch.empty_like(gates)
        outputs, tanhs, before_hidden, before_memory = (
            gates.new_empty(steps, batch, size) for _ in range(4)
        )
        weights_transposed = weights.t()
        for t in range(steps):
            torch.mul(hidden, keep[t], out=before_hidden[t])
            torch.mul(memory, keep[t], out=before_memory[t])
            raw = torch.addmm(gates[t], before_hidden[t], weights_transposed)
            torch.sigmoid(raw, out=squashed[t])
            torch.tanh(raw[:, 2 * size : 3 * size], out=squashed[t, :, 2 * size : 3 * size])
            in_gate, forget_gate, candidate, out_gate = squashed[t].chunk(4, 1)
            memory = torch.addcmul(in_gate * candidate, forget_gate, before_memory[t])
            torch.tanh(memory, out=tanhs[t])
            hidden = torch.mul(out_gate, tanhs[t], out=outputs[t])
        ctx.save_for_backward(squashed, tanhs, before_hidden, before_memory, keep, weights)
        ctx.mark_non_differentiable(memory)
        return outputs, memory

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of ``gates`` and ``weights``; the first state gets none."""
        squashed, tanhs, before_hidden, before_memory, keep, weights = ctx.saved_tensors
        of_outputs = gradients[0]
        size = tanhs.shape[2]
        in_gate, forget_gate, candidate, out_gate = squashed.chunk(4, 2)
        # The slopes that do not depend on later steps, for all steps at once.
        through_output = out_gate * (1 - tanhs.square())
        slopes = torch.cat(
            [
                candidate * in_gate * (1 - in_gate),
                before_memory * forget_gate * (1 - forget_gate),
                in_gate * (1 - candidate.square()),
                tanhs * out_gate * (1 - out_gate),
            ],
            dim=2,
        )
        carried_memory = forget_gate * keep
        of_gates = torch.empty_like(squashed)
        of_hidden = torch.zeros_like(tanhs[0])
        of_memory = torch.zeros_like(tanhs[0])
        for t in range(tanhs.shape[0] - 1, -1, -1):
            of_hidden = of_hidden + of_outputs[t]
            of_memory = torch.addcmul(of_memory, of_hidden, through_output[t])
            row, slope = of_gates[t], slopes[t]
            torch.mul(
                slope[:, : 3 * size].unflatten(1, (3, size)),
                of_memory.unsqueeze(1),
                out=row[:, : 3 * size].unflatten(1, (3, size)),
            )
            torch.mul(slope[:, 3 * size :], of_hidden, out=row[:, 3 * size :])
            of_hidden = (row @ weights).mul_(keep[t])
            of_memory = of_memory * carried_memory[t]
        of_weights = of_gates.flatten(0, 1).t() @ before_hidden.flatten(0, 1)
        return of_gates, None, None, None, of_weights
