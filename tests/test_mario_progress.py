"""New ground and moves, on memory written by hand and on a real way through a pipe."""

from dataclasses import replace

import numpy as np
import pytest

from mario_a3c.envs import ram as fields
from mario_a3c.envs.mario import MarioVectorEnv
from mario_a3c.envs.progress import NUM_STRIPS, Change, Progress
from mario_a3c.envs.rewards import REWARDS, RewardWeights, reward_of
from tests.mario import decisions, on_both_engines, recorded, same


def memory(x, area=37, time=400, score=0):
    ram = np.zeros((1, 2048), dtype=np.uint8)
    ram[0, 0x6D], ram[0, 0x86] = divmod(x % 65536, 256)
    ram[0, 0x74E], ram[0, 0x74F] = divmod(area, 32)
    ram[0, 0x7F8:0x7FB] = [int(digit) for digit in f"{time:03}"]
    ram[0, 0x7DE:0x7E4] = [int(digit) for digit in f"{score:06}"]
    return ram


def changes(*memories):
    progress = Progress(1, frame_skip=4)
    progress.begin(np.array([0]), memories[0])
    found = [progress.update(ram) for ram in memories[1:]]
    return progress, [tuple(int(part[0]) for part in change) for change in found]


def test_only_ground_beyond_the_furthest_is_new():
    _, found = changes(memory(100), memory(110), memory(95), memory(108), memory(113))
    assert [ground for ground, *_ in found] == [10, 0, 0, 3]
    assert [moved for _, moved, *_ in found] == [10, -15, 13, 5]


def test_a_little_to_the_left_of_the_beginning_is_not_far_to_the_right():
    progress, found = changes(memory(10), memory(-2), memory(4), memory(12))
    assert [ground for ground, *_ in found] == [0, 0, 2]
    assert progress.max_x == 12


def test_a_leap_through_a_pipe_neither_pays_nor_costs_much():
    progress, found = changes(memory(500), memory(1500), memory(1510), memory(900))
    assert [ground for ground, *_ in found] == [16, 10, 0]
    assert [moved for _, moved, *_ in found] == [0, 10, 0]
    assert progress.max_x == 1510


def test_ground_in_another_map_is_new_once():
    there, back = memory(10, area=66), memory(300)
    _, found = changes(memory(290), there, memory(20, area=66), back, there, memory(20, area=66))
    assert [ground for ground, *_ in found] == [0, 10, 10, 0, 0]


def test_decisions_without_new_ground_are_counted():
    progress = Progress(1, frame_skip=4)
    progress.begin(np.array([0]), memory(100))
    idle = []
    for ram in (memory(100), memory(90), memory(101), memory(101), memory(5, area=66)):
        progress.update(ram)
        idle.append(int(progress.idle[0]))
    assert idle == [1, 2, 0, 1, 0]


def test_ground_that_does_not_count_neither_pays_nor_ends_a_stall():
    progress = Progress(1, frame_skip=4)
    progress.counted = np.zeros((128, NUM_STRIPS), dtype=np.bool_)
    progress.counted[37, :7] = True  # up to x 111
    progress.begin(np.array([0]), memory(100))
    found = []
    for ram in (memory(110), memory(120), memory(130, area=66), memory(5), memory(111)):
        found.append((int(progress.update(ram).ground[0]), int(progress.idle[0])))
    assert found == [(10, 0), (0, 1), (0, 2), (0, 3), (0, 4)]
    assert progress.max_x == 130


def test_clock_and_points_count_in_one_direction():
    _, found = changes(memory(0), memory(0, time=398, score=150), memory(0, time=400, score=0))
    assert [(ticks, points) for *_, ticks, points in found] == [(2, 150), (0, 0)]


def test_every_weight_weighs_its_own_part():
    change = Change(*(np.array([part]) for part in (2, 30, 5, 700)))
    yes, no = np.array([True]), np.array([False])
    for name, expected in [
        ("ground", 2),
        ("velocity", 30),
        ("clock", 5),
        ("score", 700),
        ("completion", 1),
        ("death", 0),
        ("step", 1),
    ]:
        weights = RewardWeights(**{"ground": 0, "completion": 0, "death": 0, name: 3})
        assert weights.total(change, yes, no) == 3 * expected
    assert RewardWeights(ground=0, death=-4).total(change, no, yes) == -4


def test_another_cost_of_dying_changes_nothing_else_of_a_reward():
    for name, weights in REWARDS.items():
        assert reward_of(name) == weights
        assert reward_of(name, 6) == replace(weights, death=-6)


@on_both_engines
def test_the_way_through_the_pipe_of_1_2_pays_for_its_ground_once(engine):
    env = MarioVectorEnv(
        1,
        1,
        2,
        engine=engine,
        action_set="complex",
        noop_max=0,
        reward=RewardWeights(ground=1, completion=0, death=0),
    )
    env.reset()
    areas = set()
    for action in decisions(recorded("1-2")):
        areas.add(int(fields.area(env.engine.ram)[0]))
        _, reward, terminated, _, infos = env.step(same(action, 1))
        assert 0 <= reward[0] <= 16
    final = infos["final_info"]
    assert terminated[0]
    assert final["completed"][0]
    assert len(areas) == 2
    # The pipe leaps over some 230 pixels.
    assert 2700 < final["episode_return"][0] < final["max_x"][0] - 40 == pytest.approx(3121, abs=9)
