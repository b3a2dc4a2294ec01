"""The benchmark of tasks that are not Mario: what it measures, and the tables it writes."""

import json

import pytest
import torch

from mario_a3c.benchmark import __main__ as benchmark
from mario_a3c.benchmark.tasks import (
    GOALS,
    SEED_OF_SCORES,
    TASK_EPISODES,
    TASK_SEED,
    measure_task,
    seeds_table,
    tasks_table,
)
from mario_a3c.checkpoint import save_agent
from mario_a3c.config import RunConfig
from mario_a3c.learning.model import ActorCritic
from mario_a3c.learning.spec import ModelSpec

TRAININGS = """\
task,options,workers,seed,solved,score,deviation,steps,best_seconds,seconds,cpu_seconds
Acrobot-v1,,2,1,yes,-80.5,10.25,120000,50,60,45
CartPole-v1,,2,2,no,300.0,50.0,5000,15,20,30
CartPole-v1,--lr 0.1,1,1,yes,500.0,0.0,1000,5,10,15
"""


@pytest.fixture
def saved_models(tmp_path):
    """A folder with an agent for CartPole that has learned nothing."""
    folder = tmp_path / "agents"
    torch.manual_seed(0)
    model = ActorCritic(ModelSpec((4,), 2, lstm_size=0, hidden=(8,)))
    config = RunConfig(env_name="CartPole-v1", recurrent=False, hidden=(8,), seed=7)
    metadata = {"task": config.task, "config": config.to_dict(), "steps": 1234, "seconds": 90.0}
    folder.mkdir()
    save_agent(folder / "CartPole-v1.safetensors", model, metadata)
    return folder


def test_an_agent_is_measured_beside_the_random_baseline(saved_models):
    figures = measure_task(saved_models / "CartPole-v1.safetensors")
    assert 8 <= figures["score"] < 12  # it always leans to one side
    assert 15 < figures["random"] < 30
    assert (figures["steps"], figures["seconds"], figures["seed"]) == (1234, 90.0, 7)


@pytest.fixture
def arguments(tmp_path):
    """The options of a benchmark that writes into a folder of its own."""
    readme = tmp_path / "README.md"
    tables = [
        f"<!-- table:{name} -->old<!-- end of table:{name} -->" for name in ("agents", "tasks")
    ]
    readme.write_text(f"before {' between '.join(tables)} after")
    (tmp_path / "trainings.csv").write_text(TRAININGS)
    words = ["--saved-models", str(tmp_path / "agents"), "--readme", str(readme)]
    for option in ("results.json", "page.md", "trainings.csv"):
        words += [f"--{option.partition('.')[0]}", str(tmp_path / option)]
    return words


def test_the_pages_are_written_from_what_was_measured(saved_models, arguments, tmp_path):
    readme = tmp_path / "README.md"
    assert benchmark.main(arguments) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    row = f"| CartPole-v1 | 475 | 2 min | {results['CartPole-v1']['score']:.2f} ±"
    page = (tmp_path / "page.md").read_text()
    assert row in page
    assert f"over {TASK_EPISODES} episodes" in page
    for seed in (TASK_SEED, SEED_OF_SCORES):
        assert f"16 games side by side with the seeds {seed} to {seed + 15}" in page
    assert (
        "| Acrobot-v1 | 1 | -80.50 ± 10.25 | 50 s | yes | yes | 120,000 | 60 s | 45 s | 2 |" in page
    )
    written = readme.read_text()
    assert row in written
    assert " between <!-- table:tasks -->\n|" in written
    assert "old" not in written


def test_the_pages_are_written_again_without_playing(saved_models, arguments, tmp_path):
    figures = figures_of(score=480.0, seconds=60.0)
    old, new = ({**figures, "versions": {"torch": version}} for version in ("0.1", "0.2"))
    before = json.dumps({"CartPole-v1": new, "Gone-v0": old})
    (tmp_path / "results.json").write_text(before)
    assert benchmark.main([*arguments, "--no-measure"]) == 0
    assert (tmp_path / "results.json").read_text() == before
    for page in ("page.md", "README.md"):
        text = (tmp_path / page).read_text()
        assert "| CartPole-v1 | 475 | 2 min | 480.00 ± 1.50 |" in text
        assert "| Gone-v0 | - | - | 480.00 ± 1.50 |" in text
    told = (tmp_path / "page.md").read_text()
    assert "measured: torch 0.1 and 0.2." in told  # and not what is installed now


def test_without_results_there_is_nothing_to_write(arguments, tmp_path, capsys):
    assert benchmark.main([*arguments, "--no-measure"]) == 2
    told = capsys.readouterr().err
    assert told == f"There is no {tmp_path / 'results.json'} to write pages from.\n"
    assert not (tmp_path / "page.md").exists()


def figures_of(score, seconds):
    """Figures of an agent, as they stand in the results."""
    return {
        "score": score,
        "deviation": 1.5,
        "random": 20.0,
        "random_deviation": 2.0,
        "steps": 1000,
        "seconds": seconds,
        "seed": 1,
        "means": "reuse",
    }


@pytest.mark.parametrize(
    ("score", "seconds", "reached"),
    [(475.0, 120.0, "yes"), (474.9, 60.0, "no"), (500.0, 121.0, "no")],
)
def test_a_goal_is_reached_by_its_score_within_its_time(score, seconds, reached):
    row = tasks_table({"CartPole-v1": figures_of(score, seconds)}).splitlines()[2]
    assert row.split(" | ")[7] == reached


def test_the_goals_are_those_of_the_project():
    assert {task: (goal.score, goal.minutes) for task, goal in GOALS.items()} == {
        "CartPole-v1": (475, 2),
        "Acrobot-v1": (-100, 5),
        "LunarLander-v3": (200, 20),
        "Pendulum-v1": (-200, 10),
        "Pendulum-v1-hide-2": (-300, 20),
        "MountainCarContinuous-v0": (90, 10),
        "Reacher-v5": (-6, 20),
        "PongDeterministic-v4": (20, 45),
    }


def test_every_training_is_told_in_the_order_of_tasks_workers_and_seeds(tmp_path):
    path = tmp_path / "trainings.csv"
    path.write_text(TRAININGS)
    rows = [line.split(" | ") for line in seeds_table(path).splitlines()[2:]]
    assert [[row[0], row[1], row[4]] for row in rows] == [
        ["| CartPole-v1 (--lr 0.1)", "1", "yes"],
        ["| CartPole-v1", "2", "no"],
        ["| Acrobot-v1", "1", "yes"],
    ]


def test_marios_agents_have_a_table_of_their_own():
    assert len(tasks_table({"mario-1-1": {"score": 1.0}}).splitlines()) == 2
