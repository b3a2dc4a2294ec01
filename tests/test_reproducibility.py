"""One worker and one seed give the same weights to the last bit, and the same evaluation."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from mario_a3c.config import RunConfig
from mario_a3c.learning.model import ActorCritic
from mario_a3c.training.evaluate import Evaluator
from mario_a3c.training.evaluation import Evaluation
from tests.alone import spec_of, task_config, train_alone
from tests.mario import on_both_engines
from tests.small import small_config

UPDATES = 200


def mario_config(engine: str) -> RunConfig:
    """Return settings with which 200 updates need few steps: 25 rollouts of 2 games by 4 steps."""
    return small_config(
        engine=engine,
        seed=5,
        num_local_steps=4,
        epochs=4,
        minibatches=2,
        num_global_steps=UPDATES,  # 8 steps a rollout, 8 updates from it
        normalize_advantages=True,
        precision="auto",
        max_episode_length=9,
        retry_fraction=0.5,
    )


def weights_after_training(config: RunConfig, folder) -> np.ndarray:
    model, reports = train_alone(config, folder)
    assert len(reports.taken) * config.epochs * config.minibatches == UPDATES
    assert reports.episodes
    return torch.cat([part.detach().flatten() for part in model.parameters()]).numpy()


@on_both_engines
def test_one_worker_and_one_seed_give_the_same_weights_after_200_updates(engine, tmp_path):
    first = weights_after_training(mario_config(engine), tmp_path)
    second = weights_after_training(mario_config(engine), tmp_path)
    assert first.tobytes() == second.tobytes()


@pytest.mark.slow
@on_both_engines
def test_so_it_is_with_the_network_and_the_settings_that_stages_are_trained_with(engine, tmp_path):
    config = task_config("SuperMarioBros", engine=engine, num_games=4, imitation_coef=0.0)
    rollouts = math.ceil(UPDATES / (config.epochs * config.minibatches))
    steps = rollouts * config.num_games * config.num_local_steps
    config = dataclasses.replace(config, num_global_steps=steps)
    (first, reports), (second, _) = (train_alone(config, tmp_path) for _ in range(2))
    assert len(reports.taken) == rollouts
    for mine, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(mine, other)


@on_both_engines
def test_the_same_seed_gives_the_same_evaluation(engine):
    config = dataclasses.replace(mario_config(engine), eval_episodes=3, max_episode_length=12)
    torch.manual_seed(1)
    agent = ActorCritic(spec_of(config))

    def evaluation(seed: int) -> Evaluation:
        evaluator = Evaluator(config, agent.spec, seed)
        evaluator.model.load_state_dict(agent.state_dict())
        torch.manual_seed(seed)
        return dataclasses.replace(evaluator.play(0), seconds=0.0)

    assert evaluation(3) == evaluation(3)
    assert evaluation(3) != evaluation(4)
