"""Second chances: episodes that begin shortly before a recent failure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mario_a3c.config import RunConfig
from mario_a3c.envs.factory import prepare_training
from mario_a3c.envs.mario import MarioVectorEnv
from mario_a3c.envs.retries import KEPT, LEAST, MEMORY, PAST, STUBBORN, Failure, Moment, Retries
from mario_a3c.envs.starts import Start
from tests.mario import decisions, needs_native, recorded

RIGHT_RUNNING = 3


def moment(name: bytes) -> Start:
    """Return a moment that can be told from others."""
    return Start(name, np.zeros((4, 84, 84), np.uint8), np.zeros(128, np.int32), b"")


def ground(x: int, area: int = 3) -> NDArray[np.int32]:
    """Return how far a game came that went to x in one map, and nowhere else."""
    furthest = np.full(128, -1, np.int32)
    furthest[area] = x
    return furthest


def failed(retries: Retries, length: int, every: int = 8, x: int = 500) -> None:
    """Let game 0 begin at the start of the stage and fail after so many decisions."""
    retries.begin(0)
    for at in range(every, length, every):
        retries.remember(0, at, moment(b"%d" % at))
    retries.fail(0, length, ground(x))


def test_a_failure_keeps_the_last_moments_that_lie_some_decisions_before_it() -> None:
    retries = Retries(1)
    failed(retries, 8 * (MEMORY + 2) + LEAST - 1)
    [failure] = retries.kept
    names = [moment.start.state for moment in failure.moments]
    # MEMORY are remembered, of which the last one lies too near.
    assert names == [b"%d" % (8 * at) for at in range(3, MEMORY + 2)]
    assert [moment.left for moment in failure.moments][-1] == 8 + LEAST - 1


def test_episodes_begin_at_any_moment_of_any_failure() -> None:
    retries = Retries(1)
    failed(retries, 30)
    failed(retries, 60)
    drawn = {id(retries.draw(0, np.random.default_rng(seed))) for seed in range(200)}
    assert drawn == {id(moment) for failure in retries.kept for moment in failure.moments}


def test_the_newest_failures_are_kept() -> None:
    retries = Retries(1)
    for x in range(KEPT + 5):
        failed(retries, 30, x=x)
    assert [int(failure.furthest[3]) for failure in retries.kept] == list(range(5, KEPT + 5))


def test_a_failure_right_after_the_beginning_keeps_nothing() -> None:
    retries = Retries(1)
    retries.remember(0, 8, moment(b"8"))
    retries.begin(0)
    retries.fail(0, 3, ground(50))
    assert not retries.kept


def test_a_failure_stays_as_it_is_until_an_episode_gets_past_it() -> None:
    """Otherwise each retry that fails would leave a start even nearer to the end."""
    retries = Retries(1)
    failed(retries, 40, x=500)
    [failure] = retries.kept
    for x, length in ((480, 10), (500, 250), (500 + PAST, 60)):  # one of them stood still for long
        retries.begin(0)
        retries.draw(0, np.random.default_rng(1))
        retries.remember(0, 1, moment(b"nearer"))
        retries.fail(0, length, ground(x))
        assert list(retries.kept) == [failure]
    for further in (ground(500 + PAST + 1), np.maximum(ground(500), ground(90, area=7))):
        retries.begin(0)
        retries.draw(0, np.random.default_rng(1))
        retries.remember(0, 30, moment(b"further"))
        retries.fail(0, 60, further)
        [other] = retries.kept
        assert [moment.start.state for moment in other.moments] == [b"further"]
        retries.begin(0)
        retries.draw(0, np.random.default_rng(1))
        retries.succeed(0)
        assert not retries.kept
        retries.succeed(0)  # another game may have got past it meanwhile
        failed(retries, 40, x=500)


def test_a_failure_is_stubborn_once_several_episodes_did_not_get_past_it() -> None:
    retries = Retries(2)
    failed(retries, 40, x=500)
    for _ in range(STUBBORN):
        retries.draw(0, np.random.default_rng(1))
        assert not retries.stubborn(0)
        retries.fail(0, 20, ground(500))
        retries.begin(0)
    assert not retries.stubborn(0), "it begins at the start of the stage"
    retries.draw(0, np.random.default_rng(1))
    assert retries.stubborn(0)
    assert not retries.stubborn(1)
    retries.remember(0, 30, moment(b"further"))
    retries.fail(0, 60, ground(900))
    retries.begin(0)
    retries.draw(0, np.random.default_rng(1))
    assert not retries.stubborn(0), "it got past the stubborn one, and this is another"


def test_who_begins_at_the_start_of_the_stage_gets_past_nothing() -> None:
    retries = Retries(1)
    failed(retries, 40)
    retries.begin(0)
    retries.succeed(0)
    assert len(retries.kept) == 1


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


def test_disturbed_retries_take_random_actions_up_to_the_failure_and_leave_no_retries() -> None:
    env = MarioVectorEnv(4, 1, 1, noop_max=0, log_buttons=True)
    env.set_retries(1.0, noise=0.3)
    assert env._disturbance is not None
    assert env._retries is not None
    env.reset(seed=1)
    given, ended = np.full(4, RIGHT_RUNNING), np.ones(4, dtype=np.bool_)
    disturbed, drawn = 0, 0
    for _ in range(400):
        retries = env._disturbance.begun.copy()
        stubborn = np.array([env._retries.stubborn(game) for game in range(4)])
        assert not (retries & ~stubborn)[ended].any()
        drawn += int((ended & stubborn).sum())
        disturbed += int((retries & ended).sum())
        kept = list(env._retries.kept)
        *_, infos = env.step(given)
        assert (infos["taken"] != given)[~infos["random"]].sum() == 0
        assert not infos["random"][~retries].any()
        ended = infos.get("_final_info", np.zeros(4, dtype=np.bool_))
        if ended.any() and retries[ended].all():
            assert list(env._retries.kept) == kept
        for game in np.flatnonzero(ended & infos["random"]).tolist():
            pressed = infos["final_info"]["buttons"][game][-1]
            assert pressed == env._bytes[infos["taken"][game]]
    assert 0.3 < disturbed / drawn < 0.7, "every second retry of a stubborn failure"
    env.close()


def test_a_retry_is_disturbed_for_as_long_as_it_lay_before_the_failure() -> None:
    env = MarioVectorEnv(4, 1, 1, noop_max=0)
    env.set_retries(1.0, noise=0.3)
    disturbance, retries = env._disturbance, env._retries
    assert disturbance is not None
    assert retries is not None
    env.reset(seed=1)
    seen: set[int] = set()
    for _ in range(300):
        *_, infos = env.step(np.full(4, RIGHT_RUNNING))
        left = {moment.left for failure in retries.kept for moment in failure.moments}
        for game in np.flatnonzero(infos.get("_final_info", np.zeros(4, np.bool_))).tolist():
            assert disturbance._left[game] in (left if disturbance.begun[game] else {0})
            seen.add(int(disturbance._left[game]))
    assert len(seen) > 2, "more than one distance, and none"
    env.close()


@needs_native
def test_an_episode_that_finishes_gets_past_what_it_began_before() -> None:
    trace = recorded("1-1")
    env = MarioVectorEnv(1, 1, 1, action_set="complex", noop_max=0)
    env.set_retries(1.0)
    env.reset(seed=1)
    assert env._retries is not None
    start = Start(env.engine.save(0), env.reset()[0][0], np.full(128, -1, np.int32), b"")
    failure = Failure((Moment(start, 20),), np.zeros(128, np.int32))
    env._retries.kept.append(failure)
    env.reset()
    assert env._began_elsewhere.all()
    for action in decisions(trace):
        *_, infos = env.step(np.array([action]))
    assert infos["final_info"]["completed"][0]
    assert failure not in env._retries.kept
    env.close()


def test_a_run_decides_how_often_retries_are_disturbed() -> None:
    env = MarioVectorEnv(1, 1, 1)
    prepare_training(env, RunConfig(retry_fraction=0.5))
    assert env._disturbance is None
    prepare_training(env, RunConfig(retry_fraction=0.5, retry_noise=0.25))
    assert env._disturbance is not None
    assert (env._retry_fraction, env._disturbance._rate) == (0.5, 0.25)
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
