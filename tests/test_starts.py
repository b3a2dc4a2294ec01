"""Episodes that begin along a recorded way."""

import gc
from typing import Any

import numpy as np
import pytest

from mario_a3c.config import RunConfig
from mario_a3c.envs.engines import make_engine
from mario_a3c.envs.factory import demonstrations, make_env, prepare_training
from mario_a3c.envs.mario import MarioVectorEnv
from mario_a3c.envs.observation import VIEWS
from mario_a3c.envs.progress import NUM_STRIPS
from mario_a3c.envs.starts import ground_along, starts_from_trace
from tests.mario import decisions, needs_native, on_both_engines, recorded, same

SETTINGS: dict[str, Any] = {"action_set": "complex", "noop_max": 0, "log_buttons": True}


@pytest.mark.parametrize("view", VIEWS)
@on_both_engines
def test_games_starts_and_demonstrations_are_seen_as_the_run_has_it(engine, view, tmp_path):
    (tmp_path / "1-4.jsonl").write_text(recorded("1-4").to_json())
    config = RunConfig(
        world=1,
        stage=4,
        engine=engine,
        view=view,
        noop_max=0,
        start_fraction=1.0,
        paths=str(tmp_path),
    )
    first = make_engine(engine, 1, 4, 1, view).observe(0)
    env = make_env(config, 1, seed=1)
    assert isinstance(env, MarioVectorEnv)
    assert np.array_equal(env.reset()[0][0, -1], first)
    assert np.array_equal(demonstrations(config)[0].observations[0, -1], first)
    prepare_training(env, config)
    assert np.array_equal(env._starts[0].stack[-1], first)


@on_both_engines
def test_an_episode_from_a_start_goes_on_like_the_recorded_one(engine):
    trace = recorded("1-4")
    actions = decisions(trace)
    starts = starts_from_trace(make_engine(engine, 1, 4, 1), trace.buttons, every=10)
    assert len(starts) == -(-len(actions) // 10)
    whole = MarioVectorEnv(1, 1, 4, engine=engine, **SETTINGS)
    later = MarioVectorEnv(1, 1, 4, engine=engine, **SETTINGS)
    whole.reset()
    for action in actions[:150]:
        expected = whole.step(same(action, 1))
    later.set_starts([starts[15]], 1.0)
    observation, infos = later.reset()
    assert (observation == expected[0]).all()
    assert infos["max_x"] == expected[4]["max_x"]
    for action in actions[150:]:
        expected, got = (env.step(same(action, 1)) for env in (whole, later))
        assert got[1] == expected[1]
        assert got[2] == expected[2]
        assert got[2][0] or (got[0] == expected[0]).all()
    final = got[4]["final_info"]
    assert final["completed"][0]
    assert final["began_elsewhere"][0]
    assert not expected[4]["final_info"]["began_elsewhere"][0]
    assert final["buttons"][0] == trace.buttons


@on_both_engines
def test_only_the_ground_of_a_way_counts_if_asked_for(engine):
    trace = recorded("1-2")
    ground = ground_along(make_engine(engine, 1, 2, 1), [trace])
    assert ground.shape == (128, NUM_STRIPS)
    assert np.flatnonzero(ground.any(1)).tolist() == [37, 64]
    assert not ground[64, (3121 + 32) // 16 :].any()
    env = MarioVectorEnv(1, 1, 2, engine=engine, stall_limit=0, **SETTINGS)
    returns = []
    for counted in (None, ground, np.zeros_like(ground)):
        env.set_ground(counted)
        env.reset()
        for action in decisions(trace):
            infos = env.step(same(action, 1))[4]
        assert infos["final_info"]["completed"][0]
        returns.append(float(infos["final_info"]["episode_return"][0]))
    assert returns[0] == returns[1]
    assert returns[2] == 1.5


def test_ground_before_a_start_pays_nothing():
    right = 1
    there_and_back = bytes([0x80]) * 80 + bytes([0x40]) * 80
    start = starts_from_trace(make_engine("nes-py", 1, 1, 1), there_and_back)[-1]
    env = MarioVectorEnv(1, 1, 1, engine="nes-py", **SETTINGS)
    env.set_starts([start], 1.0)
    _, infos = env.reset()
    assert infos["x"] < infos["max_x"] - 20
    furthest = infos["max_x"]
    total = 0.0
    while infos["x"] < furthest:
        _, reward, _, _, infos = env.step(same(right, 1))
        total += float(reward[0])
    assert 0 <= total <= 0.01 * 12


def test_starts_skip_the_no_op_frames_and_keep_every_nth_decision():
    buttons = bytes(7) + bytes([0x80]) * 40
    starts = starts_from_trace(make_engine("nes-py", 1, 1, 1), buttons, noops=7, every=4)
    assert [len(start.buttons) for start in starts] == [7, 23, 39]
    assert (starts[0].stack == starts[0].stack[0]).all()
    assert not (starts[1].stack[3] == starts[0].stack[3]).all()


def test_the_asked_share_of_episodes_begins_at_a_start():
    buttons = bytes([0x80]) * 40
    starts = starts_from_trace(make_engine("nes-py", 1, 1, 1), buttons, every=5)
    env = MarioVectorEnv(8, 1, 1, engine="nes-py", noop_max=0, max_episode_steps=1)
    env.set_starts(starts, 0.5)
    env.reset(seed=0)
    elsewhere = [env.step(same(0, 8))[4]["final_info"]["began_elsewhere"] for _ in range(12)]
    assert 0.3 < np.mean(elsewhere) < 0.7


@needs_native
@pytest.mark.parametrize(("start_from", "least"), [(0.0, 0), (0.75, 1900), (1.0, 3000)])
def test_starts_may_be_in_the_last_part_of_the_way_only(tmp_path, start_from, least):
    (tmp_path / "1-1.jsonl").write_text(recorded("1-1").to_json())
    config = RunConfig(start_fraction=1.0, start_from=start_from, paths=str(tmp_path))
    env = make_env(config, 64, seed=1)
    assert isinstance(env, MarioVectorEnv)
    prepare_training(env, config)
    _, infos = env.reset(seed=2)
    assert infos["x"].min() >= least
    if start_from < 1:
        assert infos["x"].min() < least + 800
        assert len(set(infos["x"].tolist())) > 16


def test_a_nes_py_snapshot_outlives_the_console_it_was_taken_on():
    start = starts_from_trace(make_engine("nes-py", 1, 1, 1), bytes([0x80]) * 40)[-1]
    gc.collect()
    filler = [make_engine("nes-py", 1, 2, 1) for _ in range(3)]  # takes the memory that is free
    games = [make_engine("nes-py", 1, 1, 1) for _ in range(2)]
    expected, got = games
    picture = np.zeros((1, 84, 84), dtype=np.uint8)
    expected.step(np.array([0x80], np.uint8), np.array([len(start.buttons)], np.int32), picture)
    got.load(0, start.state)
    del start
    gc.collect()
    for engine in games:
        engine.step(np.array([0x80], np.uint8), np.array([40], np.int32), picture)
    assert (expected.ram == got.ram).all()
    assert (expected.screen(0) == got.screen(0)).all()
    assert len(filler) == 3
