"""Learning, tested by learning: a small task, a fixed seed, a stated threshold."""

import pytest
import torch

from mario_a3c.learning.model import ActorCritic
from tests.alone import mean_score, spec_of, task_config, train_alone


def test_a_task_of_the_users_own_is_learned(tmp_path):
    config = task_config(
        "tests/Guess-v0",
        env_module="tests.registered_task",
        num_global_steps=8_000,
        learning_rate=3e-3,
    )
    model, reports = train_alone(config, tmp_path)
    first = [episode.score for episode in reports.episodes[:50]]
    assert sum(first) / 50 < 14  # guessing is 10 of 20
    assert mean_score(config, model, episodes=20) >= 19


def test_cartpole_is_balanced(tmp_path):
    config = task_config("CartPole-v1", num_global_steps=30_000)
    model, _ = train_alone(config, tmp_path)
    assert mean_score(config, model, episodes=50) >= 120  # chance is 22


@pytest.mark.slow
def test_the_pendulum_is_swung_up(tmp_path):
    # Smaller steps towards the end: else a seed, or the last bit of a sum, decides how it ends.
    steps = 45_000
    config = task_config(
        "Pendulum-v1",
        num_global_steps=steps,
        anneal_steps=steps,
        minibatches=4,
        learning_rate=2e-3,
    )
    model, _ = train_alone(config, tmp_path)
    assert mean_score(config, model, episodes=50) >= -400  # chance is -1,200


@pytest.mark.parametrize("recurrent", [False, True])
def test_a_critic_of_its_own_learns_beside_the_actor(tmp_path, recurrent):
    config = task_config(
        "CartPole-v1", separate=True, recurrent=recurrent, num_global_steps=3 * 8 * 32, epochs=1
    )
    torch.manual_seed(config.seed)
    before = dict(ActorCritic(spec_of(config)).named_parameters())
    model, reports = train_alone(config, tmp_path)
    assert len(reports.taken) == 3
    after = dict(model.named_parameters())
    parts = {name.partition(".")[0] for name in after}
    assert {"encoder", "critic_encoder"} <= parts
    assert ("critic_lstm" in parts) == recurrent
    for name, parameter in after.items():
        assert bool(parameter.isfinite().all())
        assert not torch.equal(parameter, before[name]), name


@pytest.mark.parametrize("recurrent", [False, True])
def test_actor_and_critic_share_nothing_if_they_are_separate(recurrent):
    config = task_config("CartPole-v1", separate=True, recurrent=recurrent)
    model = ActorCritic(spec_of(config))
    _, values, _ = model.act(torch.randn(4, 4), model.initial_state(4))
    values.sum().backward()
    learned = {name for name, value in model.named_parameters() if value.grad is not None}
    assert learned == {n for n, _ in model.named_parameters() if n.startswith(("critic", "value"))}
