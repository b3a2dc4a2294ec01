"""Later weights count more in the mean of a run's weights, and what is long past not at all."""

import time
from types import SimpleNamespace

import pytest
import torch

from mario_a3c.checkpoint import load_agent
from mario_a3c.cli import parse
from mario_a3c.faults import GameError
from mario_a3c.learning.averaging import WeightAverage
from mario_a3c.learning.flat import FlatParameters
from mario_a3c.training.evaluate import Evaluator, evaluate
from mario_a3c.training.evaluation import Evaluation
from mario_a3c.training.shared import FINISH_AND_LOOK, STEPS
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
    torch.testing.assert_close(often.mean, torch.tensor([3 - 2 * 0.4**4], dtype=torch.float64))


def test_a_mean_over_no_share_of_the_run_is_the_last_weights():
    average = WeightAverage(0.0)
    for step in (10, 20):
        weights = torch.tensor([float(step)])
        average.take(weights, step)
        weights += 1000  # training goes on
    assert average.mean.tolist() == [20.0]


def test_a_mean_over_many_steps_still_moves_by_little():
    average = WeightAverage(0.125)
    steps = range(30_000_000, 33_000_000, 128)
    for step in steps:
        average.take(torch.tensor([1.0 if step == steps[0] else 1.001]), step)
    assert float(average.mean[0]) == pytest.approx(1.001 - 0.001 * (30 / 33) ** 8, abs=1e-6)


def test_weights_that_are_taken_twice_at_a_step_do_not_count_twice():
    average = WeightAverage(0.5)
    for step, weight in ((10, 0.0), (20, 4.0), (20, 4.0), (20, 9.0)):
        average.take(torch.tensor([weight]), step)
    assert average.mean.tolist() == [3.0]


@pytest.mark.parametrize("fault", [False, True], ids=["sound", "a game fails"])
def test_what_is_kept_is_the_mean_of_the_weights_that_were_there_meanwhile(
    tmp_path, monkeypatch, fault
):
    config = task_config("CartPole-v1", average_share=0.5, eval_episodes=1, max_episode_length=5)
    trainer = Trainer(config, spec_of(config), tmp_path)
    shared, play = trainer.shared, Evaluator.play
    to_come = [(20, 4.0, 0), (40, 8.0, FINISH_AND_LOOK)]
    faults = [GameError("It fails.")] if fault else []

    def train(steps: int, weight: float, stop: int) -> None:
        shared.counters[0, STEPS] = steps
        shared.weights.fill_(weight)
        shared.stop[0] = stop

    def play_or_fail(evaluator: Evaluator, steps: int) -> Evaluation:
        if steps == 40 and faults:
            raise faults.pop()
        return play(evaluator, steps)

    train(10, 0.0, 0)
    monkeypatch.setattr(time, "sleep", lambda _: train(*to_come.pop(0)))  # while it rests
    monkeypatch.setattr(Evaluator, "play", play_or_fail)
    arguments = (*trainer._evaluation_arguments(), SimpleNamespace(send=lambda _: None))
    evaluate(*arguments)
    assert not to_come
    assert not faults
    agent = load_agent(tmp_path / "best.safetensors")
    at_20 = 0.75 * 4
    assert FlatParameters(agent.model).values.unique().tolist() == [at_20 + 0.75 * (8 - at_20)]


def test_the_mean_is_kept_of_mario_and_of_other_tasks_the_weights_as_they_are():
    assert parse([]).average_share == 0.125
    assert parse(["--env-name", "CartPole-v1"]).average_share == 0
