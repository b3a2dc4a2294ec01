"""Advantages and returns, against a slow obvious version and cases computed by hand."""

import math

import pytest
import torch
from torch import Tensor

from mario_a3c.learning.returns import explained_variance, generalized_advantages


def slow_advantages(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: float,
    gae_lambda: float,
    cut: Tensor | None = None,
) -> Tensor:
    """Add up ``(gamma lambda)^k delta_{t+k}`` from every step until its episode ends or a cut."""
    steps, games = rewards.shape
    result = torch.zeros(steps, games)
    for b in range(games):
        for t in range(steps):
            total, weight = 0.0, 1.0
            for k in range(t, steps):
                future = 0.0 if terminated[k, b] else gamma * float(next_values[k, b])
                total += weight * (float(rewards[k, b]) + future - float(values[k, b]))
                if terminated[k, b] or truncated[k, b] or (cut is not None and cut[k, b]):
                    break
                weight *= gamma * gae_lambda
            result[t, b] = total
    return result


type Rollout = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def random_rollout(seed: int, steps: int = 24, games: int = 5) -> Rollout:
    generator = torch.Generator().manual_seed(seed)
    rewards, values, next_values = torch.randn((3, steps, games), generator=generator)
    kind = torch.rand((steps, games), generator=generator)
    return rewards, values, next_values, kind < 0.1, (kind > 0.9)


@pytest.mark.parametrize("gamma", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("gae_lambda", [0.0, 0.95, 1.0])
def test_advantages_equal_the_sums_they_are_defined_by(gamma, gae_lambda):
    for seed in range(5):
        rollout = random_rollout(seed)
        assert rollout[3].any()
        assert rollout[4].any()
        expected = slow_advantages(*rollout, gamma, gae_lambda)
        torch.testing.assert_close(generalized_advantages(*rollout, gamma, gae_lambda), expected)


def test_after_a_cut_the_critic_alone_is_believed():
    for seed in range(5):
        rollout = random_rollout(seed)
        cut = torch.rand(rollout[0].shape, generator=torch.Generator().manual_seed(seed)) < 0.2
        expected = slow_advantages(*rollout, 0.9, 0.95, cut)
        torch.testing.assert_close(generalized_advantages(*rollout, 0.9, 0.95, cut), expected)
        assert not torch.equal(expected, slow_advantages(*rollout, 0.9, 0.95))


def test_advantages_with_lambda_one_are_n_step_returns_minus_values():
    rewards, values, next_values, terminated, truncated = random_rollout(7)
    gamma = 0.9
    returns = torch.zeros_like(rewards)
    for b in range(rewards.shape[1]):
        following = 0.0
        for t in reversed(range(rewards.shape[0])):
            if terminated[t, b]:
                following = 0.0
            elif truncated[t, b] or t == rewards.shape[0] - 1:
                following = float(next_values[t, b])
            following = float(rewards[t, b]) + gamma * following
            returns[t, b] = following
    # Inside an episode V(s_{t+1}) is the value of the next row; with lambda 1 it cancels out.
    going_on = ~(terminated | truncated)
    next_values[:-1] = torch.where(going_on[:-1], values[1:], next_values[:-1])
    advantages = generalized_advantages(
        rewards, values, next_values, terminated, truncated, gamma, 1.0
    )
    torch.testing.assert_close(advantages + values, returns)


def one_game(*, terminated: list[bool], truncated: list[bool]) -> list[float]:
    """Rewards 1, 2, 4; values 10, 20, 30; next values 20, 30, 40; gamma and lambda one half."""
    advantages = generalized_advantages(
        torch.tensor([[1.0], [2.0], [4.0]]),
        torch.tensor([[10.0], [20.0], [30.0]]),
        torch.tensor([[20.0], [30.0], [40.0]]),
        torch.tensor(terminated).unsqueeze(1),
        torch.tensor(truncated).unsqueeze(1),
        gamma=0.5,
        gae_lambda=0.5,
    )
    return advantages.flatten().tolist()


def test_a_game_that_goes_on_is_bootstrapped_at_the_end_of_the_rollout():
    # deltas: 1 + 10 - 10 = 1, 2 + 15 - 20 = -3, 4 + 20 - 30 = -6
    expected = [1 + 0.25 * (-3 + 0.25 * -6), -3 + 0.25 * -6, -6]
    assert one_game(terminated=[False] * 3, truncated=[False] * 3) == expected


def test_a_terminated_episode_is_worth_nothing_more_and_hides_the_next_one():
    # deltas: 1, 2 - 20 = -18 (no bootstrap), -6 (of the next episode)
    expected = [1 + 0.25 * -18, -18, -6]
    assert one_game(terminated=[False, True, False], truncated=[False] * 3) == expected


def test_a_truncated_episode_is_worth_its_last_value_and_hides_the_next_one():
    # deltas: 1, 2 + 15 - 20 = -3, -6 (of the next episode)
    expected = [1 + 0.25 * -3, -3, -6]
    assert one_game(terminated=[False] * 3, truncated=[False, True, False]) == expected


def test_explained_variance_is_one_for_perfect_and_zero_for_constant_predictions():
    targets = torch.tensor([1.0, 2.0, 3.0])
    assert explained_variance(targets, targets) == 1
    assert explained_variance(torch.full((3,), 2.0), targets) == 0
    assert math.isnan(explained_variance(targets, torch.ones(3)))
