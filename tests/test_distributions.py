"""Policies: what they say about an action is what torch.distributions says, and chance is even."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch.distributions import Normal

from mario_a3c.config import DEVIATIONS, RunConfig
from mario_a3c.learning.baseline import UniformPolicy
from mario_a3c.learning.distributions import LEAST_DEVIATION, GaussianHead, first_step
from mario_a3c.learning.spec import ModelSpec

LOW, HIGH = (-2.0, 0.0, -math.inf), (2.0, 10.0, math.inf)


def make_head(deviation: str = "state") -> GaussianHead:
    torch.manual_seed(1)
    return GaussianHead(5, LOW, HIGH, deviation)


@pytest.mark.parametrize("deviation", DEVIATIONS)
def test_gaussian_probability_and_entropy_are_the_sums_over_the_elements(deviation):
    features = torch.randn(7, 4, 5)
    distribution = make_head(deviation)(features)
    actions = distribution.sample()
    mean, scale = distribution.mean, distribution.stddev
    each = Normal(mean, scale)
    torch.testing.assert_close(distribution.log_prob(actions), each.log_prob(actions).sum(-1))
    torch.testing.assert_close(distribution.entropy(), each.entropy().sum(-1))
    density = torch.exp(-(((actions - mean) / scale) ** 2) / 2) / (scale * math.sqrt(2 * math.pi))
    torch.testing.assert_close(distribution.log_prob(actions), density.log().sum(-1))
    assert actions.shape == (7, 4, 3)
    assert distribution.log_prob(actions).shape == (7, 4)


def test_means_lie_inside_the_bounds_that_there_are_and_reach_beyond_where_there_are_none():
    means = make_head()(100 * torch.randn(500, 5)).mean.detach().numpy()
    assert (means >= np.array(LOW)).all()
    assert (means <= np.array(HIGH)).all()
    assert means[:, 0].max() > 1.9
    assert means[:, 1].max() > 9.9
    assert means[:, 2].max() > 20


def test_a_fresh_gaussian_covers_its_range_from_the_middle():
    head = make_head("free")
    torch.nn.init.zeros_(head.mean.weight)
    torch.nn.init.zeros_(head.mean.bias)
    distribution = head(torch.randn(1, 5))
    torch.testing.assert_close(distribution.mean[0], torch.tensor([0.0, 5.0, 0.0]))
    width = math.log(2) + LEAST_DEVIATION
    torch.testing.assert_close(distribution.stddev[0], width * torch.tensor([2.0, 5.0, 1.0]))


def test_only_a_state_dependent_deviation_follows_the_observation():
    features = torch.randn(2, 5)
    state, free = make_head("state")(features).stddev, make_head("free")(features).stddev
    assert not torch.allclose(state[0], state[1])
    assert torch.equal(free[0], free[1])


def test_the_first_step_of_a_sequence_keeps_its_distribution():
    distribution = make_head()(torch.randn(3, 4, 5))
    first = first_step(distribution)
    actions = distribution.sample()
    torch.testing.assert_close(first.log_prob(actions[0]), distribution.log_prob(actions)[0])
    assert torch.equal(first.mode, distribution.mode[0])


def drawn_evenly(action_space, games=4000):
    torch.manual_seed(0)
    observation_space = spaces.Box(-1.0, 1.0, (3,))
    policy = UniformPolicy(ModelSpec.for_task(observation_space, action_space, RunConfig()))
    distribution, _, _ = policy.act(torch.zeros(games, 3), policy.initial_state(games))
    return distribution.sample().numpy()


@pytest.mark.parametrize("space", [spaces.Discrete(3), spaces.Box(-2.0, 2.0, (2,))], ids=str)
def test_random_actions_are_drawn_where_the_observations_lie(space):
    elsewhere = torch.zeros((5, 3), device="meta")
    policy = UniformPolicy(ModelSpec.for_task(spaces.Box(-1.0, 1.0, (3,)), space, RunConfig()))
    distribution, values, _ = policy.act(elsewhere, ())
    actions = distribution.sample()
    assert actions.device == values.device == distribution.log_prob(actions).device
    assert values.device == elsewhere.device


@pytest.mark.parametrize(
    ("low", "high", "least", "most"),
    [
        (-2, 2, -2, 2),
        (0, 10, 0, 10),
        (-5, -1, -5, -1),
        (-1e-3, 7, -1e-3, 7),
        (-math.inf, math.inf, -1, 1),
        (3, math.inf, 3, 5),
        (-math.inf, -3, -5, -3),
    ],
)
def test_random_actions_lie_inside_the_bounds_and_fill_them(low, high, least, most):
    space = spaces.Box(np.array([low, -1], np.float32), np.array([high, 1], np.float32))
    actions = drawn_evenly(space)
    assert actions.shape == (4000, 2)
    assert all(action in space for action in actions)
    shares, _ = np.histogram(actions[:, 0], bins=8, range=(least, most))
    assert shares.sum() == 4000
    assert (np.abs(shares / 4000 - 1 / 8) < 0.03).all()


def test_random_actions_that_are_numbered_are_equally_likely():
    shares = np.bincount(drawn_evenly(spaces.Discrete(5)), minlength=5) / 4000
    assert (np.abs(shares - 1 / 5) < 0.03).all()
