"""Running statistics: many rows, counted apart, tell of all samples what NumPy does."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mario_a3c.checkpoint import load_agent, save_agent
from mario_a3c.faults import NotFiniteError
from mario_a3c.learning.model import ActorCritic
from mario_a3c.learning.normalization import (
    Normalizer,
    RewardScaling,
    count_samples,
    deviation,
    merge,
    quantities,
)
from mario_a3c.learning.spec import ModelSpec


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 20)), min_size=1, max_size=12))
def test_statistics_of_workers_merge_to_those_of_all_their_batches(batches):
    generator = np.random.default_rng(0)
    rows = torch.zeros((3, 3, 4), dtype=torch.float64)
    everything = []
    for worker, size in batches:
        samples = 1000 + generator.normal(size=(size, 4)) * [1, 10, 0.1, 0]
        everything.append(samples)
        count_samples(rows[worker], torch.from_numpy(samples))
    samples = np.concatenate(everything)
    merged = merge(rows)
    assert (merged[0].numpy() == len(samples)).all()
    np.testing.assert_allclose(merged[1].numpy(), samples.mean(0), rtol=1e-12)
    np.testing.assert_allclose(merged[2].numpy() / len(samples), samples.var(0), atol=1e-9)


def test_what_is_not_finite_is_not_counted():
    row = torch.zeros((3, 1), dtype=torch.float64)
    count_samples(row, torch.tensor([[1.0], [2.0]]))
    before = row.clone()
    for number in (torch.nan, torch.inf, 1e200):  # the square of the last is infinite
        with pytest.raises(NotFiniteError, match="not finite"):
            count_samples(row, torch.tensor([[3.0], [number]], dtype=torch.float64))
        assert torch.equal(row, before)


def test_normalised_observations_have_mean_0_and_deviation_1():
    samples = torch.randn(2000, 3) * torch.tensor([1.0, 5.0, 0.2]) + torch.tensor([3.0, -2.0, 50.0])
    normalizer = Normalizer((3,))
    count_samples(normalizer.statistics, samples)
    normalized = normalizer(samples)
    torch.testing.assert_close(normalized.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(normalized.std(0), torch.ones(3), atol=1e-3, rtol=0)


def test_before_anything_is_counted_observations_stay_as_they_are():
    samples = torch.randn(10, 3)
    assert torch.equal(Normalizer((3,))(samples), samples)


def test_pictures_share_one_mean_and_one_deviation():
    pictures = torch.randint(0, 256, (5, 7, 1, 42, 42), dtype=torch.uint8)
    normalizer = Normalizer((1, 42, 42))
    count_samples(normalizer.statistics, quantities(pictures, (1, 42, 42)))
    values = pictures.numpy().astype(np.float64)
    expected = (values - values.mean()) / values.std()
    actual = normalizer(pictures.flatten(0, 1)).unflatten(0, (5, 7))
    np.testing.assert_allclose(actual.numpy(), expected, atol=1e-4)


def test_rewards_are_divided_by_the_deviation_of_the_discounted_return():
    generator = np.random.default_rng(0)
    rewards = generator.normal(size=(50, 2)) * 100
    ended = generator.random((50, 2)) < 0.1
    gamma, returns, carried = 0.9, [], np.zeros(2)
    for reward, end in zip(rewards, ended, strict=True):
        carried = gamma * carried + reward
        returns.append(carried)
        carried = carried * ~end
    statistics = torch.zeros((1, 3, 1), dtype=torch.float64)
    scaling = RewardScaling(statistics=statistics, gamma=gamma)
    halves = [
        scaling(torch.from_numpy(rewards[part]), torch.from_numpy(ended[part]))
        for part in (slice(0, 25), slice(25, 50))
    ]
    expected = np.std(returns)
    assert float(deviation(merge(statistics))) == pytest.approx(expected)
    np.testing.assert_allclose(halves[1].numpy(), rewards[25:] / expected, rtol=1e-6)


def test_rewards_are_scaled_before_they_are_clipped():
    rewards, ended = torch.tensor([[-30.0, 2.0, 8.0]]), torch.zeros(1, 3, dtype=torch.bool)
    assert RewardScaling(0.1, clip=True)(rewards, ended).tolist() == [
        [-1.0, pytest.approx(0.2), pytest.approx(0.8)]
    ]
    assert RewardScaling()(rewards, ended) is rewards


def test_an_agent_is_saved_with_its_statistics(tmp_path):
    model = ActorCritic(ModelSpec((3,), 2, lstm_size=0, normalize=True))
    assert model.normalizer is not None
    count_samples(model.normalizer.statistics, torch.randn(100_000, 3) * 10 + 70_000)
    save_agent(tmp_path / "agent.safetensors", model, {})
    loaded = load_agent(tmp_path / "agent.safetensors").model
    assert loaded.normalizer is not None
    observations = torch.randn(1, 3) * 10 + 70_000
    torch.testing.assert_close(
        loaded.normalizer(observations), model.normalizer(observations), atol=1e-2, rtol=0
    )
