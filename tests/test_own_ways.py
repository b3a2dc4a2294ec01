"""An agent's own ways, for it to imitate: its likeliest ones, and those beside its failures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mario_a3c import own_ways
from mario_a3c.envs.demonstrations import Demonstration
from mario_a3c.envs.endings import EndReason
from mario_a3c.envs.traces import Trace, read_traces
from mario_a3c.learning.model import ActorCritic
from mario_a3c.own_ways import OwnWays, OwnWaysOptions, StumblingPlayer, log_likelihood, main
from mario_a3c.playing.episodes import AgentPlayer, PlayedEpisode
from mario_a3c.playing.mario import agent_file
from mario_a3c.replay import completes
from tests.mario import needs_native
from tests.small import SHAPE, SPEC

AGENT = agent_file(1, 4)  # a short stage, which it finishes nearly always


@pytest.fixture(autouse=True)
def threads():
    """Leave other tests the threads that the command does without."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def _pictures(steps: int, games: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (steps, games, *SHAPE), np.uint8)


def test_random_actions_come_in_the_stretch_only_and_as_often_as_told() -> None:
    model = ActorCritic(SPEC)
    with torch.no_grad():
        model.get_parameter("policy.bias").copy_(torch.tensor([50.0, 0.0, 0.0]))  # it always does 0
    player = StumblingPlayer(model, range(10, 20), chance=0.1)
    generators = [np.random.default_rng(n) for n in range(8)]
    done = np.stack([player.act(rows, generators) for rows in _pictures(60, 8)])
    assert not done[:10].any()
    assert done[10:20].any()
    assert not done[19 + own_ways.LONGEST :].any()
    for game in range(4):  # and again in a new episode
        player.begin(game)
    again = np.stack([player.act(rows, generators) for rows in _pictures(20, 8)])
    assert again[10:, :4].any()
    assert not again[:, 4:].any()


def test_how_likely_an_episode_is_follows_from_what_the_agent_would_do_step_by_step() -> None:
    torch.manual_seed(1)
    model = ActorCritic(SPEC)
    with torch.no_grad():
        model.get_parameter("policy.weight").normal_()
    pictures, actions = _pictures(9, 1), np.random.default_rng(2).integers(0, 3, 9)
    state, expected = model.initial_state(1), 0.0
    with torch.no_grad():
        for picture, action in zip(pictures, actions, strict=True):
            policy, _, state = model.act(torch.from_numpy(picture), state)
            expected += float(policy.log_prob(torch.tensor([action])))
    shown = Demonstration(pictures[:, 0], actions)
    assert log_likelihood(model, shown) == pytest.approx(expected, rel=1e-4)


@needs_native
def test_the_command_keeps_ways_that_finish_for_every_number(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(own_ways, "NOOPS", 2)
    words = [str(AGENT), "--out", str(tmp_path / "ways"), "--keep", "1", "--episodes", "3"]
    assert main(words) == 0
    ways = read_traces(tmp_path / "ways" / "1-4.jsonl")
    assert [way.noops for way in ways] == [0, 1, 2]
    assert all(completes(way) for way in ways)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 4
    assert printed[0].startswith("0 no-op frames: ")
    assert printed[0].endswith("; 1 kept")


@needs_native
def test_the_likeliest_ways_are_kept(tmp_path) -> None:
    options = OwnWaysOptions(AGENT, tmp_path, keep=2, episodes=6)
    ways = OwnWays(AGENT, options)
    everything = OwnWays(AGENT, replace(options, keep=6, rounds=0))
    kept, told = ways.find(3)
    chances = [everything._likelihood(episode) for episode in everything.find(3)[0]]
    assert len(kept) == 2
    assert told.endswith("; 2 kept")
    assert [ways._likelihood(episode) for episode in kept] == sorted(chances, reverse=True)[:2]


@needs_native
def test_what_an_agent_fails_is_found_beside_its_play(tmp_path) -> None:
    """One that is made to fail gets past it by random actions in the right place."""
    ways = OwnWays(AGENT, OwnWaysOptions(AGENT, tmp_path, keep=1, episodes=2, rounds=9))
    model = ways.game.player.model  # type: ignore[attr-defined]
    idle = _Idle(model, since=40)
    failures = list(replace(ways.game, player=idle).play(2, seed=1, noops=[5]))
    assert not any(episode.completed for episode in failures)
    found, rounds = ways._beside(5, failures, enough=3)
    assert len(found) >= 3
    assert rounds < 9
    assert all(episode.completed and episode.trace.noops == 5 for episode in found)
    assert len({episode.trace.buttons for episode in found}) > 1


class _Idle(AgentPlayer):
    """Plays well for some decisions and then does nothing."""

    def __init__(self, model: ActorCritic, since: int) -> None:
        super().__init__(model, stochastic=True)
        self._since, self._decisions = since, 0

    def act(self, observations, generators):
        self._decisions += 1
        actions = super().act(observations, generators)
        return actions * (self._decisions < self._since)


@needs_native
def test_a_number_without_a_way_is_told(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(own_ways, "NOOPS", 1)
    monkeypatch.setattr(OwnWays, "find", lambda _, noops: ([], "0 of 2 episodes finish; 0 kept"))
    assert main([str(AGENT), "--out", str(tmp_path)]) == 1
    assert "With 0, 1 no-op frames there is none" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["missing.safetensors"], "missing.safetensors"),
        ([str(AGENT), "--keep", "0"], "--keep 0"),
        ([str(AGENT), "--episodes", "0"], "--episodes 0"),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path, capsys, words, complaint) -> None:
    assert main([*words, "--out", str(tmp_path / "ways")]) == 2
    assert complaint in capsys.readouterr().err


@needs_native
def test_an_agent_that_sees_the_game_closer_is_judged_by_what_it_sees(tmp_path) -> None:
    ways = OwnWays(agent_file(7, 2), OwnWaysOptions(AGENT, tmp_path))
    (episode,) = ways.game.play(1, seed=1, noops=[0])
    assert ways._likelihood(episode) / episode.length > -1.5  # nats a decision


def test_random_actions_come_before_a_death_and_around_the_last_progress_before_a_stall() -> None:
    died = PlayedEpisode(0, 100, 0.0, 0, 0, EndReason.DIED, Trace(1, 1, 0, 0, False, b""))
    assert own_ways._stretch(died, 20, 30) == range(80, 100)
    stalled = replace(died, reason=EndReason.STALLED)
    assert own_ways._stretch(stalled, 20, 30) == range(50, 90)
    assert own_ways._stretch(replace(stalled, length=30), 20, 30) == range(20)


@needs_native
def test_nothing_is_sought_beside_failures_that_there_are_not(tmp_path) -> None:
    ways = OwnWays(AGENT, OwnWaysOptions(AGENT, tmp_path, keep=9, episodes=2))
    found, told = ways.find(3)
    assert len(found) == 2
    assert told == "2 of 2 episodes finish; 2 kept"
