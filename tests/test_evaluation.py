"""What an evaluation writes down of the run that it belongs to."""

from types import SimpleNamespace

import torch

from mario_a3c.checkpoint import load_agent
from mario_a3c.evaluate import evaluate
from mario_a3c.trainer import Trainer
from tests.alone import spec_of, task_config

EARLIER = 1000.0


def test_an_agents_training_time_counts_what_came_before_a_resume(tmp_path):
    config = task_config("CartPole-v1", eval_episodes=1, max_episode_length=5)
    trainer = Trainer(config, spec_of(config), tmp_path)
    trainer.seconds = EARLIER

    def stop(_report: object) -> None:
        trainer.shared.stop[0] = 1

    arguments = (*trainer._evaluation_arguments(), SimpleNamespace(send=stop))
    threads = torch.get_num_threads()
    try:
        evaluate(*arguments)
    finally:
        torch.set_num_threads(threads)
    seconds = load_agent(tmp_path / "best.safetensors").metadata["seconds"]
    assert EARLIER <= seconds < EARLIER + 100
