"""Learning on a GPU: the same gradients as on the CPU, and a task that is learned there."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mario_a3c.learning.imitation import Imitated
from mario_a3c.learning.rollout import RolloutCollector
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.training.learner import Learner
from mario_a3c.training.link import MemoryLink
from tests.alone import mean_score, task_config, train_alone
from tests.runs import TrainRun
from tests.small import (
    CPU,
    GAMES,
    SPEC,
    ScriptedGames,
    changed,
    collected,
    small_config,
    small_shared,
)

pytestmark = pytest.mark.gpu
CUDA = torch.device("cuda")
NEAR = 1e-4
"""How far a gradient may be from that of the CPU, as a part of its length."""


@pytest.fixture
def full_precision() -> Iterator[None]:
    """Let convolutions multiply in float32, instead of the TF32 that they are given on GPUs."""
    before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    yield
    torch.backends.cudnn.allow_tf32 = before


def learner_on(device: torch.device, spec: ModelSpec) -> Learner:
    config = small_config(device=device.type, lstm_size=spec.lstm_size)
    return Learner(config, spec, MemoryLink(config, small_shared(config, spec), 0), device, 1)


def distance(gradient: Tensor, reference: Tensor) -> float:
    """Return how far a gradient is from another one, as a part of that one's length."""
    return float((gradient.cpu() - reference).norm() / reference.norm())


@pytest.mark.usefixtures("full_precision")
@pytest.mark.parametrize(
    "changes", [{}, {"lstm_size": 0}, {"network": "reference"}, {"separate": True}], ids=str
)
def test_a_gradient_on_the_gpu_is_that_of_the_cpu(changes):
    spec = dataclasses.replace(SPEC, **changes)
    near, far = learner_on(CPU, spec), learner_on(CUDA, spec)
    assert far.model.value.weight.is_cuda
    batch = collected(near)
    ways = Imitated(
        torch.randint(0, 256, (4, 3, *spec.observation_shape), dtype=torch.uint8),
        torch.randint(0, spec.num_actions, (4, 3)),
        torch.ones(4, 3),
        tuple(torch.randn(3, spec.lstm_size) for _ in near.model.initial_state(3)),
    )
    here = near.gradient(batch, ways, 0.5)
    there = far.gradient(changed(batch, Tensor.cuda), changed(ways, Tensor.cuda), 0.5)
    assert float(there.total) == pytest.approx(float(here.total), rel=NEAR)
    assert distance(far.flat.gradients, near.flat.gradients) < NEAR


@pytest.mark.usefixtures("full_precision")
def test_an_update_on_the_gpu_moves_the_shared_weights_as_one_on_the_cpu_does():
    learners = {device: learner_on(device, SPEC) for device in (CPU, CUDA)}
    begun = learners[CPU].shared.weights.clone()
    batch = collected(learners[CPU])
    learners[CUDA].update(changed(batch, Tensor.cuda))
    learners[CPU].update(batch)
    changes = {device: learner.shared.weights - begun for device, learner in learners.items()}
    assert changes[CUDA].device == CPU
    # Adam's first step only looks at signs, which rounding turns where a gradient is near 0.
    assert distance(changes[CUDA], changes[CPU]) < 0.1


def test_a_rollout_played_on_the_gpu_is_whole():
    learner = learner_on(CUDA, SPEC)
    collector = RolloutCollector(ScriptedGames(GAMES, reward=1.0), learner.model, 8, 4, CUDA)
    batch, episodes = collector.collect(0.9, 0.95)
    assert batch.observations.is_cuda
    assert [episode.length for episode in episodes] == [3, 5]
    with torch.no_grad():
        distribution, values, _ = learner.model(batch.observations, batch.state, batch.resets)
    torch.testing.assert_close(values, batch.values, rtol=1e-2, atol=1e-2)
    log_probs = distribution.log_prob(batch.actions)
    torch.testing.assert_close(log_probs, batch.log_probs, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(("task", "least"), [("CartPole-v1", 120), ("Pendulum-v1", -1_150)])
def test_a_task_is_learned_on_the_gpu(tmp_path, task, least):
    config = task_config(task, num_global_steps=30_000, device="cuda", normalize_rewards=True)
    model, _ = train_alone(config, tmp_path)
    assert mean_score(config, model, episodes=50) >= least  # chance is 22 and -1,200


def test_a_run_on_the_gpu_goes_on_on_the_cpu(tmp_path: Path):
    stage = ["--world", "1", "--stage", "1", "--num-processes", "2", "--precision", "bfloat16"]
    of_device = {"cuda": (stage, 2_000), "cpu": (["--resume", str(tmp_path / "run")], 4_000)}
    for device, (words, steps) in of_device.items():
        words = [*words, "--device", device, "--num-global-steps", str(steps)]
        run = TrainRun(tmp_path, *words, game="")
        try:
            run.end()
        finally:
            run.clear()
        assert run.process.returncode == 0, run.output
        assert json.loads((run.folder / "config.json").read_text("utf-8"))["device"] == device
        assert run.status()["steps"] >= steps
