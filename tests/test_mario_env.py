"""The Mario task against the bare environment, on real frames."""

import numpy as np
import pytest
from gym_super_mario_bros import actions as original_actions
from gym_super_mario_bros.smb_env import SuperMarioBrosEnv
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode

from mario_a3c.config import RunConfig
from mario_a3c.envs import engines
from mario_a3c.envs import ram as fields
from mario_a3c.envs.actions import controller_bytes
from mario_a3c.envs.endings import EndReason
from mario_a3c.envs.factory import make_env
from mario_a3c.envs.mario import MarioVectorEnv
from mario_a3c.envs.nes_py_engine import NesPyEngine
from mario_a3c.envs.rewards import REWARDS, RewardWeights
from tests.mario import decisions, needs_native, on_both_engines, recorded, same

NOOP, RIGHT, RIGHT_JUMP, LEFT = 0, 1, 2, 6


def slow_observation(screen):
    """Area averaging as it is defined, in integers: each pixel is cut into 7 x 21 pieces."""
    luma = (screen.astype(int) * [77, 150, 29]).sum(axis=2) >> 8
    rows = luma.repeat(7, axis=0).reshape(84, 20, 256).sum(axis=1)
    total = rows.repeat(21, axis=1).reshape(84, 84, 64).sum(axis=2)
    return (total + 640) // 1280


def slow_reward(weights, before, after, frame_skip=4):
    """The reward of a decision inside one map, from what the bare environment tells."""
    reward = weights.step
    reward += weights.ground * min(after["furthest"] - before["furthest"], 16)
    moved = after["x_pos"] - before["x_pos"]
    reward += weights.velocity * (moved if abs(moved) <= 5 * frame_skip else 0)
    reward += weights.clock * max(before["time"] - after["time"], 0)
    reward += weights.score * max(after["score"] - before["score"], 0)
    reward += weights.completion * after["flag_get"]
    return reward + weights.death * (after["is_dying"] or after["is_dead"])


def last_reward(config):
    """What the decision brings in which Mario, running to the right, dies of the first Goomba."""
    env = make_env(config, 1, seed=0)
    for _ in range(200):
        _, rewards, terminated, _, _ = env.step(np.array([RIGHT]))
        if terminated[0]:
            return float(rewards[0])
    raise AssertionError("Mario did not die.")


def test_dying_costs_what_the_run_says():
    usual = last_reward(RunConfig(noop_max=0))
    assert usual - last_reward(RunConfig(noop_max=0, death_cost=6.0)) == pytest.approx(4.5)
    assert usual - last_reward(RunConfig(noop_max=0, death_cost=0.0)) == pytest.approx(-1.5)


def memory_of(env, game):
    """The memory of a console of nes-py, to be written to."""
    assert isinstance(env.engine, NesPyEngine)
    return env.engine._games[game].ram


def check_memory(ram, info):
    """Compare what we read from memory with what the bare environment reads."""
    assert fields.x(ram) == info["x_pos"]
    assert fields.score(ram) == info["score"]
    assert fields.time(ram) == info["time"]
    assert fields.flag_or_axe(ram) == info["flag_get"]


