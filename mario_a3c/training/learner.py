"""One worker's copy of the model, and how a rollout becomes gradients that are pushed."""

from __future__ import annotations

import math
from collections import defaultdict

import torch

from mario_a3c.config import RunConfig
from mario_a3c.envs.factory import demonstrations
from mario_a3c.faults import MOST_DROPPED, NotFiniteError, Patience
from mario_a3c.learning.flat import FlatParameters
from mario_a3c.learning.imitation import Imitated, Imitation
from mario_a3c.learning.loss import (
    Losses,
    a3c_loss,
    clipped_surrogate,
    divergence,
    gain_from_random,
    imitation_loss,
    policy_gradient,
)
from mario_a3c.learning.model import ActorCritic, use_precision
from mario_a3c.learning.normalization import count_samples, quantities
from mario_a3c.learning.returns import explained_variance, normalized
from mario_a3c.learning.rollout import Batch
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.training.link import Link
from mario_a3c.training.shared import DROPPED

MINIBATCHES = 50
"""Is added to a worker's seed for what it draws to learn: games and actions have other seeds."""


class Learner:
    """One worker's copy of the model, and how it learns from what was played."""

    def __init__(
        self, config: RunConfig, spec: ModelSpec, link: Link, device: torch.device, seed: int
    ) -> None:
        """Build a local model with the shared weights; ``seed`` is that of the minibatches."""
        self.config, self.link = config, link
        self.shared, self.row = link.shared, link.row
        self.model = ActorCritic(spec).to(device)
        use_precision(self.model, config.precision)
        self.flat = FlatParameters(self.model)
        self.generator = torch.Generator().manual_seed(seed + MINIBATCHES)
        self.imitation: Imitation | None = None
        if config.imitation_coef:
            ways = demonstrations(config)
            self.imitation = Imitation(ways, config.unroll, device, config.imitation_priority)
        self._drops = Patience(MOST_DROPPED)
        self.model.take_statistics(self.shared.statistics)
        self.pull()

    @property
    def learning(self) -> bool:
        """Whether there is anything to learn; the random baseline only plays."""
        return self.config.algorithm != "random"

    def pull(self) -> None:
        """Copy the shared weights into the local model."""
        self.link.pull(self.flat.values)

    def count_observations(self, batch: Batch) -> None:
        """Add a rollout to this worker's statistics, and normalise the next one by everybody's."""
        normalizer = self.model.normalizer
        if normalizer is not None:
            row = self.shared.statistics[self.row, :, : normalizer.size]
            count_samples(row, quantities(batch.observations, self.model.spec.observation_shape))
            self.model.take_statistics(self.shared.statistics)

    def update(self, batch: Batch, mastery: float = 0.0) -> dict[str, float]:
        """Learn from one rollout: every minibatch pulls, computes a gradient and pushes it.

        Args:
            batch: the rollout, whole.
            mastery: how well the agent can do already what is imitated, from 0 to 1, where there is
                nothing left to imitate.

        Returns:
            the mean figures of the updates, for monitoring.
        """
        config = self.config
        sums: dict[str, list[float]] = defaultdict(list)
        own = ~batch.random
        figures = {"explained_variance": explained_variance(batch.values[own], batch.returns[own])}
        figures["advantage_deviation"] = float(batch.advantages.std())
        if config.normalize_advantages:
            batch.advantages = normalized(batch.advantages, batch.random)
        imitation_coef = self._annealed("imitation_coef") * (1 - mastery)
        imitation = self.imitation if imitation_coef else None
        if imitation is not None:
            imitation.refresh(self.model, batch.actions.numel())
        for epoch in range(config.epochs):
            if config.target_kl and epoch and sums["divergence"][-1] > config.target_kl:
                break
            for index, minibatch in enumerate(
                batch.minibatches(config.minibatches, self.generator)
            ):
                if epoch or index:
                    self.pull()
                ways = imitation.draw(self.generator) if imitation is not None else None
                losses = self.gradient(minibatch, ways, imitation_coef)
                norm, staleness = self._push(losses)
                sums["policy_loss"].append(float(losses.policy))
                sums["value_loss"].append(float(losses.value))
                sums["entropy"].append(float(losses.entropy))
                sums["divergence"].append(float(losses.divergence))
                if ways is not None:
                    sums["imitation_loss"].append(float(losses.imitation))
                sums["gradient_norm"].append(norm)
                if staleness is not None:
                    sums["staleness"].append(staleness)
        figures.update({name: sum(values) / len(values) for name, values in sums.items()})
        figures["learning_rate"] = self._annealed("learning_rate")
        return figures

    def gradient(
        self, batch: Batch, ways: Imitated | None = None, imitation_coef: float = 0.0
    ) -> Losses:
        """Leave the gradient of the loss on a batch in ``self.flat.gradients``.

        Args:
            batch: sequences of the rollout.
            ways: sequences to imitate; they go through the network beside the others.
            imitation_coef: weight of imitating them.
        """
        config = self.config
        self.flat.zero_gradients()
        inputs, actions = (batch.observations, batch.state, batch.resets), batch.actions
        if ways is not None:
            inputs, actions = ways.beside(batch)
        distribution, values, _ = self.model(*inputs)
        own = slice(batch.actions.shape[1])
        log_probs, imitated = distribution.log_prob(actions).tensor_split([own.stop], 1)
        # Of an action that the policy did not choose it says nothing how its probability changed.
        chosen = torch.where(batch.random, batch.log_probs, log_probs)
        if config.is_plain_a3c:
            policy = policy_gradient(chosen, batch.advantages)
        else:
            policy = clipped_surrogate(chosen, batch.log_probs, batch.advantages, config.clip_range)
        policy = torch.where(batch.random, gain_from_random(log_probs, batch.advantages), policy)
        losses = a3c_loss(
            policy,
            values[:, own],
            batch.returns,
            distribution.entropy()[:, own],
            config.value_loss_coef,
            self._annealed("entropy_coef"),
            sum_losses=config.sum_losses,
        )
        total = losses.total
        if ways is not None:
            losses = losses._replace(imitation=imitation_loss(imitated, ways.counts))
            total = total + imitation_coef * losses.imitation
        total.backward()
        moved = divergence(chosen, batch.log_probs)
        return Losses(*(part.detach() for part in losses))._replace(divergence=moved)

    def _push(self, losses: Losses) -> tuple[float, int | None]:
        """Clip the gradient, and push it unless something is not finite.

        Returns:
            its norm before that, and its staleness, None if it was not pushed.

        Raises:
            RunError: too many updates in a row could not be pushed.
        """
        gradients = self.flat.gradients
        norm = float(gradients.norm())
        wrong = [name for name, part in losses._asdict().items() if not part.isfinite()]
        if wrong or not math.isfinite(norm):
            self.drop(NotFiniteError(f"the {' and the '.join(wrong) or 'gradient'} is not finite"))
            return norm, None
        self._drops.succeeded()
        if norm > self.config.max_grad_norm:
            gradients.mul_(self.config.max_grad_norm / norm)
        return norm, self.link.push(gradients, self._annealed("learning_rate"))

    def drop(self, error: NotFiniteError) -> None:
        """Count an update that cannot be made.

        Raises:
            RunError: it was one too many in a row.
        """
        self.shared.counters[self.row, DROPPED] += 1
        self._drops.failed(error)

    def _annealed(self, name: str) -> float:
        """Return a setting at the present step, between its first and its final value.

        By completion it stays near the first for longer: where half of the episodes finish there is
        still much to find out, and what makes the agent sure would keep it from that.
        """
        first, final = getattr(self.config, name), getattr(self.config, name + "_final")
        if final is None:
            return float(first)
        over = self.config.anneal_steps or self.config.num_global_steps
        done = min(1.0, self.shared.steps / over)
        if self.config.anneal_by_completion:
            done = max(done, float(self.shared.mastered[self.row].mean())) ** 2
        return float(first + done * (final - first))
