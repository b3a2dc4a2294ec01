"""Losses, and that one pass over a whole rollout is A3C, on the learner's own gradient."""

import dataclasses
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributions import Categorical

from mario_a3c.learning.imitation import Imitated, Imitation
from mario_a3c.learning.loss import a3c_loss, clipped_surrogate, gain_from_random, imitation_loss
from mario_a3c.learning.model import ActorCritic
from mario_a3c.learning.returns import normalized
from mario_a3c.learning.rollout import Batch
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.training.learner import Learner
from mario_a3c.training.link import Link, MemoryLink
from mario_a3c.training.shared import DROPPED, STEPS, UPDATES
from tests.small import CPU, SPEC, changed, collected, small_config, small_shared


def make_learner(**changes: object) -> Learner:
    config = small_config(**changes)
    return Learner(config, SPEC, MemoryLink(config, small_shared(config), 0), CPU, 1)


def pushed_by(learner: Learner) -> Tensor:
    gradient = learner.shared.weights.grad
    assert gradient is not None
    return gradient


def gradient_of(learner: Learner, batch: Batch) -> Tensor:
    learner.gradient(batch)
    return learner.flat.gradients.clone()


def textbook_gradient(learner: Learner, batch: Batch) -> Tensor:
    """Differentiate Mnih et al. 2016, algorithm S3, written out sample by sample."""
    model = ActorCritic(SPEC)
    model.load_state_dict(learner.model.state_dict())
    lstm = model.lstm
    assert lstm is not None
    steps, sequences = batch.actions.shape
    total = torch.zeros(())
    for n in range(sequences):
        state = tuple(part[n : n + 1] for part in batch.state)
        for t in range(steps):
            if batch.resets[t, n]:
                state = model.initial_state(1)
            # PyTorch's own cell: ours works its gradient out by hand.
            state = lstm.cell(model.encoder(batch.observations[t, n : n + 1]), state)
            policy, value = model.policy(state[0]), model.value(state[0])[0]
            assert isinstance(policy, Categorical)
            log_policy = policy.logits[0].log_softmax(0)
            advantage, target = batch.advantages[t, n], batch.returns[t, n]
            entropy = -(log_policy.exp() * log_policy).sum()
            total = total - log_policy[batch.actions[t, n]] * advantage
            total = total + learner.config.value_loss_coef * (target - value[0]) ** 2
            total = total - learner.config.entropy_coef * entropy
    (total / (steps * sequences)).backward()
    return torch.cat([as_flat(p.grad) for p in model.parameters() if p.grad is not None])


def as_flat(gradient: Tensor) -> Tensor:
    return gradient.permute(0, 2, 3, 1).flatten() if gradient.dim() == 4 else gradient.flatten()


def test_one_whole_pass_pushes_the_gradient_of_the_a3c_paper():
    learner = make_learner(sequence_length=0)
    batch = collected(learner)
    torch.testing.assert_close(
        gradient_of(learner, batch), textbook_gradient(learner, batch), rtol=1e-4, atol=1e-6
    )


def test_the_first_gradient_of_reuse_is_that_of_plain_a3c():
    plain, reusing = make_learner(epochs=1), make_learner(epochs=4)
    assert plain.config.is_plain_a3c
    assert not reusing.config.is_plain_a3c
    batch = collected(plain)
    torch.testing.assert_close(
        gradient_of(reusing, batch), gradient_of(plain, batch), rtol=1e-4, atol=1e-6
    )


def test_minibatches_divide_the_gradient_of_the_rollout_among_them():
    learner = make_learner(minibatches=2)
    batch = collected(learner)
    parts = [gradient_of(learner, part) for part in batch.minibatches(2, learner.generator)]
    assert len(parts) == 2
    torch.testing.assert_close(
        (parts[0] + parts[1]) / 2, gradient_of(learner, batch), rtol=1e-4, atol=1e-6
    )


def test_summed_losses_are_the_mean_times_the_number_of_samples():
    mean, summed = make_learner(), make_learner(sum_losses=True)
    batch = collected(mean)
    torch.testing.assert_close(
        gradient_of(summed, batch),
        gradient_of(mean, batch) * batch.actions.numel(),
        rtol=1e-4,
        atol=1e-5,
    )


def test_gradients_do_not_pile_up_over_several_pushes():
    learner = make_learner(learning_rate=1e-9)
    batch = collected(learner)
    pushed = []
    for _ in range(3):
        learner.update(dataclasses.replace(batch))
        pushed.append(pushed_by(learner).clone())
    torch.testing.assert_close(pushed[1], pushed[0])
    torch.testing.assert_close(pushed[2], pushed[0])


