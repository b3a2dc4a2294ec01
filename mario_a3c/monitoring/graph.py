"""The network as a graph for TensorBoard."""

from __future__ import annotations

import warnings

import torch
from tensorboardX import SummaryWriter
from torch import Tensor, nn

from mario_a3c.learning.model import ActorCritic


class _OneStep(nn.Module):
    """The network as a function of tensors alone, which is what can be traced."""

    def __init__(self, agent: ActorCritic) -> None:
        super().__init__()
        self.agent = agent

    def forward(self, observation: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        resets = torch.zeros((1, 1), dtype=torch.bool)
        distribution, values, after = self.agent(observation, state, resets)
        chosen = getattr(distribution, "logits", None)
        return (distribution.mean if chosen is None else chosen, values, *after)


def write_graph(writer: SummaryWriter, model: ActorCritic) -> None:
    """Write the graph of one step of one game.

    Args:
        writer: of the run.
        model: on the CPU; it is not changed.
    """
    shape = model.spec.observation_shape
    dtype = torch.uint8 if len(shape) == 3 else torch.float32
    inputs = (torch.zeros((1, 1, *shape), dtype=dtype), *model.initial_state(1))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        writer.add_graph(_OneStep(model), inputs)
