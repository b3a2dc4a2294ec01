"""Drilling an agent: ways past its failures, and learning all ways by heart."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mario_a3c.benchmark.mario import means_of
from mario_a3c.checkpoint import load_agent, save_agent
from mario_a3c.drill import drill
from mario_a3c.drill.__main__ import main
from mario_a3c.drill.detours import Detours, contradiction
from mario_a3c.drill.drill import Drill, DrillOptions
from mario_a3c.drill.lesson import UNROLL, Lesson
from mario_a3c.envs.demonstrations import NO_ACTION, Demonstration
from mario_a3c.learning.model import ActorCritic
from mario_a3c.learning.rollout import Episode
from mario_a3c.playing.episodes import AgentPlayer
from mario_a3c.playing.mario import MarioGame, agent_file, agent_game
from mario_a3c.replay import completes
from mario_a3c.training.evaluation import Evaluation
from tests.mario import needs_native
from tests.small import SHAPE, SPEC

AGENT = agent_file(1, 4)  # with an LSTM; a short stage, which it finishes nearly always
WITHOUT_LSTM = dataclasses.replace(SPEC, lstm_size=0)


@pytest.fixture(autouse=True)
def threads():
    """Leave other tests the threads that the command does without."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def _ways(*lengths: int) -> list[Demonstration]:
    generator = np.random.default_rng(3)
    return [
        Demonstration(
            generator.integers(0, 256, (length, *SHAPE), np.uint8),
            generator.integers(0, SPEC.num_actions, length),
        )
        for length in lengths
    ]


def _done_otherwise(model: ActorCritic, way: Demonstration) -> int:
    """Return how many steps of a way a network would do otherwise, playing it step by step."""
    state, wrong = model.initial_state(1), 0
    with torch.no_grad():
        for picture, action in zip(way.observations, way.actions, strict=True):
            policy, _, state = model.act(torch.from_numpy(picture).unsqueeze(0), state)
            wrong += int(policy.mode) != action
    return wrong


@pytest.mark.parametrize("spec", [SPEC, WITHOUT_LSTM])
def test_ways_of_different_lengths_are_learned_by_heart(spec) -> None:
    torch.manual_seed(1)
    model = ActorCritic(spec)
    ways = _ways(40, 7, 23)
    lesson = Lesson(ways, margin=0.5, seed=0)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    found = lesson.look(model)
    assert found.steps == 70
    assert found.wrong.tolist() == [_done_otherwise(model, way) for way in ways]
    assert found.wrong.sum() > 20
    for _ in range(200):
        if not found.short:
            break
        lesson.practise(model, optimizer)
        found = lesson.look(model)
    assert found.short == 0
    assert [_done_otherwise(model, way) for way in ways] == [0, 0, 0]


def test_what_is_right_by_the_margin_changes_nothing() -> None:
    torch.manual_seed(1)
    model = ActorCritic(SPEC)
    (way,) = _ways(2 * UNROLL)
    with torch.no_grad():
        model.get_parameter("policy.bias")[2] = 9.0
    lesson = Lesson([replace(way, actions=np.full_like(way.actions, 2))], margin=2.0, seed=0)
    before = [weights.clone() for weights in model.parameters()]
    assert lesson.look(model).short == 0
    lesson.practise(model, torch.optim.SGD(model.parameters(), 1.0))
    assert all(map(torch.equal, before, model.parameters()))


def test_what_is_no_action_of_the_agents_is_left_out() -> None:
    torch.manual_seed(1)
    (way,) = _ways(12)
    hidden = np.where(np.arange(12) < 5, NO_ACTION, way.actions)
    assert (
        Lesson([replace(way, actions=hidden)], margin=2.0, seed=0).look(ActorCritic(SPEC))[0] == 7
    )


class _Idle(AgentPlayer):
    """Plays well for some decisions and then does nothing."""

    def __init__(self, model: ActorCritic, since: int) -> None:
        super().__init__(model, stochastic=False)
        self._since, self._decisions = since, 0

    def act(self, observations, generators):
        self._decisions += 1
        actions = super().act(observations, generators)
        return actions * (self._decisions < self._since)


def _model(game: MarioGame) -> ActorCritic:
    assert isinstance(game.player, AgentPlayer)
    return game.player.model


@needs_native
@pytest.mark.parametrize("stage", [(1, 4), (6, 1)])  # with an LSTM, and without one
def test_a_way_past_a_failure_begins_as_the_failure_did_and_finishes(stage) -> None:
    game = agent_game(agent_file(*stage))
    model = _model(game)
    (failure,) = replace(game, player=_Idle(model, since=40)).play(1, noops=[5])
    assert not failure.completed
    detours = Detours(game, model, seed=1)
    way = detours.past(failure, attempts=range(1, 5))
    played = detours.decisions
    nothing = detours.past(failure, attempts=range(0))
    detours.close()
    assert nothing is None
    assert way is not None
    assert completes(way.trace)
    assert way.trace.noops == 5
    begun = failure.trace.noops + 4 * 8
    assert way.trace.buttons[:begun] == failure.trace.buttons[:begun]
    assert played >= len(way.shown.actions) - 128 > 0  # it went on from that far back at most


@needs_native
def test_an_agents_own_likeliest_actions_contradict_it_in_nothing() -> None:
    game = agent_game(AGENT)
    (episode,) = game.play(1, noops=[0])
    shown = game.shown(game.console(), episode.trace)
    assert contradiction(_model(game), shown) == pytest.approx(0, abs=0.01)
    other = replace(shown, actions=(shown.actions + 1) % 7)
    assert contradiction(_model(game), other) > len(shown.actions)


