"""The live figures of a run."""

from types import SimpleNamespace
from typing import Any, cast

from mario_a3c.config import RunConfig
from mario_a3c.monitoring.display import Display
from mario_a3c.training.preparation import prepare
from mario_a3c.training.shared import STEPS


def test_a_run_that_is_past_its_steps_has_no_time_left(tmp_path):
    config = RunConfig(env_name="CartPole-v1", num_global_steps=10, log_path=str(tmp_path))
    trainer, _ = prepare(config)
    trainer.shared.counters[0, STEPS] = 16  # whole rollouts only
    monitor = SimpleNamespace(
        steps_per_second=2.0, episodes=1, recent=lambda: {}, last_evaluation=None
    )
    figures = Display(trainer, cast(Any, monitor))._figures()
    assert figures["steps"] == "16 of 10"
    assert figures["left"] == "0:00:00 at most"