@pytest.mark.parametrize("weights", [*REWARDS.values(), RewardWeights(step=-0.02)])
@on_both_engines
def test_an_episode_is_what_the_bare_environment_plays(engine, weights):
    trace = recorded("1-4")
    bare = SuperMarioBrosEnv(target=(1, 4))
    _, info = bare.reset()
    before = {**info, "furthest": info["x_pos"]}
    env = MarioVectorEnv(
        1, 1, 4, engine=engine, action_set="complex", noop_max=0, reward=weights, log_buttons=True
    )
    observation, infos = env.reset()
    assert (observation == slow_observation(bare.screen)).all()
    buttons = list(trace.buttons)
    returned = 0.0
    previous = observation
    for action in decisions(trace):
        for _ in range(4):
            _, _, over, _, info = bare.step(buttons.pop(0))
            if over:
                break
        after = {**info, "furthest": max(info["x_pos"], before["furthest"])}
        observation, reward, terminated, truncated, infos = env.step(same(action, 1))
        assert reward == pytest.approx(slow_reward(weights, before, after), abs=1e-5)
        returned += float(reward[0])
        assert not truncated
        assert terminated == over
        if engine == "nes-py":
            check_memory(bare.ram[None], info)
        if not over:
            assert (observation[:, :3] == previous[:, 1:]).all()
            assert (observation[0, 3] == slow_observation(bare.screen)).all()
            assert infos["x"] == info["x_pos"]
            assert infos["time"] == info["time"]
            assert infos["score"] == info["score"]
        before, previous = after, observation
    final = infos["final_info"]
    assert over
    assert final["completed"]
    assert final["end_reason"] == EndReason.COMPLETED
    assert final["episode_return"] == pytest.approx(returned)
    assert final["episode_length"] == len(decisions(trace))
    assert final["max_x"] == after["furthest"]
    assert final["buttons"][0] == trace.buttons


def slow_close_up(screen, ram):
    """The window as it is described, cell by cell, from Mario's place in the RAM."""
    luma = (screen.astype(int) * [77, 150, 29]).sum(axis=2) >> 8
    left, top = int(ram[0x3AD]) - 56, int(ram[0xCE]) - 72

    def pixel(row, column):
        y, x = top + row, left + column
        return luma[y, x] if 0 <= y < 240 and 0 <= x < 256 else 0

    return np.array(
        [
            [
                (sum(pixel(2 * row + i, 2 * column + j) for i in (0, 1) for j in (0, 1)) + 2) // 4
                for column in range(84)
            ]
            for row in range(84)
        ]
    )


@on_both_engines
def test_a_close_view_keeps_mario_in_his_place_and_plays_the_same_game(engine):
    bare = SuperMarioBrosEnv(target=(1, 1))
    bare.reset()
    env = MarioVectorEnv(1, 1, 1, engine=engine, noop_max=0, view="close")
    observation, _ = env.reset()
    for action in [NOOP] + [RIGHT] * 20 + [RIGHT_JUMP] * 8 + [NOOP] * 4 + [LEFT] * 4:
        assert (observation[0, 3] == slow_close_up(bare.screen, bare.ram)).all()
        for _ in range(4):
            bare.step(int(controller_bytes("simple")[action]))
        observation, *_ = env.step(same(action, 1))


def test_above_and_below_the_screen_mario_counts_as_at_its_edge():
    ram = np.zeros((4, 2048), dtype=np.uint8)
    ram[:, 0xB5], ram[:, 0xCE] = [0, 1, 1, 2], [250, 0, 176, 20]
    assert fields.y_on_screen(ram).tolist() == [0, 0, 176, 240]


def test_an_unknown_view_is_refused():
    with pytest.raises(ValueError, match="'near' is unknown; choose one of screen, close"):
        MarioVectorEnv(1, 1, 1, view="near")


