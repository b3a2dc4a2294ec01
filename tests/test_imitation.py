"""Found ways become samples, as the environment would show them, and are made likelier."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mario_a3c.config import ConfigError, RunConfig
from mario_a3c.envs.demonstrations import NO_ACTION, Demonstration, demonstration
from mario_a3c.envs.engines import make_engine
from mario_a3c.envs.mario import MarioVectorEnv
from mario_a3c.envs.traces import Trace
from mario_a3c.learning.imitation import Imitation
from mario_a3c.learning.loss import imitation_loss
from mario_a3c.learning.model import ActorCritic
from mario_a3c.training.preparation import prepare
from tests.small import CPU, SHAPE, SPEC

RIGHT_RUN, DUCK = 0x82, 0x20


def _way(length: int, seed: int) -> Demonstration:
    rng = np.random.default_rng(seed)
    return Demonstration(
        rng.integers(0, 256, (length, *SHAPE), dtype=np.uint8),
        rng.integers(0, 3, length),
    )


def test_a_demonstration_is_what_the_environment_shows() -> None:
    env = MarioVectorEnv(1, 1, 1, action_set="simple", engine="native", noop_max=0)
    observation, _ = env.reset(seed=1)
    run = 3  # right + B
    seen = []
    for _ in range(20):
        seen.append(observation[0])
        observation, *_ = env.step(np.array([run]))
    trace = Trace(1, 1, seed=0, noops=0, completed=False, buttons=bytes([RIGHT_RUN] * 80))
    engine = make_engine("native", 1, 1, 1)
    shown = demonstration(engine, trace, "simple")
    np.testing.assert_array_equal(shown.observations, np.stack(seen))
    assert shown.actions.tolist() == [run] * 20


def test_buttons_that_are_no_action_are_seen_but_not_imitated() -> None:
    trace = Trace(1, 1, seed=0, noops=0, completed=False, buttons=bytes([DUCK] * 8 + [0] * 8))
    shown = demonstration(make_engine("native", 1, 1, 1), trace, "simple")
    assert shown.actions.tolist() == [NO_ACTION, NO_ACTION, 0, 0]


def test_recorded_actions_are_made_likelier_where_they_count() -> None:
    log_probs = torch.tensor([-1.0, -2.0, -3.0], requires_grad=True)
    loss = imitation_loss(log_probs, torch.tensor([1.0, 1.0, 0.0]))
    loss.backward()
    assert loss.item() == pytest.approx(1.5)
    assert log_probs.grad is not None
    assert log_probs.grad.tolist() == [-0.5, -0.5, 0.0]
    assert imitation_loss(log_probs, torch.zeros(3)).item() == 0.0


def test_sequences_begin_with_the_state_the_network_has_there() -> None:
    torch.manual_seed(1)
    model = ActorCritic(SPEC)
    ways = [_way(10, 1), _way(7, 2)]
    imitation = Imitation(ways, unroll=4, device=CPU)
    imitation.refresh(model, played=20)
    drawn = [imitation.draw(torch.Generator().manual_seed(seed)) for seed in range(10)]
    lengths = set()
    for sequences in drawn:
        for n in range(sequences.actions.shape[1]):
            first = sequences.observations[0, n].numpy()
            way, at = next(
                (way, t)
                for way in ways
                for t in range(len(way.actions))
                if (way.observations[t] == first).all()
            )
            before = torch.from_numpy(way.observations[:at]).unsqueeze(1)
            state = model.initial_state(1)
            if at:
                with torch.no_grad():
                    _, _, state = model(before, state, torch.zeros((at, 1), dtype=torch.bool))
            for ours, expected in zip(sequences.state, state, strict=True):
                torch.testing.assert_close(ours[n : n + 1], expected)
            inside = min(4, len(way.actions) - at)
            assert sequences.counts[:, n].tolist() == [1.0] * inside + [0.0] * (4 - inside)
            assert sequences.actions[:inside, n].tolist() == way.actions[at : at + inside].tolist()
            lengths.add(inside)
    assert lengths == {4, 3, 2}


def test_as_many_steps_are_imitated_without_a_memory_as_with_one() -> None:
    drawn = []
    for lstm_size, unroll in ((8, 16), (0, 1)):
        model = ActorCritic(replace(SPEC, lstm_size=lstm_size))
        imitation = Imitation([_way(40, 1)], unroll=unroll, device=CPU)
        imitation.refresh(model, played=40)
        drawn.append(imitation.draw(torch.Generator().manual_seed(1)))
    assert [tuple(sequences.actions.shape) for sequences in drawn] == [(16, 4), (1, 64)]
    assert [len(sequences.state) for sequences in drawn] == [2, 0]


def _model_that_does_nothing(lstm_size: int = 8) -> ActorCritic:
    """Return a network whose action 0 is e^10 times as likely as each other one, or nearly."""
    model = ActorCritic(replace(SPEC, lstm_size=lstm_size))
    with torch.no_grad():
        assert isinstance(model.policy, torch.nn.Linear)
        model.policy.bias.copy_(torch.tensor([10.0, 0.0, 0.0]))
    return model


@pytest.mark.parametrize("lstm_size", [8, 0])
@pytest.mark.parametrize(
    ("priority", "share", "tolerance"), [(0.0, 0.48, 0.06), (0.5, 0.965, 0.02), (1.0, 0.999, 0.003)]
)
def test_what_is_not_learned_yet_is_imitated_more_often(
    lstm_size: int, priority: float, share: float, tolerance: float
) -> None:
    known, unknown = np.full(8, 0), np.full(8, 2)
    ways = [
        replace(_way(18, 1), actions=np.concatenate([known, unknown, [NO_ACTION, 0]])),
        replace(_way(8, 2), actions=unknown),
        replace(_way(8, 3), actions=known),
    ]
    imitation = Imitation(ways, 4 if lstm_size else 1, CPU, priority)
    imitation.refresh(_model_that_does_nothing(lstm_size), played=32)
    generator = torch.Generator().manual_seed(1)
    drawn = [imitation.draw(generator) for _ in range(100)]
    actions = torch.cat([sequences.actions.flatten() for sequences in drawn])
    # The losses are at most KNOWN, 0.01, and some 10 nats; the last two steps make a part more.
    assert (actions == 2).float().mean().item() == pytest.approx(share, abs=tolerance)


def test_many_ways_are_gone_through_as_seldom_as_their_steps_are_played() -> None:
    model = _model_that_does_nothing()
    imitation = Imitation([_way(40, 1), _way(40, 2)], unroll=4, device=CPU)

    def second_state() -> Tensor:
        return imitation._states[1][0].clone()

    imitation.refresh(model, played=16)
    fresh = second_state()
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(0.5)
    for _ in range(4):  # enough rollouts, and with 64 steps not enough of those
        imitation.refresh(model, played=16)
    torch.testing.assert_close(second_state(), fresh)
    imitation.refresh(model, played=16)
    assert not torch.equal(second_state(), fresh)
    fresh = second_state()
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(0.5)
    imitation.refresh(model, played=1000)  # enough steps, but not enough rollouts
    torch.testing.assert_close(second_state(), fresh)


def test_a_folder_without_ways_is_refused(tmp_path: Path) -> None:
    logs = str(tmp_path / "logs")
    with pytest.raises(ConfigError, match=r"there is no 1-1\.jsonl in"):
        prepare(RunConfig(start_fraction=0.5, paths=str(tmp_path), log_path=logs))
    (tmp_path / "1-1.jsonl").write_text("nothing\n")
    with pytest.raises(ConfigError, match="Line 1 of"):
        prepare(RunConfig(start_fraction=0.5, paths=str(tmp_path), log_path=logs))
    assert not (tmp_path / "logs").exists()