def test_a_long_gradient_is_cut_to_the_allowed_norm_and_a_short_one_is_not():
    learner = make_learner(max_grad_norm=1e-3)
    norm = learner.update(collected(learner))["gradient_norm"]
    pushed = pushed_by(learner)
    assert norm > 1e-3
    torch.testing.assert_close(float(pushed.norm()), 1e-3, rtol=1e-4, atol=0)
    learner = make_learner(max_grad_norm=1e6)
    norm = learner.update(collected(learner))["gradient_norm"]
    pushed = pushed_by(learner)
    torch.testing.assert_close(float(pushed.norm()), norm, rtol=1e-4, atol=0)


@pytest.mark.parametrize("shared", [True, False])
def test_moments_are_shared_or_private_as_asked(shared):
    learner = make_learner(shared=shared)
    before = learner.shared.weights.clone()
    learner.update(collected(learner))
    state = learner.shared.optimizer_state
    assert not torch.equal(learner.shared.weights, before)
    assert bool(state["step"] == 1) is shared
    assert bool(state["exp_avg"].any()) is shared
    assert learner.shared.counters[0, UPDATES] == 1
    assert learner.shared.counters[0, DROPPED] == 0


def test_the_clipped_surrogate_gains_nothing_beyond_the_clip_range():
    ratios = torch.tensor([0.5, 0.5, 1.0, 1.5, 1.5])
    advantages = torch.tensor([2.0, -2.0, 2.0, 2.0, -2.0])
    log_probs = ratios.log().requires_grad_()
    losses = clipped_surrogate(log_probs, torch.zeros(5), advantages, 0.2)
    losses.sum().backward()
    torch.testing.assert_close(losses.detach(), torch.tensor([-1.0, 1.6, -2.0, -2.4, 3.0]))
    # d loss / d log pi = -ratio A, and 0 where the ratio left the range the way A wanted it to.
    torch.testing.assert_close(log_probs.grad, torch.tensor([-1.0, 0.0, -2.0, 0.0, 3.0]))


def test_from_a_random_action_only_a_gain_is_learned_however_unlikely_it_was():
    log_probs = torch.tensor([-9.0, -9.0, -0.1], requires_grad=True)
    losses = gain_from_random(log_probs, torch.tensor([2.0, -2.0, 1.0]))
    losses.sum().backward()
    torch.testing.assert_close(losses.detach(), torch.tensor([18.0, 0.0, 0.1]))
    torch.testing.assert_close(log_probs.grad, torch.tensor([-2.0, 0.0, -1.0]))


def test_the_learner_takes_the_gain_of_random_actions_only_and_without_a_limit():
    learner = make_learner(epochs=2)
    batch = collected(learner)
    batch.random = torch.zeros_like(batch.random)
    batch.random[1, 0] = True
    batch.log_probs[1, 0] -= 200.0  # its probability has changed by more than a float can tell
    batch.advantages[1, 0] = -3.0
    without = gradient_of(learner, batch)
    assert without.isfinite().all()
    batch.advantages[1, 0] = -30.0
    assert torch.equal(gradient_of(learner, batch), without), "a loss says nothing of the policy"
    batch.advantages[1, 0] = 3.0
    gained = gradient_of(learner, batch)
    batch.advantages[1, 0] = 6.0
    torch.testing.assert_close(gradient_of(learner, batch) - without, 2 * (gained - without))
    assert not torch.equal(gained, without)
    assert learner.gradient(batch).divergence == pytest.approx(0, abs=1e-6)


def test_random_actions_are_scaled_by_the_policys_own_advantages_and_keep_their_sign():
    advantages = torch.tensor([[1.0, 3.0], [-9.0, 0.5]])
    random = torch.tensor([[False, False], [True, True]])
    deviation = torch.tensor([1.0, 3.0]).std()
    expected = torch.tensor([[-1.0, 1.0], [-9.0, 0.5]]) / deviation
    torch.testing.assert_close(normalized(advantages, random), expected)
    none = torch.zeros_like(random)
    torch.testing.assert_close(
        normalized(advantages, none), (advantages - advantages.mean()) / advantages.std()
    )
    assert normalized(advantages, ~none).isfinite().all()


