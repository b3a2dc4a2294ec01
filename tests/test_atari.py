"""Atari games as the learner plays them: ids old and new, stickiness, pictures, refusals."""

import numpy as np
import pytest
from gymnasium import spaces

from mario_a3c.envs import atari
from mario_a3c.envs.atari import is_atari, make_atari_env
from mario_a3c.envs.gymnasium_tasks import TaskError

IDS = ("ALE/Pong-v5", "PongDeterministic-v4", "PongNoFrameskip-v4", "Pong-v4", "Pong-v0")


def play_alike(env, steps, seed=0):
    """Take the same actions in all games and return the pictures, ``[T, B, C, H, W]``."""
    env.reset(seed=seed)
    actions = np.random.default_rng(0).integers(6, size=steps)
    return np.stack([env.step(np.full(env.num_envs, action))[0].copy() for action in actions])


@pytest.mark.parametrize("env_id", IDS)
def test_every_form_of_an_id_names_the_game(env_id):
    assert is_atari(env_id)
    env = make_atari_env(env_id, 2, picture_size=42)
    observation, _ = env.reset(seed=0)
    assert (observation.shape, observation.dtype) == ((2, 4, 42, 42), np.uint8)
    assert env.single_action_space == spaces.Discrete(6)
    env.close()


@pytest.mark.parametrize(
    "env_id", ["CartPole-v1", "Pendulum-v1", "SuperMarioBros", "Pong-v9", "PongDeterministic-v5"]
)
def test_other_tasks_are_not_taken_for_atari(env_id):
    assert not is_atari(env_id)


@pytest.mark.parametrize(("env_id", "sticky"), [("PongDeterministic-v4", 0), ("ALE/Pong-v5", 1)])
def test_actions_stick_in_v5_and_not_in_v4(env_id, sticky, monkeypatch):
    monkeypatch.setattr(atari, "NOOP_MAX", 1)  # so that all games begin alike
    env = make_atari_env(env_id, 6, picture_size=42)
    pictures = play_alike(env, 60)
    env.close()
    differ = (pictures != pictures[:, :1]).any()
    assert bool(differ) == bool(sticky)


def test_an_action_is_held_for_four_frames(monkeypatch):
    monkeypatch.setattr(atari, "NOOP_MAX", 1)
    env = make_atari_env("PongDeterministic-v4", 1, max_episode_length=10)
    env.reset(seed=0)
    ends = [bool(env.step(np.zeros(1, dtype=np.int64))[3][0]) for _ in range(20)]
    env.close()
    assert next(t for t, end in enumerate(ends, 1) if end) == 10


def test_a_game_that_is_shown_is_the_one_that_is_learned(monkeypatch):
    monkeypatch.setattr(atari, "NOOP_MAX", 1)
    native = make_atari_env("PongDeterministic-v4", 1, picture_size=42)
    shown = make_atari_env("PongDeterministic-v4", 1, picture_size=42, render_mode="rgb_array")
    assert shown.single_observation_space.shape == native.single_observation_space.shape
    assert shown.single_action_space == native.single_action_space
    ours, theirs = (play_alike(env, 80)[:, 0, -1].astype(float) for env in (native, shown))
    (picture,) = shown.render() or ()
    assert np.shape(picture) == (210, 160, 3)
    native.close()
    shown.close()
    # They may begin a frame apart, and shrink pictures by a rule of their own.
    assert np.abs(ours - theirs).mean() < 2.0
    assert np.abs(ours - ours.mean(0)).mean() > np.abs(ours - theirs).mean()


@pytest.mark.parametrize(
    ("typed", "meant"), [("ALE/Pnog-v5", "ALE/Pong-v5"), ("ALE/Breakout-v9", "ALE/Breakout-v5")]
)
def test_an_unknown_game_is_answered_with_the_nearest_one(typed, meant):
    with pytest.raises(TaskError, match=rf"'{typed}' is unknown\. Did you mean {meant}\?"):
        make_atari_env(typed, 1)
