"""Advantages of a rollout: pure arithmetic, no processes and no networks."""

from __future__ import annotations

import torch
from torch import Tensor


def generalized_advantages(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: float,
    gae_lambda: float,
    cut: Tensor | None = None,
) -> Tensor:
    """Estimate advantages by GAE (Schulman et al. 2015, arXiv:1506.02438, equation 16).

    ``delta_t = r_t + gamma V(s_{t+1}) - V(s_t)`` and
    ``A_t = delta_t + gamma lambda A_{t+1}``, where neither sum runs past the end of an episode.
    A terminated episode is worth nothing more; a truncated one (time limit) goes on being worth
    ``V(s_{t+1})``, the value of the observation at which it was cut.

    With ``gae_lambda = 1``, ``A_t + V(s_t)`` is the n-step return of the A3C paper
    (Mnih et al. 2016, arXiv:1602.01783, section 4).

    Args:
        rewards: ``[T, B]`` rewards of T steps in B games.
        values: ``[T, B]``, ``V(s_t)``.
        next_values: ``[T, B]``, ``V(s_{t+1})``, where ``s_{t+1}`` is the observation that the step
            led to, not the first one of the next episode.
        terminated: ``bool [T, B]``, the step ended the episode for good.
        truncated: ``bool [T, B]``, the step was the last before a time limit.
        gamma: discount.
        gae_lambda: weight of longer estimates.
        cut: ``bool [T, B]``, steps after which the critic alone is believed, because what was done
            then was not the policy's choice.

    Returns:
        ``[T, B]`` advantages.
    """
    ended = terminated | truncated
    going_on = (~(ended if cut is None else ended | cut)).to(rewards.dtype)
    deltas = rewards + gamma * next_values * (~terminated).to(rewards.dtype) - values
    advantages = torch.empty_like(rewards)
    carried = torch.zeros_like(rewards[0])
    for t in range(rewards.shape[0] - 1, -1, -1):
        carried = deltas[t] + gamma * gae_lambda * going_on[t] * carried
        advantages[t] = carried
    return advantages


def normalized(advantages: Tensor, random: Tensor) -> Tensor:
    """Return advantages brought to mean 0 and deviation 1 over the policy's own actions.

    Those of random actions, which the policy did not choose, are divided by the same deviation and
    keep their sign: whether more came of them than was expected.

    Args:
        advantages: ``[...]``.
        random: ``bool [...]``, which of them are random actions'.
    """
    own = advantages[~random] if random.any() and not random.all() else advantages
    deviation, mean = torch.std_mean(own)
    return (advantages - torch.where(random, 0.0, mean)) / (deviation + 1e-8)


def explained_variance(predictions: Tensor, targets: Tensor) -> float:
    """Return ``1 - Var(target - prediction) / Var(target)``: 1 is perfect, 0 is a constant guess.

    Returns NaN where all targets are equal.
    """
    variance = targets.var(correction=0)
    if variance == 0:
        return float("nan")
    return float(1 - (targets - predictions).var(correction=0) / variance)
