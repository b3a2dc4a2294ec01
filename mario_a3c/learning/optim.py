"""Optimizers whose state lies in shared memory, one step of which any worker may take.

They are PyTorch's own, given a state that was made in advance. Steps are taken without a lock
(Hogwild, Niu et al. 2011, arXiv:1106.5730): two processes that write at once may lose part of an
update, which asynchronous training tolerates (``docs/algorithm.md``).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer, RMSprop

ADAM_EPSILON = 1e-5
RMSPROP_DECAY, RMSPROP_EPSILON = 0.99, 1e-5
_STATE_NAMES = {"adam": ("step", "exp_avg", "exp_avg_sq"), "rmsprop": ("step", "square_avg")}


def make_state(name: str, weights: Tensor) -> dict[str, Tensor]:
    """Return a fresh optimizer state for a weight vector, on the weights' device.

    Besides the moments it holds ``step``: Adam corrects its bias by the number of steps, so all
    processes have to count the same ones.
    """
    return {
        key: torch.zeros((), dtype=torch.float32) if key == "step" else torch.zeros_like(weights)
        for key in _STATE_NAMES[name]
    }


def make_optimizer(name: str, weights: Tensor, state: dict[str, Tensor]) -> Optimizer:
    """Return an optimizer over one weight vector that reads and writes ``state`` in place.

    Args:
        name: ``adam`` or ``rmsprop``.
        weights: the shared weight vector.
        state: what `make_state` made, shared or private.
    """
    optimizer: Optimizer
    if name == "adam":
        optimizer = Adam([weights], eps=ADAM_EPSILON, fused=True)
    else:
        optimizer = RMSprop([weights], alpha=RMSPROP_DECAY, eps=RMSPROP_EPSILON, foreach=False)
    optimizer.state[weights].update(state)
    return optimizer


def push_gradient(optimizer: Optimizer, gradient: Tensor, learning_rate: float) -> None:
    """Copy a worker's gradient to the shared weights and take one step.

    The copy is explicit on every push: ``zero_grad`` would set a gradient to None, and the old
    idiom that copies only where there is none would then push stale gradients for ever.
    """
    group = optimizer.param_groups[0]
    weights = group["params"][0]
    if weights.grad is None:
        weights.grad = torch.empty_like(weights)
    weights.grad.copy_(gradient)
    group["lr"] = learning_rate
    optimizer.step()
