"""What an evaluation writes down of the run that it belongs to."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mario_a3c.checkpoint import load_agent, score_of
from mario_a3c.learning.flat import FlatParameters
from mario_a3c.learning.model import ActorCritic
from mario_a3c.learning.rollout import Episode
from mario_a3c.training.ancestry import ancestors_of_its_children
from mario_a3c.training.best import BestAgent, SoFar
from mario_a3c.training.evaluate import Evaluator, evaluate
from mario_a3c.training.evaluation import Evaluation
from mario_a3c.training.shared import FINISH, FINISH_AND_LOOK, UPDATES
from mario_a3c.training.trainer import Trainer
from tests.alone import spec_of, task_config
from tests.runs import busy

EARLIER = 1000.0


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Leave other tests the threads that an evaluation does without."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def best_agent(
    folder: Path, *, evaluations: int = 1, start: Path | None = None, **settings: Any
) -> dict[str, Any]:
    """Evaluate a fresh network, or an agent to start from; return what is told of the best."""
    config = task_config("CartPole-v1", eval_episodes=1, max_episode_length=5, **settings)
    trainer = Trainer(config, spec_of(config), folder)
    trainer.seconds = EARLIER
    if start is not None:
        trainer.start_from(load_agent(start))
    trainer.earlier = [{"steps": 5, "settings": {"gamma": 0.5}}]

    reports: list[object] = []

    def take(report: object) -> None:
        reports.append(report)
        trainer.shared.stop[0] = len(reports) == evaluations

    arguments = (*trainer._evaluation_arguments(), SimpleNamespace(send=take))
    evaluate(*arguments)
    return load_agent(folder / "best.safetensors").metadata


def test_an_agents_training_time_counts_what_came_before_a_resume(tmp_path):
    assert EARLIER <= best_agent(tmp_path)["seconds"] < EARLIER + 100


def test_an_evaluation_that_stood_still_rests_no_longer_for_it(tmp_path, monkeypatch):
    stood_still = 2.0
    play = Evaluator.play

    def slowly(evaluator: Evaluator, steps: int, model: ActorCritic | None = None) -> Evaluation:
        Event().wait(stood_still)
        return replace(play(evaluator, steps, model), seconds=stood_still)

    monkeypatch.setattr(Evaluator, "play", slowly)
    begun = time.monotonic()
    best_agent(tmp_path, evaluations=2, eval_interval=0.1)
    assert time.monotonic() - begun < 5 * stood_still * busy()


def test_a_best_agent_that_nobody_was_told_of_is_not_replaced_by_a_worse_one(tmp_path):
    best_agent(tmp_path)
    config = task_config("CartPole-v1")
    saved = score_of(tmp_path / "best.safetensors")
    trainer = Trainer(config, spec_of(config), tmp_path)
    *_, so_far = trainer._evaluation_arguments()
    assert so_far.best_score == saved


def test_an_agent_tells_the_settings_of_earlier_times(tmp_path):
    assert best_agent(tmp_path)["earlier"] == [{"steps": 5, "settings": {"gamma": 0.5}}]


def test_an_agent_tells_of_the_runs_that_made_what_it_was_started_from(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    before = best_agent(first)
    told = best_agent(second, start=first / "best.safetensors")["ancestors"]
    assert [(one["steps"], one["config"]) for one in told] == [(0, before["config"])]
    third = ancestors_of_its_children({**before, "ancestors": told})
    assert third == [*told, {name: before[name] for name in third[-1]}]


@pytest.mark.parametrize("nonsense", [{"seconds": "x"}, {"ancestors": 7}, {"ancestors": [{}]}])
def test_of_an_agent_that_tells_nonsense_of_its_training_nothing_is_carried_along(
    tmp_path, nonsense
):
    assert ancestors_of_its_children(best_agent(tmp_path) | nonsense) == []


def test_a_resumed_run_still_tells_its_ancestors(tmp_path):
    config = task_config("CartPole-v1")
    saved = Trainer(config, spec_of(config), tmp_path)
    saved.ancestors = [{"task": "x", "steps": 1, "seconds": 1.0, "config": {}}]
    saved.save()
    resumed = Trainer(config, spec_of(config), tmp_path)
    resumed.restore()
    assert resumed.ancestors == saved.ancestors


def test_an_agent_tells_its_settings_but_nothing_of_the_machine_it_was_trained_on(tmp_path):
    places: dict[str, Any] = {
        "log_path": "/here/logs",
        "saved_path": "/here/agents",
        "resume": "/here/logs/run",
    }
    config = best_agent(tmp_path, seed=7, load_from="/here/other.safetensors", **places)["config"]
    assert (config["env_name"], config["seed"]) == ("CartPole-v1", 7)
    assert config["load_from"] == "other.safetensors"
    assert not any("here" in value for value in config.values() if isinstance(value, str))


@pytest.mark.parametrize(("stop", "evaluations"), [(FINISH, 0), (FINISH_AND_LOOK, 1)])
def test_the_evaluation_of_a_run_that_is_over_looks_once_more_if_it_is_asked_to(
    tmp_path, stop, evaluations
):
    config = task_config("CartPole-v1", eval_episodes=1, max_episode_length=5)
    trainer = Trainer(config, spec_of(config), tmp_path)
    trainer.shared.stop[0] = stop
    reports: list[object] = []
    arguments = (*trainer._evaluation_arguments(), SimpleNamespace(send=reports.append))
    evaluate(*arguments)
    assert len(reports) == evaluations


@pytest.mark.parametrize(("share", "looks"), [(0.0, 2), (0.125, 1)])
def test_what_is_learned_during_the_last_look_is_looked_at_unless_it_changes_nothing(
    tmp_path, monkeypatch, share, looks
):
    """A worker counts a rollout's steps before it learns from them; a mean counts by steps."""
    config = task_config("CartPole-v1", eval_episodes=1, max_episode_length=5, average_share=share)
    trainer = Trainer(config, spec_of(config), tmp_path)
    shared, play = trainer.shared, Evaluator.play
    shared.stop[0] = FINISH_AND_LOOK
    shared.weights.fill_(0.0)

    def play_while_others_learn(evaluator: Evaluator, steps: int) -> Evaluation:
        evaluation = play(evaluator, steps)
        if not shared.updates:
            shared.weights.fill_(0.5)
            shared.counters[0, UPDATES] = 3
        return evaluation

    monkeypatch.setattr(Evaluator, "play", play_while_others_learn)
    reports: list[object] = []
    arguments = (*trainer._evaluation_arguments(), SimpleNamespace(send=reports.append))
    evaluate(*arguments)
    assert len(reports) == looks
    kept = load_agent(tmp_path / "best.safetensors").model
    assert FlatParameters(kept).values.unique().tolist() == [0.5 if looks == 2 else 0.0]


