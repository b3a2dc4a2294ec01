"""What an evaluation writes down of the run that it belongs to."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from mario_a3c.checkpoint import load_agent, score_of
from mario_a3c.training.evaluate import evaluate
from mario_a3c.training.trainer import Trainer
from tests.alone import spec_of, task_config

EARLIER = 1000.0


def best_agent(folder: Path, **settings: Any) -> dict[str, Any]:
    """Evaluate a fresh network once and return what is written down of it."""
    config = task_config("CartPole-v1", eval_episodes=1, max_episode_length=5, **settings)
    trainer = Trainer(config, spec_of(config), folder)
    trainer.seconds = EARLIER
    trainer.earlier = [{"steps": 5, "settings": {"gamma": 0.5}}]

    def stop(_report: object) -> None:
        trainer.shared.stop[0] = 1

    arguments = (*trainer._evaluation_arguments(), SimpleNamespace(send=stop))
    threads = torch.get_num_threads()
    try:
        evaluate(*arguments)
    finally:
        torch.set_num_threads(threads)
    return load_agent(folder / "best.safetensors").metadata


def test_an_agents_training_time_counts_what_came_before_a_resume(tmp_path):
    assert EARLIER <= best_agent(tmp_path)["seconds"] < EARLIER + 100


def test_a_best_agent_that_nobody_was_told_of_is_not_replaced_by_a_worse_one(tmp_path):
    best_agent(tmp_path)
    config = task_config("CartPole-v1")
    saved = score_of(tmp_path / "best.safetensors")
    trainer = Trainer(config, spec_of(config), tmp_path)
    assert trainer.best_score < saved
    *_, so_far = trainer._evaluation_arguments()
    assert so_far.best_score == trainer.best_score == saved


def test_an_agent_tells_the_settings_of_earlier_times(tmp_path):
    assert best_agent(tmp_path)["earlier"] == [{"steps": 5, "settings": {"gamma": 0.5}}]


def test_an_agent_tells_its_settings_but_nothing_of_the_machine_it_was_trained_on(tmp_path):
    places = {"log_path": "/here/logs", "saved_path": "/here/agents", "resume": "/here/logs/run"}
    config = best_agent(tmp_path, seed=7, load_from="/here/other.safetensors", **places)["config"]
    assert (config["env_name"], config["seed"]) == ("CartPole-v1", 7)
    assert config["load_from"] == "other.safetensors"
    assert not any("here" in value for value in config.values() if isinstance(value, str))
