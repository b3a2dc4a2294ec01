"""The benchmark of tasks that are not Mario: what it measures, and the tables it writes."""

import json

import pytest
import torch

from mario_a3c.benchmark import __main__ as benchmark
from mario_a3c.benchmark.tasks import TASK_EPISODES, measure_task, seeds_table, tasks_table
from mario_a3c.checkpoint import save_agent
from mario_a3c.config import RunConfig
from mario_a3c.learning.model import ActorCritic
from mario_a3c.learning.spec import ModelSpec

TRAININGS = """task,preset,options,workers,seed,solved,score,deviation,steps,seconds,cpu_seconds
Acrobot-v1,Acrobot-v1,,2,1,yes,-80.5,10.25,120000,60,45
CartPole-v1,CartPole-v1,,2,2,no,300.0,50.0,5000,20,30
CartPole-v1,CartPole-v1,--lr 0.1,1,1,yes,500.0,0.0,1000,10,15
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


def test_the_pages_are_written_from_what_was_measured(saved_models, tmp_path):
    readme = tmp_path / "README.md"
    tables = [
        f"<!-- table:{name} -->old<!-- end of table:{name} -->" for name in ("agents", "tasks")
    ]
    readme.write_text(f"before {' between '.join(tables)} after")
    (tmp_path / "trainings.csv").write_text(TRAININGS)
    arguments = ["--saved-models", str(saved_models), "--readme", str(readme)]
    for option in ("results.json", "page.md", "trainings.csv"):
        arguments += [f"--{option.partition('.')[0]}", str(tmp_path / option)]
    assert benchmark.main(arguments) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    row = f"| CartPole-v1 | 475 | {results['CartPole-v1']['score']:.2f} ±"
    page = (tmp_path / "page.md").read_text()
    assert row in page
    assert f"over {TASK_EPISODES} episodes" in page
    assert "| Acrobot-v1 | 1 | yes | -80.50 ± 10.25 | 120,000 | 60 s | 45 s | 2 |" in page
    written = readme.read_text()
    assert row in written
    assert " between <!-- table:tasks -->\n|" in written
    assert "old" not in written


def test_every_training_is_told_in_the_order_of_tasks_workers_and_seeds(tmp_path):
    path = tmp_path / "trainings.csv"
    path.write_text(TRAININGS)
    rows = [line.split(" | ")[:3] for line in seeds_table(path).splitlines()[2:]]
    assert rows == [
        ["| CartPole-v1 (--lr 0.1)", "1", "yes"],
        ["| CartPole-v1", "2", "no"],
        ["| Acrobot-v1", "1", "yes"],
    ]


def test_marios_agents_have_a_table_of_their_own():
    assert len(tasks_table({"mario-1-1": {"score": 1.0}}).splitlines()) == 2
