"""Later weights count more in the mean of a run's weights, and what is long past not at all."""

import pytest
import torch

from mario_a3c.learning.averaging import WeightAverage
from mario_a3c.training.evaluate import Evaluator
from mario_a3c.training.trainer import Trainer
from tests.alone import spec_of, task_config


@pytest.mark.parametrize("share", [0.125, 0.5, 1.0])
def test_weights_count_by_a_power_of_the_step_that_they_belong_to(share):
    steps = torch.arange(1, 2001, dtype=torch.float64)
    weights = torch.sin(steps / 100)
    average = WeightAverage(share)
    for step, weight in zip(steps, weights, strict=True):
        average.take(weight.reshape(1).float(), int(step))
    power = steps ** (1 / share - 1)
    expected = float((power * weights).sum() / power.sum())
    assert float(average.mean[0]) == pytest.approx(expected, abs=2e-3)


def test_weights_that_stayed_for_long_count_for_all_the_time():
    seldom, often = WeightAverage(0.25), WeightAverage(0.25)
    for step in range(100, 1001):
        weights = torch.tensor([1.0 if step <= 400 else 3.0])
        often.take(weights, step)
        if step in (100, 400, 1000):
            seldom.take(weights, step)
    torch.testing.assert_close(seldom.mean, often.mean)
    torch.testing.assert_close(often.mean, torch.tensor([3 - 2 * 0.4**4]))


def test_a_mean_over_no_share_of_the_run_is_the_last_weights():
    average = WeightAverage(0.0)
    for step in (10, 20):
        weights = torch.tensor([float(step)])
        average.take(weights, step)
        weights += 1000  # training goes on
    assert average.mean.tolist() == [20.0]


def test_weights_that_are_taken_twice_at_a_step_do_not_count_twice():
    average = WeightAverage(0.5)
    for step, weight in ((10, 0.0), (20, 4.0), (20, 4.0), (20, 9.0)):
        average.take(torch.tensor([weight]), step)
    assert average.mean.tolist() == [3.0]


def test_an_evaluation_plays_with_the_mean_of_what_it_followed(tmp_path):
    config = task_config("CartPole-v1", average_share=0.5)
    shared = Trainer(config, spec_of(config), tmp_path).shared
    evaluator = Evaluator(config, spec_of(config), seed=1)
    for step, value in ((10, 0.0), (20, 4.0)):
        shared.counters[0, 0] = step
        shared.weights.fill_(value)
        evaluator.follow(shared)
    evaluator.pull(shared)
    assert evaluator.flat.values.unique().tolist() == [3.0]
