"""Learning which action is the likeliest, and by how much, as pure functions.

Where all steps of an episode have to be right, it is not enough to make each of them likelier:
those that are right with something to spare should be left alone, so that the few that are wrong
can change. That is what a margin says (the large-margin loss of Hester et al. 2017,
arXiv:1704.03732, section 4, with logits for action values).
"""

from __future__ import annotations

import torch
from torch import Tensor


def margins(logits: Tensor, actions: Tensor) -> Tensor:
    """Return how much likelier actions are than the likeliest other one.

    Args:
        logits: ``[..., A]`` of a policy over at least two actions.
        actions: ``int64 [...]``.

    Returns:
        ``[...]``, the logarithm of the ratio of the two chances, in nats; below 0 where another
        action is likelier.
    """
    index = actions.unsqueeze(-1)
    others = logits.scatter(-1, index, -torch.inf)
    return logits.gather(-1, index).squeeze(-1) - others.amax(-1)


def shortfall(logits: Tensor, actions: Tensor, margin: float) -> Tensor:
    """Return by how much each action's margin falls short of the one that is wanted, ``[...]``."""
    return (margin - margins(logits, actions)).clamp(min=0)
