"""What a run leaves for TensorBoard."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mario_a3c.learning.model import ActorCritic
from mario_a3c.learning.rollout import Episode
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.monitoring.monitor import Monitor, averages
from mario_a3c.training.evaluation import Evaluation
from mario_a3c.training.worker import WorkerReport


def episode(x: float, completed: float = 0.0, began_elsewhere: float = 0.0) -> Episode:
    figures = {"max_x": x, "completed": completed, "began_elsewhere": began_elsewhere}
    return Episode(score=x / 100, length=100, figures=figures)


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_the_network_is_shown_as_a_graph(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, 0)
    monitor.add_graph(ActorCritic(ModelSpec((4, 84, 84), 7)))
    monitor.close()
    names = [node.name for node in read(tmp_path).Graph().node]
    assert any("ConvEncoder" in name for name in names)
    assert any("ResettingLSTM" in name for name in names)


def test_the_figures_of_workers_and_evaluations_become_curves(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, 0)
    monitor._since = (monitor._since[0] - 10.0, 0)
    monitor.take(WorkerReport(0, [episode(500), episode(700)], {"entropy": 1.5, "frames": 400.0}))
    monitor.take(WorkerReport(1, [], {"entropy": 0.5, "frames": 600.0}))
    monitor.write(1000, 20)
    monitor.take_evaluation(Evaluation(900, episode(3161, 1.0), [episode(900)], 2.0, False))
    monitor.close()
    events = read(tmp_path)

    def value(tag: str) -> float:
        return float(events.Scalars(tag)[-1].value)

    assert value("train/entropy") == pytest.approx(1.0)
    assert value("episode/max_x") == pytest.approx(600)
    assert value("speed/agent_steps_per_second") == pytest.approx(100, rel=0.1)
    assert value("speed/emulator_frames_per_second") == pytest.approx(100, rel=0.1)
    assert value("evaluation_greedy/completed") == 1.0
    assert value("evaluation_sampled/max_x") == 900


def test_episodes_that_began_elsewhere_do_not_count_for_the_best_x(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, 0)
    monitor.take(WorkerReport(0, [episode(500), episode(3161, began_elsewhere=1.0)], {}))
    monitor.close()
    assert monitor.furthest == 500


def test_episodes_that_began_elsewhere_do_not_count_in_the_averages() -> None:
    assert averages([episode(500), episode(3161, 1.0, began_elsewhere=1.0)])["max_x"] == 500
    assert averages([]) == {}


def test_an_evaluation_says_which_episodes_were_greedy() -> None:
    pole, finished = Episode(100.0, 100, {}), episode(3161, 1.0)
    for greedy, words in ((False, "greedy 100.0, sampled 50.0"), (True, "greedy 50.0")):
        others = [Episode(50.0, 50, {})] * 10
        assert Evaluation(0, pole, others, 1.0, False, all_greedy=greedy).summary() == words
    told = Evaluation(0, finished, [finished], 1.0, True, all_greedy=True).summary()
    assert told == "greedy finished, others greedily 100% finished"


def test_half_of_a_score_is_finishing_greedily_or_in_most_sampled_episodes() -> None:
    failed, finished = episode(3000), episode(3161, 1.0)
    greedy = Evaluation(0, finished, [failed] * 10, 1.0, False)
    sampled = Evaluation(0, failed, [finished] * 10, 1.0, False)
    half = Evaluation(0, failed, [finished] * 5 + [failed] * 5, 1.0, False)
    assert sampled.score == pytest.approx(2 * greedy.score, rel=0.3)
    assert half.score == pytest.approx(greedy.score, rel=0.4)
    assert sampled.score > greedy.score > half.score
