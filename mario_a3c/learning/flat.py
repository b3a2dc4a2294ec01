"""All parameters of a model in one vector, so that a pull or a push is one copy."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn


class FlatParameters:
    """Views a model's parameters, and their gradients, as one vector each.

    The parameters become views into ``values`` and their ``.grad`` views into ``gradients``:
    writing the vector changes the model, and ``backward`` adds into the gradient vector.
    Four-dimensional weights lie in channels-last order, which is what the convolutions want.
    """

    def __init__(self, model: nn.Module) -> None:
        """Move the parameters of ``model`` into one vector, keeping their values."""
        parameters = list(model.parameters())
        size = sum(parameter.numel() for parameter in parameters)
        self.values = torch.empty(size, device=parameters[0].device)
        self.gradients = torch.zeros_like(self.values)
        values, gradients = self._views(self.values, model), self._views(self.gradients, model)
        for parameter, value, gradient in zip(parameters, values, gradients, strict=True):
            value.copy_(parameter.data)
            parameter.data = value
            parameter.grad = gradient

    @staticmethod
    def _views(vector: Tensor, model: nn.Module) -> Iterator[Tensor]:
        offset = 0
        for parameter in model.parameters():
            part = vector[offset : offset + parameter.numel()]
            offset += parameter.numel()
            if parameter.dim() == 4:
                out_channels, in_channels, height, width = parameter.shape
                yield part.view(out_channels, height, width, in_channels).permute(0, 3, 1, 2)
            else:
                yield part.view(parameter.shape)

    def pull(self, shared: Tensor) -> None:
        """Copy the shared weights into the model."""
        self.values.copy_(shared)

    def zero_gradients(self) -> None:
        """Clear the gradients; ``Module.zero_grad`` would detach them from the vector instead."""
        self.gradients.zero_()
