"""Rollouts of games that follow scripts, against a model that plays each game alone."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mario_a3c.learning.model import ActorCritic, State
from mario_a3c.learning.rollout import RolloutCollector
from tests.small import CPU, SPEC, Script, ScriptedGames

STEPS, UNROLL = 12, 4
SCRIPTS = [
    [Script(3), Script(5, terminated=False)],  # ends inside sequences, in both ways
    [Script(4, terminated=False), Script(4)],  # ends where sequences end
    [Script(100)],  # goes on all the time
    [Script(1), Script(1, terminated=False)],  # every step is an episode
]
PIECES = STEPS // UNROLL
GAMES = len(SCRIPTS)


def make_model() -> ActorCritic:
    torch.manual_seed(1)
    return ActorCritic(SPEC)


def make_collector(model: ActorCritic, reward: float = 0.0) -> RolloutCollector:
    return RolloutCollector(ScriptedGames(SCRIPTS, reward), model, STEPS, UNROLL, CPU)


def in_time(sequences: Tensor) -> Tensor:
    """Put the pieces ``[L, P B, ...]`` of a rollout behind each other again: ``[T, B, ...]``."""
    return torch.cat(list(sequences.unflatten(1, (PIECES, GAMES)).transpose(0, 1)))


class GameAlone:
    """One game played by itself: the slow, obvious version of a rollout."""

    def __init__(self, model: ActorCritic, game: int) -> None:
        self.model, self.game = model, game
        self.games = ScriptedGames(SCRIPTS)
        self.episode, self.time = 0, 0
        self.state = model.initial_state(1)

    def value_of(self, episode: int, time: int, state: State) -> tuple[float, State]:
        picture = torch.from_numpy(self.games.picture(self.game, episode, time))
        _, value, after = self.model.act(picture.unsqueeze(0), state)
        return float(value), after

    @torch.inference_mode()
    def step(self) -> tuple[Tensor, float, float, bool, State]:
        """Return this step's picture, value, next value, whether it begins, and state before."""
        before, begins = self.state, self.time == 0
        picture = torch.from_numpy(self.games.picture(self.game, self.episode, self.time))
        value, self.state = self.value_of(self.episode, self.time, self.state)
        self.time += 1
        following, _ = self.value_of(self.episode, self.time, self.state)
        script = self.games.script(self.game, self.episode)
        if self.time == script.length:
            following = 0.0 if script.terminated else following
            self.episode, self.time = self.episode + 1, 0
            self.state = self.model.initial_state(1)
        return picture, value, following, begins, before


