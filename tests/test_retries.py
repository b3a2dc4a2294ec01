"""Second chances: episodes that begin shortly before a recent failure."""

from __future__ import annotations

import numpy as np

from mario_a3c.config import RunConfig
from mario_a3c.envs import ram as fields
from mario_a3c.envs.factory import prepare_training
from mario_a3c.envs.mario import MarioVectorEnv
from mario_a3c.envs.observation import show_buttons
from mario_a3c.envs.retries import LEAST, Retries
from mario_a3c.envs.starts import Start

RIGHT_RUNNING = 3


def moment(name: bytes) -> Start:
    """Return a moment that can be told from others."""
    return Start(name, np.zeros((4, 84, 84), np.uint8), np.zeros(128, np.int32), b"")


def test_a_failure_keeps_a_moment_that_lies_some_decisions_before_it() -> None:
    retries = Retries(1)
    for length in (8, 16, 24):
        retries.remember(0, length, moment(b"%d" % length))
    for _ in range(50):
        retries.fail(0, 24 + LEAST - 1, np.random.default_rng(_))
    assert {start.state for start in retries.starts} == {b"8", b"16"}


def test_a_failure_right_after_the_beginning_keeps_nothing() -> None:
    retries = Retries(1)
    retries.remember(0, 8, moment(b"8"))
    retries.begin(0)
    retries.fail(0, 3, np.random.default_rng(1))
    assert not retries.starts


def test_episodes_begin_before_the_place_where_the_agent_died() -> None:
    env = MarioVectorEnv(4, 1, 1, noop_max=0)
    env.set_retries(1.0)
    env.reset(seed=1)
    begun = []
    for _ in range(200):  # running right without a jump dies at the first goomba, near x 300
        *_, infos = env.step(np.full(4, RIGHT_RUNNING))
        if "final_info" in infos:
            ended = infos["_final_info"]
            begun += infos["x"][ended].tolist()
            assert not infos["final_info"]["completed"].any()
    assert len(begun) > 8
    assert all(60 < x < 300 for x in begun[4:])
    env.close()


def failed_once(random_actions: int) -> tuple[MarioVectorEnv, Start]:
    """Return a game that always begins before its first failure, and that moment."""
    env = MarioVectorEnv(1, 1, 1, noop_max=0, display_buttons=True, log_buttons=True)
    env.set_retries(1.0, random_actions)
    env.reset(seed=1)
    while not env._retries or not env._retries.starts:
        env.step(np.full(1, RIGHT_RUNNING))
    return env, env._retries.starts[0]


def test_random_actions_lead_from_one_moment_to_many_games() -> None:
    """An agent without doubts would otherwise only see the same failure again."""
    env, failure = failed_once(random_actions=0)
    assert {env.reset()[0].tobytes() for _ in range(20)} == {failure.stack.tobytes()}
    env.close()

    env, failure = failed_once(random_actions=3)
    begun = set()
    for _ in range(40):
        stack, infos = env.reset()
        actions = (len(env._consoles.pressed(0)) - len(failure.buttons)) // 4
        assert 0 <= actions <= 3
        pictures = 4 - actions  # of the moment are still in the observation
        assert (stack[0, :pictures] == failure.stack[-pictures:]).all()
        if actions:
            shown = stack[:, -1].copy()
            show_buttons(shown, np.frombuffer(env._consoles.pressed(0)[-1:], np.uint8))
            assert (stack[:, -1] == shown).all()
        assert infos["x"] == fields.x(env.engine.ram)
        assert env._progress.furthest[0].max() >= infos["x"]
        begun.add(stack.tobytes())
    assert len(begun) > 10
    *_, infos = env.step(np.full(1, RIGHT_RUNNING))
    assert env._endings.length == 1, "they are no decisions of the episode"
    env.close()


def test_random_actions_that_would_end_the_game_are_left_out() -> None:
    env, failure = failed_once(random_actions=0)
    stack, _ = env.reset()
    assert not env._act_at_random(0, 10_000, stack), "so many actions end a game"
    env._begin_at(0, failure, 10_000, stack)
    assert stack[0].tobytes() == failure.stack.tobytes()
    assert env._consoles.pressed(0) == failure.buttons
    _, _, terminated, truncated, _ = env.step(np.full(1, RIGHT_RUNNING))
    assert not (terminated | truncated).any()
    env.close()


def test_a_run_decides_how_many_random_actions_there_are() -> None:
    config = RunConfig(retry_fraction=0.5, retry_actions=3)
    env = MarioVectorEnv(1, 1, 1)
    prepare_training(env, config)
    assert (env._retry_fraction, env._retry_actions) == (0.5, 3)
    env.close()


def test_without_retries_every_episode_begins_at_the_start_of_the_stage() -> None:
    env = MarioVectorEnv(2, 1, 1, noop_max=0)
    env.reset(seed=1)
    for _ in range(120):
        *_, infos = env.step(np.full(2, RIGHT_RUNNING))
        if "final_info" in infos:
            assert (infos["x"][infos["_final_info"]] == 40).all()
            assert not infos["final_info"]["began_elsewhere"].any()
    env.close()


def test_with_gradual_noops_episodes_are_retried_as_often_as_the_known_one_finishes() -> None:
    for mastery, retried in ((0.0, False), (1.0, True)):
        env = MarioVectorEnv(4, 1, 1, noop_max=0, gradual_noops=True)
        assert env.gradual_noops is not None
        env.set_retries(1.0)
        env.reset(seed=1)
        begun = []
        for _ in range(200):
            env.gradual_noops.shares[0] = mastery  # deaths alone would lower it
            *_, infos = env.step(np.full(4, RIGHT_RUNNING))
            if "final_info" in infos:
                begun += infos["x"][infos["_final_info"]].tolist()
        env.close()
        assert len(begun) > 8
        assert all((x > 60) is retried for x in begun[4:])