def assert_same(one, other):
    """Compare what two environments return, dictionaries and arrays of objects included."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif one.dtype == object:
        for mine, theirs in zip(one, other, strict=True):
            assert np.array_equal(mine, theirs)
    else:
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("world", "stage", "endings"),
    [
        (1, 1, {EndReason.DIED, EndReason.TIME_LIMIT}),
        (1, 2, {EndReason.DIED, EndReason.TIME_LIMIT}),
        (2, 2, {EndReason.TIME_LIMIT}),
    ],
)
@needs_native
def test_both_engines_make_the_same_environment(world, stage, endings):
    envs = [
        MarioVectorEnv(2, world, stage, engine=name, max_episode_steps=110, log_buttons=True)
        for name in ("nes-py", "native")
    ]
    first, second = (env.reset(seed=5)[0] for env in envs)
    assert_same(first, second)
    generator = np.random.default_rng(0)
    reasons: set[int] = set()
    for _ in range(150):
        chosen = generator.choice([0, 1, 2, 3, 4, 4, 4, 6], 2)
        one, other = (env.step(chosen) for env in envs)
        for mine, theirs in zip(one, other, strict=True):
            assert_same(mine, theirs)
        if "final_info" in one[4]:
            reasons.update(one[4]["final_info"]["end_reason"][one[4]["_final_info"]].tolist())
    assert reasons == endings


def test_a_game_that_warps_to_another_stage_ends_without_completing_it():
    env = MarioVectorEnv(2, 1, 2, engine="nes-py", noop_max=0)
    env.reset()
    env.step(same(NOOP, 2))
    memory_of(env, 0)[0x075F] = 3  # world 4, as the warp zone does
    _, reward, terminated, truncated, infos = env.step(same(NOOP, 2))
    assert terminated.tolist() == [True, False]
    assert not truncated.any()
    assert infos["final_info"]["end_reason"][0] == EndReason.LEFT_STAGE
    assert not infos["final_info"]["completed"][0]
    assert not reward[0]


def test_the_flag_of_another_stage_is_no_completion_and_the_own_one_is():
    env = MarioVectorEnv(2, 1, 2, engine="nes-py", noop_max=0)
    env.reset()
    env.step(same(NOOP, 2))
    memory_of(env, 0)[0x075F] = 3
    for game in range(2):
        memory_of(env, game)[0x0770] = 2  # end of the world: the axe has been reached
    _, reward, terminated, _, infos = env.step(same(NOOP, 2))
    assert terminated.all()
    assert infos["final_info"]["completed"].tolist() == [False, True]
    assert infos["completed"].tolist() == [False, True]
    assert reward.tolist() == [0.0, 1.5]


def test_ended_games_begin_again_in_the_same_step():
    env = MarioVectorEnv(3, 1, 1, engine="nes-py", noop_max=0, max_episode_steps=4)
    assert env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    beginning, _ = env.reset()
    for _ in range(2):
        env.step(same(RIGHT, 3))
    env.reset(options={"reset_mask": np.array([False, True, False])})
    before, *_ = env.step(same(RIGHT, 3))
    observation, _, terminated, truncated, infos = env.step(same(RIGHT, 3))
    assert not terminated.any()
    assert truncated.tolist() == [True, False, True]
    assert infos["_final_obs"].tolist() == infos["_final_info"].tolist() == truncated.tolist()
    assert infos["final_obs"][1] is None
    for game in (0, 2):
        assert (observation[game] == beginning[game]).all()
        assert (infos["final_obs"][game][:3] == before[game][1:]).all()
        assert not (infos["final_obs"][game] == beginning[game]).all()
    final = infos["final_info"]
    assert final["episode_length"][[0, 2]].tolist() == [4, 4]
    assert (final["max_x"][[0, 2]] > infos["max_x"][[0, 2]]).all()
    assert "final_info" not in env.step(same(RIGHT, 3))[4]


def test_observations_do_not_change_when_the_games_go_on():
    env = MarioVectorEnv(1, 1, 1, engine="nes-py", max_episode_steps=2)
    kept = [env.reset(seed=0)[0]]
    kept += [env.step(same(RIGHT, 1))[0] for _ in range(3)]
    copies = [observation.copy() for observation in kept]
    for _ in range(3):
        env.step(same(RIGHT, 1))
    assert all((one == other).all() for one, other in zip(kept, copies, strict=True))


def test_equal_actions_are_not_counted_across_episodes():
    env = MarioVectorEnv(1, 1, 1, engine="nes-py", max_actions=3, max_episode_steps=2)
    env.reset()
    reasons = []
    for _ in range(6):
        infos = env.step(same(NOOP, 1))[4]
        reasons += [int(reason) for reason in infos.get("final_info", {}).get("end_reason", [])]
    assert reasons == 3 * [EndReason.TIME_LIMIT]


@pytest.mark.parametrize(
    ("settings", "reason", "decisions_made"),
    [
        ({"max_actions": 5}, EndReason.REPEATED, 5),
        ({"stall_limit": 7}, EndReason.STALLED, 7),
        ({"max_episode_steps": 3}, EndReason.TIME_LIMIT, 3),
    ],
)
@pytest.mark.parametrize("stall_terminates", [False, True])
def test_an_episode_that_goes_nowhere_is_truncated_or_if_asked_terminated_unless_by_its_length(
    stall_terminates, settings, reason, decisions_made
):
    limits = {"max_actions": 0, "stall_limit": 0, "max_episode_steps": 0, **settings}
    env = MarioVectorEnv(
        1, 1, 1, engine="nes-py", noop_max=0, stall_terminates=stall_terminates, **limits
    )
    terminates = stall_terminates and reason != EndReason.TIME_LIMIT
    env.reset()
    for decision in range(1, decisions_made + 1):
        _, reward, terminated, truncated, infos = env.step(same(NOOP, 1))
        last = decision == decisions_made
        assert (terminated[0], truncated[0]) == (last and terminates, last and not terminates)
        assert reward[0] == 0
    assert infos["final_info"]["end_reason"][0] == reason
    env.close()


@pytest.mark.parametrize("stall_terminates", [False, True])
def test_a_run_decides_whether_stalling_terminates(stall_terminates):
    config = RunConfig(engine="nes-py", stall_limit=2, stall_terminates=stall_terminates)
    env = make_env(config, num_envs=1, seed=1)
    env.step(same(NOOP, 1))
    assert env.step(same(NOOP, 1))[2][0] == stall_terminates
    env.close()


def test_other_actions_in_between_reset_the_count_of_equal_ones():
    env = MarioVectorEnv(1, 1, 1, engine="nes-py", noop_max=0, max_actions=3)
    env.reset()
    for action in 4 * (NOOP, NOOP, RIGHT):
        assert not env.step(same(action, 1))[3].any()


def test_a_closed_engine_of_nes_py_says_so_and_can_be_closed_again():
    engine = NesPyEngine(1, 1, 1)
    engine.close()
    engine.close()
    for call in (lambda: engine.save(0), lambda: engine.reset(0), lambda: engine.screen(0)):
        with pytest.raises(RuntimeError, match="This engine has been closed"):
            call()


def test_a_game_does_not_depend_on_the_games_beside_it():
    together = MarioVectorEnv(3, 1, 1, engine="nes-py", max_episode_steps=5)
    alone = MarioVectorEnv(1, 1, 1, engine="nes-py", max_episode_steps=5)
    observations, _ = together.reset(seed=7)
    observation, _ = alone.reset(seed=8)
    assert (observations[1] == observation[0]).all()
    for _ in range(12):
        observations, rewards, *_ = together.step(np.array([NOOP, RIGHT, RIGHT_JUMP]))
        observation, reward, *_ = alone.step(same(RIGHT, 1))
        assert (observations[1] == observation[0]).all()
        assert rewards[1] == reward[0]


def test_episodes_begin_with_different_numbers_of_no_op_frames_from_the_seed():
    counts = []
    for _ in range(2):
        env = MarioVectorEnv(
            4, 1, 1, engine="nes-py", noop_max=20, max_episode_steps=1, log_buttons=True
        )
        env.reset(seed=3)
        logs = [env.step(same(RIGHT, 4))[4]["final_info"]["buttons"] for _ in range(3)]
        counts.append([len(log) - 4 for step in logs for log in step])
    assert counts[0] == counts[1]
    assert len(set(counts[0])) > 4
    assert 0 <= min(counts[0]) <= max(counts[0]) <= 20


@needs_native
def test_gradual_no_op_frames_come_with_finished_episodes_and_never_before():
    def noops(pressed, episodes):
        env = MarioVectorEnv(
            1, 1, 1, action_set="complex", gradual_noops=True, stall_limit=40, log_buttons=True
        )
        env.reset(seed=1)
        drawn: list[tuple[int, bool]] = []
        while len(drawn) < episodes:
            for action in pressed:
                ended, infos = env.step(same(action, 1))[2:5:2]
                if ended[0]:
                    log, done = infos["final_info"]["buttons"][0], infos["completed"][0]
                    drawn.append((len(log) - len(log.lstrip(b"\0")), bool(done)))
                    break
        return drawn

    assert noops([RIGHT] * 300, 5) == [(0, False)] * 5
    finishing = noops(decisions(recorded("1-1")), 25)
    assert finishing[0] == (0, True)
    assert any(count for count, _ in finishing)


@on_both_engines
def test_watching_every_frame_does_not_change_the_game(engine):
    pictures = []

    def watch(game, episode, picture):
        pictures.append((game, episode, picture))

    watched, unwatched = (
        MarioVectorEnv(
            1, 1, 1, engine=engine, draw_noops=lambda game: 1, log_buttons=True, on_frame=listener
        )
        for listener in (watch, None)
    )
    watched.reset()
    unwatched.reset()
    over = np.array([False])
    while not over:  # straight into the first enemy
        mine, theirs = (env.step(same(RIGHT, 1)) for env in (watched, unwatched))
        assert (mine[0] == theirs[0]).all()
        assert mine[4]["frames"] == theirs[4]["frames"]
        over = mine[2][0]
        assert over == theirs[2][0]
    assert (mine[4]["final_obs"][0] == theirs[4]["final_obs"][0]).all()
    buttons = mine[4]["final_info"]["buttons"][0]
    assert buttons == theirs[4]["final_info"]["buttons"][0]
    bare = SuperMarioBrosEnv(target=(1, 1))
    bare.reset()
    assert mine[4]["frames"] < 4  # the last decision was cut short
    assert [episode for _, episode, _ in pictures] == len(buttons) * [0] + [1]
    for (game, _, picture), byte in zip(pictures, buttons, strict=False):
        screen = bare.step(byte)[0]
        assert game == 0
        assert (picture == screen).all()


@pytest.mark.parametrize(
    ("name", "original"),
    [
        ("right", original_actions.RIGHT_ONLY),
        ("simple", original_actions.SIMPLE_MOVEMENT),
        ("complex", original_actions.COMPLEX_MOVEMENT),
    ],
)
def test_action_sets_press_the_buttons_of_the_original_ones(name, original):
    presses = {0: "A", 1: "B", 4: "up", 5: "down", 6: "left", 7: "right"}
    for byte, buttons in zip(controller_bytes(name), original, strict=True):
        pressed = {button for bit, button in presses.items() if byte >> bit & 1}
        assert pressed == set(buttons) - {"NOOP"}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"world": 9}, "no world 9"),
        ({"stage": 0}, "no stage 0"),
        ({"action_set": "fly"}, "'fly' is unknown; choose one of right, simple, complex, pipes"),
        ({"engine": "warp"}, "'warp' is unknown; choose one of auto, native, nes-py"),
        ({"num_envs": 0}, "num_envs must be 1 or more, not 0"),
        ({"noop_max": -1}, "noop_max must be 0 or more, not -1"),
    ],
)
def test_a_bad_setting_is_refused_with_what_is_allowed(settings, told):
    with pytest.raises(ValueError, match=told):
        MarioVectorEnv(**{"num_envs": 1, "world": 1, "stage": 1, **settings})


def test_stepping_before_the_first_reset_is_refused():
    env = MarioVectorEnv(1, 1, 1, engine="nes-py")
    with pytest.raises(ResetNeeded):
        env.step(same(NOOP, 1))


def test_without_the_native_engine_auto_says_why_and_native_is_refused(monkeypatch):
    monkeypatch.setattr(engines, "native_available", lambda: (False, "there is no compiler"))
    name, sentence = engines.choose_engine("auto")
    assert name == "nes-py"
    assert "there is no compiler" in sentence
    with pytest.raises(ValueError, match="there is no compiler"):
        engines.make_engine("native", 1, 1, 1)