def kept_of(monkeypatch, folder: Path, finished: list[int], evaluations: int) -> tuple[float, int]:
    """Return what the agent that is kept has finished, and which time of playing it began with.

    Args:
        monkeypatch: of the test.
        folder: of the run.
        finished: of ten episodes, each time that somebody plays; all are used up.
        evaluations: how many there are.
    """
    times = enumerate(finished)

    def play(_evaluator: Evaluator, _steps: int, _model: object = None) -> Evaluation:
        time, number = next(times)
        sampled = [episode(completed=index < number) for index in range(10)]
        return Evaluation(time, episode(completed=True), sampled, 0.0, good=False)

    monkeypatch.setattr(Evaluator, "play", play)
    best = best_agent(folder, evaluations=evaluations, eval_interval=0.001)["evaluation"]
    assert next(times, None) is None
    return best["completion_rate"], best["steps"]


def test_ten_lucky_episodes_keep_no_better_agent_out_and_of_equals_the_newer_stays(
    tmp_path, monkeypatch
):
    # Lucky at first; then steadily better, twice; then worse, against which the best plays again.
    finished = [10, 4, 8, 8, 8, 8, 6, 8]
    assert kept_of(monkeypatch, tmp_path, finished, evaluations=4) == (0.8, 4)


def test_a_best_agent_that_was_lucky_twice_is_found_out_by_playing_on(tmp_path, monkeypatch):
    # Against the 7 it finishes only 4 more, and against the next one only 1, which makes 25 of 40.
    finished = [10, 10, 7, 4, 7, 1, 7]
    assert kept_of(monkeypatch, tmp_path, finished, evaluations=3) == (0.7, 4)


def test_a_best_agent_that_has_played_enough_plays_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr("mario_a3c.training.best.ENOUGH", 30)
    finished = [10, 8, 1, 9, 1, 1]
    assert kept_of(monkeypatch, tmp_path, finished, evaluations=4) == (0.9, 0)


def test_a_best_agent_plays_again_with_the_weights_it_was_kept_with(tmp_path):
    config = task_config("CartPole-v1")
    best = BestAgent(tmp_path, config, SoFar(float("-inf"), 0.0, [], []))
    model = ActorCritic(spec_of(config))
    sampled = [episode(completed=True)]
    best.keep(Evaluation(1, episode(completed=True), sampled, 0.0, good=False), model)
    weights = [value.clone() for value in model.parameters()]
    for value in model.parameters():
        torch.nn.init.zeros_(value)  # training goes on
    played: list[ActorCritic] = []

    def play_again(evaluation: Evaluation, again: ActorCritic) -> Evaluation:
        played.append(again)
        return evaluation

    worse = Evaluation(2, episode(completed=False), [episode(completed=False)], 0.0, good=False)
    best.judge(worse, SimpleNamespace(play_again=play_again))  # type: ignore[arg-type]
    assert all(map(torch.equal, played[0].parameters(), weights))


def test_whether_an_evaluation_was_good_is_not_said_anew_when_it_is_played_again(monkeypatch):
    first = Evaluation(7, episode(completed=True), [episode(completed=True)], 1.0, good=True)
    second = Evaluation(7, episode(completed=True), [episode(completed=False)], 2.0, good=False)
    config = task_config("CartPole-v1", eval_episodes=1)
    evaluator = Evaluator(config, spec_of(config), seed=1)
    monkeypatch.setattr(evaluator, "play", lambda _steps, _model: second)
    both = evaluator.play_again(first)
    assert (both.good, both.completion_rate, both.seconds) == (True, 0.5, 3.0)


def test_an_agent_that_hardly_fails_is_better_than_one_that_knows_a_single_sequence():
    def score(greedy: bool, finished: int) -> float:
        sampled = [episode(completed=index < finished) for index in range(10)]
        return Evaluation(1, episode(completed=greedy), sampled, 0.0, good=False).score

    assert score(greedy=False, finished=8) > score(greedy=True, finished=7)
    assert score(greedy=True, finished=1) > score(greedy=False, finished=7)
    assert score(greedy=True, finished=9) > score(greedy=False, finished=8)


def episode(completed: bool) -> Episode:
    return Episode(1.0, 1, {"max_x": 1.0, "completed": float(completed)})
