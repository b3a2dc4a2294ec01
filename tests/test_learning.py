"""Learning, tested by learning: a small task, a fixed seed, a stated threshold."""

from tests.alone import mean_score, task_config, train_alone


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