def test_a_rollout_equals_playing_every_game_alone_also_in_the_next_rollout():
    model = make_model()
    collector = make_collector(model)
    alone = [GameAlone(model, game) for game in range(GAMES)]
    for _ in range(3):
        # Without rewards and with gamma 1, lambda 0, the returns are the next values.
        batch, _ = collector.collect(gamma=1.0, gae_lambda=0.0)
        observations, values = in_time(batch.observations), in_time(batch.values)
        next_values, resets = in_time(batch.returns), in_time(batch.resets)
        for game, player in enumerate(alone):
            for t in range(STEPS):
                picture, value, following, begins, before = player.step()
                assert torch.equal(observations[t, game], picture)
                assert float(values[t, game]) == pytest.approx(value, abs=1e-5)
                assert float(next_values[t, game]) == pytest.approx(following, abs=1e-5)
                assert bool(resets[t, game]) is begins
                if t % UNROLL == 0:
                    stored = [part[t // UNROLL * GAMES + game] for part in batch.state]
                    torch.testing.assert_close(stored, [part[0] for part in before])


def test_training_sequences_compute_again_what_the_agent_computed_when_it_played():
    model = make_model()
    collector = make_collector(model)
    for _ in range(2):
        batch, _ = collector.collect(0.9, 1.0)
        distribution, values, _ = model(batch.observations, batch.state, batch.resets)
        torch.testing.assert_close(values, batch.values)
        torch.testing.assert_close(distribution.log_prob(batch.actions), batch.log_probs)


def test_states_are_carried_from_one_rollout_to_the_next_but_no_gradient_is():
    collector = make_collector(make_model())
    first, _ = collector.collect(0.9, 1.0)
    second, _ = collector.collect(0.9, 1.0)
    goes_on = 2  # the game whose episode never ends
    assert not first.state[0][goes_on].any()
    assert second.state[0][goes_on].any()
    assert not any(part.requires_grad for part in (*second.state, second.returns))


def test_finished_episodes_are_told_once_each():
    collector = make_collector(make_model(), reward=0.5)
    _, episodes = collector.collect(0.9, 1.0)
    lengths = sorted(episode.length for episode in episodes)
    # Game 0 ends after 3, 8 and 11 steps, game 1 after 4, 8 and 12, game 3 after every step.
    assert lengths == sorted([3, 5, 3, 4, 4, 4] + [1] * 12)
    assert all(episode.score == 0.5 * episode.length for episode in episodes)


def test_the_frames_of_a_rollout_are_those_of_no_other():
    collector = make_collector(make_model())
    for _ in range(3):
        collector.collect(0.9, 1.0)
        assert collector.frames == STEPS * GAMES


def test_rewards_are_discounted_inside_an_episode_only():
    batch, _ = make_collector(make_model(), reward=1.0).collect(gamma=0.5, gae_lambda=1.0)
    returns = in_time(batch.returns)
    assert returns[:3, 0].tolist() == [1.75, 1.5, 1.0]  # three steps, then terminated


class DisturbedGames(ScriptedGames):
    """Takes action 2 instead of what it is told in the steps 5 and 6 of a rollout, in game 2."""

    steps = 0

    def step(self, actions: np.ndarray) -> Any:
        random = np.zeros(self.num_envs, dtype=np.bool_)
        random[2] = self.steps % STEPS in (5, 6)
        self.steps += 1
        *outcome, infos = super().step(actions)
        return *outcome, {**infos, "taken": np.where(random, 2, actions), "random": random}


def test_random_actions_are_learned_as_taken_and_do_not_count_for_what_came_before():
    model = make_model()
    collector = RolloutCollector(DisturbedGames(SCRIPTS, 1.0), model, STEPS, UNROLL, CPU)
    batch, _ = collector.collect(0.9, 0.95)
    random = in_time(batch.random)
    assert random.nonzero().tolist() == [[5, 2], [6, 2]]
    assert in_time(batch.actions)[5:7, 2].tolist() == [2, 2]
    distribution, _, _ = model(batch.observations, batch.state, batch.resets)
    torch.testing.assert_close(distribution.log_prob(batch.actions), batch.log_probs)

    values, returns, advantages = (
        in_time(part)[:, 2] for part in (batch.values, batch.returns, batch.advantages)
    )
    assert torch.equal(returns[5:7], values[5:7]), "the critic learns nothing from them"
    deltas = 1 + 0.9 * values[1:] - values[:-1]
    assert advantages[4] == pytest.approx(float(deltas[4]), abs=1e-5)
    assert advantages[5] == pytest.approx(float(deltas[5] + 0.9 * 0.95 * advantages[6]), abs=1e-5)
    assert advantages[6] == pytest.approx(float(deltas[6] + 0.9 * 0.95 * advantages[7]), abs=1e-5)
    assert returns[4] == pytest.approx(float(1 + 0.9 * values[5]), abs=1e-5)


def test_minibatches_deal_out_every_sequence_once_with_its_state():
    batch, _ = make_collector(make_model()).collect(0.9, 1.0)
    batch.random = torch.rand(batch.random.shape) < 0.5
    generator = torch.Generator().manual_seed(1)
    parts = list(batch.minibatches(3, generator))
    assert [part.actions.shape for part in parts] == [(UNROLL, 4)] * 3
    dealt = []
    for part in parts:
        for n in range(part.actions.shape[1]):
            dealt.append(
                next(
                    m
                    for m in range(PIECES * GAMES)
                    if torch.equal(batch.observations[:, m], part.observations[:, n])
                )
            )
            same = dealt[-1]
            names = ("actions", "log_probs", "advantages", "returns", "values", "resets", "random")
            for name in names:
                whole, some = getattr(batch, name), getattr(part, name)
                assert torch.equal(whole[:, same], some[:, n]), name
            for whole, some in zip(batch.state, part.state, strict=True):
                assert torch.equal(whole[same], some[n])
    assert sorted(dealt) == list(range(PIECES * GAMES))
    assert dealt != sorted(dealt)


def test_a_single_minibatch_is_the_rollout_itself():
    batch, _ = make_collector(make_model()).collect(0.9, 1.0)
    (whole,) = batch.minibatches(1, torch.Generator())
    assert whole is batch


def test_pictures_stay_in_the_order_the_convolutions_read_fastest():
    batch, _ = make_collector(make_model()).collect(0.9, 1.0)
    for part in batch.minibatches(3, torch.Generator().manual_seed(1)):
        assert part.observations.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
