"""What is minimised: policy, critic and entropy, as pure functions of a batch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Losses(NamedTuple):
    """The loss of a batch and the parts it is made of, all scalars."""

    total: Tensor
    policy: Tensor
    value: Tensor
    entropy: Tensor
    divergence: Tensor = torch.zeros(())
    """How far the policy has moved from the one that acted; see `divergence`."""
    imitation: Tensor = torch.zeros(())
    """See `imitation_loss`."""


def policy_gradient(log_probs: Tensor, advantages: Tensor) -> Tensor:
    """Return ``-log pi(a|s) A`` per sample: A3C (Mnih et al. 2016, algorithm S3)."""
    return -log_probs * advantages


def clipped_surrogate(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, clip_range: float
) -> Tensor:
    """Return the clipped policy loss per sample (Schulman et al. 2017, arXiv:1707.06347, eq. 7).

    It is what makes a second pass over a rollout safe: moving the probability ratio further than
    ``clip_range`` away from 1 gains nothing. At a ratio of 1 its gradient is that of
    `policy_gradient`.
    """
    ratio = torch.exp(log_probs - old_log_probs)
    clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
    return -torch.minimum(ratio * advantages, clipped * advantages)


def gain_from_random(log_probs: Tensor, advantages: Tensor) -> Tensor:
    """Return ``-log pi(a|s) max(A, 0)`` per sample, for actions that the policy did not choose.

    Where more came of such an action than was expected it is made likelier, however unlikely it
    was; that it was no good says nothing of the policy. It is the policy's part of self-imitation
    (Oh et al. 2018, arXiv:1806.05635, equation 2).
    """
    return -log_probs * advantages.clamp(min=0)


def divergence(log_probs: Tensor, old_log_probs: Tensor) -> Tensor:
    """Estimate the mean Kullback-Leibler divergence of a policy from the one that acted, in nats.

    The estimate ``mean(r - 1 - log r)``, with ``r`` the ratio of probabilities, is never negative
    (Schulman 2020, "Approximating KL Divergence").
    """
    log_ratio = (log_probs - old_log_probs).detach()
    return (log_ratio.exp() - 1 - log_ratio).mean()


def a3c_loss(
    policy_losses: Tensor,
    values: Tensor,
    returns: Tensor,
    entropies: Tensor,
    value_loss_coef: float,
    entropy_coef: float,
    *,
    sum_losses: bool = False,
) -> Losses:
    """Combine the parts: ``policy + value_loss_coef (R - V)^2 - entropy_coef H(pi)``.

    Args:
        policy_losses: policy loss per sample, any shape.
        values: the critic's estimates, same shape.
        returns: what they should have been, same shape.
        entropies: entropy of the policy per sample, in nats, same shape.
        value_loss_coef: weight of the squared error; the classic reference's half is 0.5.
        entropy_coef: weight of the entropy bonus.
        sum_losses: add the samples up, instead of averaging them.
    """
    reduce = torch.sum if sum_losses else torch.mean
    policy = reduce(policy_losses)
    value = reduce((returns - values).square())
    entropy = reduce(entropies)
    total = policy + value_loss_coef * value - entropy_coef * entropy
    return Losses(total, policy, value, entropy)


def imitation_loss(log_probs: Tensor, counts: Tensor) -> Tensor:
    """Return the mean of ``-log pi(a|s)`` over recorded actions.

    Added to the policy gradient with a weight that falls to 0, it is the demonstration-augmented
    policy gradient (Rajeswaran et al. 2018, arXiv:1709.10087, section 4.2).

    Args:
        log_probs: of the recorded actions, any shape.
        counts: 1 for the samples that count and 0 for the others, same shape.
    """
    return -(log_probs * counts).sum() / counts.sum().clamp(min=1)