@pytest.fixture
def failing(tmp_path) -> Path:
    """Return an agent that is worse than 6-1's: it repeats an action before the flag."""
    agent = load_agent(agent_file(6, 1))
    torch.manual_seed(2)
    with torch.no_grad():
        for weights in agent.model.parameters():
            weights.add_(torch.randn_like(weights) * weights.pow(2).mean().sqrt(), alpha=0.4)
    path = tmp_path / "failing.safetensors"
    save_agent(path, agent.model, agent.metadata)
    return path


@needs_native
def test_the_command_teaches_what_an_agent_failed(failing, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(drill, "EPISODES", 8)
    drilled = tmp_path / "drilled.safetensors"
    before = agent_game(failing)
    assert not any(episode.completed for episode in before.play(1, noops=[0]))
    status = main([str(failing), str(drilled), "--noops", "0", "--rounds", "3"])
    printed = capsys.readouterr().out
    assert status == 0, printed
    assert all(episode.completed for episode in agent_game(drilled).play(1, noops=[0]))
    assert "its likeliest actions finish 0 of 1, not after 0." in printed
    assert printed.count("a way past it is found") >= 1
    assert "After 0 to 0 no-op frames its likeliest actions finish 1 of 1." in printed
    assert printed.count("After 1 to 1 no-op frames") == 2  # before and after
    old, new = load_agent(failing).metadata, load_agent(drilled).metadata
    assert new["drilled"] >= 1
    assert new["steps"] > old["steps"] + 1000
    assert new["seconds"] > old["seconds"]
    assert new["evaluation"]["greedy"]["completed"] == 1
    assert f", drilled in {new['drilled']} round" in means_of([new])


@needs_native
def test_an_agent_is_made_certain_once(tmp_path) -> None:
    def deviation(model: ActorCritic) -> float:
        return float(model.get_parameter("policy.weight").detach().std())

    def begun_with(agent: Path) -> float:
        options = DrillOptions(agent, tmp_path / "unused", certainty=5.0)
        drill = Drill(agent, options, print)
        drill.make_certain()
        return deviation(drill.model)

    agent = load_agent(AGENT)
    first = tmp_path / "first.safetensors"
    save_agent(first, agent.model, agent.metadata)
    assert begun_with(first) == pytest.approx(5 * deviation(agent.model))
    save_agent(first, agent.model, agent.metadata | {"drilled": 1})
    assert begun_with(first) == pytest.approx(deviation(agent.model))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["missing.safetensors"], "missing.safetensors"),
        (["saved_models/CartPole-v1.safetensors"], "CartPole-v1"),
        ([str(AGENT), "--rounds", "0"], "--rounds 0 is not possible: give 1 or more."),
        ([str(AGENT), "--noops", "-1"], "--noops -1 is not possible: give 0 or more."),
        ([str(AGENT), "--noops", "128"], "--noops 128 is not possible: give 127 at most."),
        ([str(AGENT), "--seed", str(2**32)], "is not possible: give 4294967295 at most."),
        ([str(AGENT), "--learning-rate", "0"], "--learning-rate 0.0 is not possible"),
        ([str(AGENT), "--margin", "nan"], "--margin nan is not possible"),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path, capsys, words, complaint) -> None:
    assert main([words[0], str(tmp_path / "drilled.safetensors"), *words[1:]]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "drilled.safetensors").exists()


def _evaluated(rate: float) -> Evaluation:
    """Return an evaluation in which so many of ten drawn episodes finish, and the greedy one."""
    episodes = [
        Episode(0.0, 1, {"max_x": 0.0, "completed": float(n < 10 * rate)}) for n in range(10)
    ]
    return Evaluation(
        0, Episode(0.0, 1, {"max_x": 0.0, "completed": 1.0}), episodes, 0.0, good=False
    )


@needs_native
def test_only_what_is_better_than_all_before_is_saved(tmp_path, monkeypatch) -> None:
    """Before, made certain, and after three rounds: 60, 50, 80, 70 and 70%."""
    rates = iter([0.6, 0.5, 0.8, 0.7, 0.7])
    target = tmp_path / "drilled.safetensors"
    kept = Drill(AGENT, DrillOptions(AGENT, target, rounds=3), print)
    saved = []
    monkeypatch.setattr(kept, "_evaluation", lambda: _evaluated(next(rates)))
    monkeypatch.setattr(kept, "play", lambda _: [_Failed()])
    monkeypatch.setattr(kept, "_ways", lambda _: [])

    def learn(_: object) -> None:
        with torch.no_grad():
            kept.model.get_parameter("policy.bias").add_(1.0)
        saved.append(target.exists())

    monkeypatch.setattr(kept, "_learn", learn)
    before = kept.model.get_parameter("policy.bias").clone()
    assert not kept.run(target)
    assert saved == [False, True, True]  # not yet when it was made certain
    told = load_agent(target).metadata
    assert (told["drilled"], told["evaluation"]["completion_rate"]) == (1, 0.8)
    # In the end the network is the one that was saved: of the first round.
    after = kept.model.get_parameter("policy.bias")
    assert torch.allclose(after, before * 8 + 1, atol=0.05)
    assert torch.equal(after, load_agent(target).model.get_parameter("policy.bias"))


class _Failed:
    completed = False


@needs_native
def test_an_agent_that_tells_nothing_of_its_training_is_refused(tmp_path, capsys) -> None:
    agent = load_agent(AGENT)
    path = tmp_path / "silent.safetensors"
    told = {name: value for name, value in agent.metadata.items() if name != "steps"}
    save_agent(path, agent.model, told)
    assert main([str(path), str(tmp_path / "drilled.safetensors")]) == 2
    assert "silent.safetensors does not say what its training took" in capsys.readouterr().err
