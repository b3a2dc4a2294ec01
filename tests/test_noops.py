"""No-op frames come when an agent finishes without them, and those more often that it fails at."""

from collections import Counter

import numpy as np
import pytest
import torch

from mario_a3c.config import RunConfig
from mario_a3c.envs.engines import make_engine
from mario_a3c.envs.mario import MarioVectorEnv
from mario_a3c.envs.noops import LEAST_WEIGHT, MASTERY_RATE, SHARE_RATE, Completions, GradualNoops
from mario_a3c.envs.starts import starts_from_trace
from mario_a3c.learning.flat import FlatParameters
from mario_a3c.learning.model import ActorCritic
from mario_a3c.learning.optim import make_state
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.training.learner import Learner
from mario_a3c.training.link import MemoryLink
from mario_a3c.training.shared import Shared
from mario_a3c.training.worker import begin_to_play, mario_games
from tests.mario import recorded, same


def drawn(noops: GradualNoops, count: int) -> Counter[int]:
    generator = np.random.default_rng(1)
    return Counter(noops.draw(generator) for _ in range(count))


def test_there_are_no_no_op_frames_before_an_episode_without_them_finishes():
    noops = GradualNoops(30)
    for count in range(1, 31):
        noops.record(count, True)
    assert drawn(noops, 200) == {0: 200}
    noops.record(0, True)
    assert len(drawn(noops, 2000)) > 20


def test_what_fails_is_drawn_as_often_more_than_what_finishes_as_its_share_says():
    noops = GradualNoops(2)
    noops.shares[:] = 1, 0, 0.5
    counts = drawn(noops, 30_000)
    whole = 3 * LEAST_WEIGHT + 1.5
    for count, share in enumerate(noops.shares):
        expected = (1 + LEAST_WEIGHT - share) / whole
        assert counts[count] / 30_000 == pytest.approx(expected, abs=0.015)


def test_the_shares_follow_the_newest_episodes():
    noops = GradualNoops(1)
    for count in (0, 1):
        for _ in range(200):
            noops.record(count, True)
    assert [noops.mastery, noops.completion] == pytest.approx([1, 1], abs=1e-4)
    for _ in range(200):
        noops.record(1, False)
    assert [noops.mastery, noops.completion] == pytest.approx([1, 0.5], abs=1e-4)


@pytest.mark.parametrize("gradual", [False, True])
def test_a_worker_that_takes_anothers_place_goes_on_with_what_was_mastered(gradual):
    config = RunConfig(gradual_noops=gradual, num_games=1, device="cpu")
    spec = ModelSpec(observation_shape=(4, 84, 84), num_actions=7)
    weights = FlatParameters(ActorCritic(spec)).values
    shared = Shared.begin(
        weights, make_state(config.optimizer, weights), 1, noop_max=config.noop_max
    )
    shared.mastered[0, 0] = 0.5

    def begin() -> Completions:
        learner = Learner(config, spec, MemoryLink(config, shared, 0), torch.device("cpu"), 1)
        games = mario_games(begin_to_play(learner, 1).env)
        assert games is not None
        assert (games.gradual_noops is games.completions) is gradual
        return games.completions

    first = begin()
    assert first.shares[0] == 0.5
    first.record(0, True)
    assert begin().shares[0] == shared.mastered[0, 0] == 0.5 + MASTERY_RATE / 2


def test_what_finishes_is_counted_without_the_curriculum_too():
    """For annealing by completion; a number that somebody else draws may be out of range."""
    frames = iter([1, 9, *[0] * 9])
    env = MarioVectorEnv(
        1, 1, 1, engine="nes-py", noop_max=1, draw_noops=lambda _: next(frames), max_episode_steps=2
    )
    env.completions.shares[:] = 1
    env.reset()
    for _ in range(2 * 3):
        env.step(same(0, 1))
    env.close()
    assert env.gradual_noops is None
    assert env.completions.shares.tolist() == [1 - MASTERY_RATE, 1 - SHARE_RATE]


def test_episodes_begin_elsewhere_only_as_often_as_the_stage_is_not_finished():
    env = MarioVectorEnv(1, 1, 4, engine="nes-py", gradual_noops=True, max_episode_steps=1)
    starts = starts_from_trace(make_engine("nes-py", 1, 4, 1), recorded("1-4").buttons, every=50)
    env.set_starts(starts, 1.0)
    assert env.gradual_noops is not None

    def share_elsewhere() -> float:
        steps = (env.step(same(0, 1))[4]["final_info"] for _ in range(40))
        return float(np.mean([final["began_elsewhere"][0] for final in steps]))

    env.reset(seed=1)
    assert share_elsewhere() == 1
    env.gradual_noops.shares[0] = 1
    env.reset()
    assert share_elsewhere() < 0.5
