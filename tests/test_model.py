"""The network: one game at a time or many at once, in one vector, in less precision."""

import pytest
import torch
from torch import Tensor

from mario_a3c.checkpoint import outline
from mario_a3c.learning.encoders import smallest_picture
from mario_a3c.learning.flat import FlatParameters
from mario_a3c.learning.model import ActorCritic, use_precision
from mario_a3c.learning.spec import ModelSpec
from tests.small import SHAPE, SPEC

STEPS, GAMES = 7, 4


@pytest.fixture
def model() -> ActorCritic:
    torch.manual_seed(1)
    model = ActorCritic(SPEC)
    assert isinstance(model.policy, torch.nn.Linear)
    torch.nn.init.orthogonal_(model.policy.weight)  # it begins too even to tell errors by
    return model


def pictures(steps: int = STEPS, games: int = GAMES) -> Tensor:
    return torch.randint(0, 256, (steps, games, *SHAPE), dtype=torch.uint8)


def random_state(model: ActorCritic) -> tuple[Tensor, ...]:
    return tuple(torch.randn_like(part) for part in model.initial_state(GAMES))


def some_resets() -> Tensor:
    resets = torch.zeros(STEPS, GAMES, dtype=torch.bool)
    resets[0, 0] = resets[3, 1] = resets[STEPS - 1, 2] = resets[2, 0] = resets[3, 0] = True
    return resets


def test_the_batched_forward_equals_playing_each_game_alone_step_by_step(model):
    observations, resets, state = pictures(), some_resets(), random_state(model)
    distribution, values, after = model(observations, state, resets)
    for b in range(GAMES):
        alone = tuple(part[b : b + 1] for part in state)
        for t in range(STEPS):
            if resets[t, b]:
                alone = model.initial_state(1)
            policy, value, alone = model.act(observations[t, b : b + 1], alone)
            torch.testing.assert_close(distribution.logits[t, b], policy.logits[0])
            torch.testing.assert_close(values[t, b], value[0])
        for together, part in zip(after, alone, strict=True):
            torch.testing.assert_close(together[b], part[0])


def test_nothing_of_an_episode_reaches_the_next_one(model):
    observations, resets, state = pictures(), some_resets(), random_state(model)
    _, values, _ = model(observations, state, resets)
    observations[:3, 1] = 255 - observations[:3, 1]  # before the reset of game 1 at step 3
    _, changed, _ = model(observations, state, resets)
    assert not torch.allclose(changed[:3, 1], values[:3, 1])
    torch.testing.assert_close(changed[3:, 1], values[3:, 1])


def test_games_of_a_batch_do_not_see_each_other(model):
    observations, resets, state = pictures(), some_resets(), random_state(model)
    _, values, _ = model(observations, state, resets)
    observations[:, 1] = 255 - observations[:, 1]
    _, changed, _ = model(observations, state, resets)
    others = [0, 2, 3]
    torch.testing.assert_close(changed[:, others], values[:, others])
    assert not torch.allclose(changed[:, 1], values[:, 1])


def test_the_lstm_is_pytorchs_own(model):
    inputs, state = torch.randn(1, GAMES, model.encoder.size), random_state(model)
    outputs, after = model.lstm(inputs, state, torch.zeros(1, GAMES, dtype=torch.bool))
    expected = model.lstm.cell(inputs[0], state)
    torch.testing.assert_close(outputs[0], expected[0])
    torch.testing.assert_close(after, expected)


@pytest.mark.parametrize("network", ["paper", "wide", "reference"])
def test_bfloat16_convolutions_stay_close_to_float32(network):
    torch.manual_seed(1)
    model = ActorCritic(ModelSpec(SHAPE, SPEC.num_actions, network, 32))
    observations, resets = pictures(), some_resets()
    state = model.initial_state(GAMES)
    use_precision(model, "float32")
    exact, exact_values, _ = model(observations, state, resets)
    use_precision(model, "bfloat16")
    close, close_values, after = model(observations, state, resets)
    assert close_values.dtype == after[0].dtype == torch.float32
    assert not torch.equal(close_values, exact_values)
    torch.testing.assert_close(close.probs, exact.probs, atol=0.01, rtol=0)
    torch.testing.assert_close(close_values, exact_values, atol=0.02, rtol=0.05)


@pytest.mark.parametrize(("network", "size"), [("paper", 20), ("wide", 20), ("reference", 1)])
def test_the_smallest_picture_is_the_smallest_that_goes_through(network, size):
    assert smallest_picture(network) == size
    model = ActorCritic(ModelSpec((3, size, size + 1), 2, network, 8))
    _, values, _ = model.act(torch.zeros(2, 3, size, size + 1), model.initial_state(2))
    assert bool(values.isfinite().all())
    if size > 1:
        with pytest.raises(ValueError, match=f"pictures of {size - 1}x{size} are too small"):
            outline(ModelSpec((3, size - 1, size), 2, network, 8))


def test_a_fresh_policy_is_nearly_uniform():
    torch.manual_seed(1)
    model = ActorCritic(SPEC)
    distribution, _, _ = model(pictures(), model.initial_state(GAMES), some_resets())
    assert float(distribution.probs.detach().max()) < 0.4


def test_flattening_a_model_keeps_what_it_computes(model):
    observations, resets, state = pictures(), some_resets(), random_state(model)
    _, before, _ = model(observations, state, resets)
    flat = FlatParameters(model)
    _, after, _ = model(observations, state, resets)
    assert flat.values.numel() == sum(p.numel() for p in model.parameters())
    torch.testing.assert_close(after, before)


def test_writing_the_vector_changes_the_model_and_backward_fills_the_other(model):
    flat = FlatParameters(model)
    _, values, _ = model(pictures(), model.initial_state(GAMES), some_resets())
    values.sum().backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        inside = parameter.grad.data_ptr() - flat.gradients.data_ptr()
        assert 0 <= inside < flat.gradients.nbytes
    assert flat.gradients.any()
    flat.zero_gradients()
    assert all(not parameter.grad.any() for parameter in model.parameters())
    flat.values.fill_(0.25)
    assert all(bool((parameter == 0.25).all()) for parameter in model.parameters())


def test_pulling_makes_two_models_of_one_kind_equal(model):
    source = FlatParameters(model)
    other = ActorCritic(SPEC)
    FlatParameters(other).pull(source.values)
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
