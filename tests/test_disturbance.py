"""Random actions in place of the agent's: where they come, how long they are held, what is told."""

import numpy as np
import pytest

from mario_a3c.envs.disturbance import LONGEST, Disturbance

AGENTS = np.array([9, 9])
"""What the agent presses in two games; no random action is 9."""


def disturbed(rate: float, decisions: int) -> list[int]:
    """Return what is done in the first 4,000 decisions of game 0; game 1 is left alone."""
    disturbance = Disturbance(2, 5, rate)
    generators = [np.random.default_rng(seed) for seed in (1, 2)]
    disturbance.begin(0, decisions)
    assert disturbance.begun.tolist() == [decisions > 0, False]
    actions = []
    for _ in range(4000):
        taken, random = disturbance.disturb(AGENTS, generators)
        assert random.tolist() == (taken != AGENTS).tolist()
        assert taken[1] == 9
        actions.append(int(taken[0]))
    assert (AGENTS == 9).all(), "the agent's actions are not written to"
    return actions


def test_only_the_first_decisions_of_a_game_are_disturbed() -> None:
    assert disturbed(0.5, 0) == [9] * 4000
    actions = disturbed(0.5, 100)
    assert {*actions[:100]} == {0, 1, 2, 3, 4, 9}
    assert actions[100:] == [9] * 3900


def test_a_random_action_is_held_for_a_while_and_then_the_agent_acts_again() -> None:
    actions = disturbed(0.1, 4000)
    changes = np.flatnonzero(np.diff(np.array(actions))) + 1
    parts = [part.tolist() for part in np.split(np.array(actions), changes)]
    lengths = [len(part) for part in parts[:-1] if part[0] != 9]
    assert 1 in lengths
    assert LONGEST in lengths
    # Two in a row that are alike look like one; so do few.
    assert np.mean(np.array(lengths) > LONGEST) < 0.05
    # One begins after ten decisions of the agent's on average and takes four and a half.
    share = np.mean(np.array(actions) != 9)
    assert share == pytest.approx(4.5 / (4.5 + 9), abs=0.05)


def test_a_new_episode_is_disturbed_only_if_that_is_asked_for_again() -> None:
    disturbance = Disturbance(2, 5, 1.0)
    generators = [np.random.default_rng(seed) for seed in (1, 2)]
    disturbance.begin(1, 50)
    assert disturbance.disturb(AGENTS, generators)[1].tolist() == [False, True]
    disturbance.begin(1, 0)
    assert not disturbance.begun.any()
    assert disturbance.disturb(AGENTS, generators)[0].tolist() == [9, 9]