def test_the_loss_adds_up_policy_critic_and_entropy_with_their_weights():
    losses = a3c_loss(
        torch.tensor([1.0, 3.0]),
        torch.tensor([0.0, 2.0]),
        torch.tensor([2.0, 2.0]),
        torch.tensor([0.5, 1.5]),
        value_loss_coef=0.25,
        entropy_coef=0.1,
    )
    assert [float(part) for part in losses[:4]] == pytest.approx(
        [2 + 0.25 * 2 - 0.1, 2.0, 2.0, 1.0]
    )


def test_what_is_mastered_is_imitated_no_more():
    learner = make_learner()
    asked: list[int] = []
    learner.config = dataclasses.replace(learner.config, imitation_coef=0.5)
    noted = SimpleNamespace(
        refresh=lambda model, played: asked.append(played), draw=lambda generator: None
    )
    learner.imitation = cast(Imitation, noted)
    for mastery, times in ((0.0, 1), (0.9, 2), (1.0, 2)):
        learner.update(collected(learner), mastery)
        assert asked == [2 * 8] * times


@pytest.mark.parametrize(
    ("by_completion", "steps", "finished", "expected"),
    [
        (False, 25, [1.0, 1.0], 0.75),
        (True, 25, [0.0, 0.2], 0.9375),  # the steps are further: 1 - 0.25²
        (True, 25, [1.0, 0.2], 0.64),  # six in ten finish: 1 - 0.6²
        (True, 200, [0.0, 0.0], 0.0),
    ],
)
def test_final_values_are_approached_with_the_steps_or_the_share_that_finishes(
    by_completion, steps, finished, expected
):
    learner = make_learner(
        learning_rate=1.0,
        learning_rate_final=0.0,
        anneal_steps=100.0,
        anneal_by_completion=by_completion,
    )
    learner.shared.counters[0, STEPS] = steps
    learner.shared.mastered = torch.tensor([finished, [1.0, 1.0]], dtype=torch.float64)
    assert learner._annealed("learning_rate") == pytest.approx(expected)


def test_ways_add_their_gradient_beside_that_of_the_rollout():
    learner = make_learner()
    batch = collected(learner)
    alone = gradient_of(learner, batch)
    steps, ways = len(batch.actions), 3
    torch.manual_seed(5)
    imitated = Imitated(
        torch.randint(0, 256, (steps, ways, *SPEC.observation_shape), dtype=torch.uint8),
        torch.randint(0, SPEC.num_actions, (steps, ways)),
        torch.tensor([1.0, 1.0, 0.0]).expand(steps, ways),
        tuple(torch.randn(ways, SPEC.lstm_size) for _ in range(2)),
    )
    losses = learner.gradient(batch, imitated, 0.5)
    together = learner.flat.gradients.clone()
    learner.flat.zero_gradients()
    going_on = torch.zeros((steps, ways), dtype=torch.bool)
    distribution, _, _ = learner.model(imitated.observations, imitated.state, going_on)
    loss = imitation_loss(distribution.log_prob(imitated.actions), imitated.counts)
    torch.testing.assert_close(losses.imitation, loss.detach())
    (0.5 * loss).backward()
    torch.testing.assert_close(together, alone + learner.flat.gradients)


def test_minibatches_and_losses_lie_where_the_model_does(monkeypatch):
    """On a GPU, for which tensors stand here that know no more than their shape and device."""
    gpu = torch.device("cuda")
    batch = collected(make_learner())
    ways = Imitated(batch.observations, batch.actions, batch.log_probs, batch.state)

    def made_there(spec: ModelSpec) -> ActorCritic:
        with gpu:
            return ActorCritic(spec)

    def there(tensor: Tensor) -> Tensor:
        return torch.empty(tensor.shape, dtype=tensor.dtype, device=gpu)

    config = small_config(device="cuda")
    link = SimpleNamespace(shared=small_shared(config), row=0, pull=lambda values: None)
    monkeypatch.setattr("mario_a3c.training.learner.ActorCritic", made_there)
    monkeypatch.setattr(ActorCritic, "to", lambda model, device: model)
    monkeypatch.setattr(Tensor, "backward", lambda loss: None)  # needs a device that is there
    with FakeTensorMode(allow_non_fake_inputs=True):  # constants: 0 stays 0 on any device
        learner = Learner(config, SPEC, cast(Link, link), gpu, 1)
        for part in changed(batch, there).minibatches(2, torch.Generator()):
            losses = learner.gradient(part, changed(ways, there), 0.5)
            assert losses.total.device.type == "cuda"
