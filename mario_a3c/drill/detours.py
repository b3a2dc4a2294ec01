"""Ways past an agent's failures that differ from its own play in as little as possible."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mario_a3c.envs.demonstrations import Demonstration
from mario_a3c.envs.disturbance import Disturbance
from mario_a3c.envs.endings import EndReason
from mario_a3c.envs.mario import MarioVectorEnv
from mario_a3c.envs.starts import Start, starts_from_trace
from mario_a3c.envs.traces import Trace
from mario_a3c.learning.margin import shortfall
from mario_a3c.learning.model import ActorCritic, State
from mario_a3c.playing.episodes import PlayedEpisode
from mario_a3c.playing.mario import MarioGame

GAMES = 32
"""Played side by side from one moment."""
STRETCHES = 8, 16, 32, 64, 128
"""Decisions before a failure from which on random actions are mixed in, one after the other."""
CHANCES = 0.05, 0.1, 0.2
"""How likely a random action begins at a decision; each attempt draws one of them."""
ENOUGH = 8
"""Ways to choose from."""


@dataclass(frozen=True)
class Way:
    """An episode that finishes its stage, and as the agent saw it."""

    trace: Trace
    shown: Demonstration


@torch.no_grad()
def contradiction(model: ActorCritic, shown: Demonstration) -> float:
    """Return how far an agent is from doing what an episode shows, in nats over all its steps."""
    observations = torch.from_numpy(shown.observations).unsqueeze(1)
    resets = torch.zeros(observations.shape[:2], dtype=torch.bool)
    policy, _, _ = model(observations, model.initial_state(1), resets)
    return float(shortfall(policy.logits[:, 0], torch.from_numpy(shown.actions), 0.0).sum())


class Detours:
    """Searches beside an agent's play, from moments before it failed.

    Args:
        game: what is played; its player's network is the agent.
        model: the agent.
        seed: of the random actions.

    Attributes:
        decisions: made so far.
    """

    def __init__(self, game: MarioGame, model: ActorCritic, seed: int) -> None:
        self._game, self._model, self._console = game, model, game.console()
        self._generators = [np.random.default_rng([seed, n]) for n in range(GAMES)]
        self._env = MarioVectorEnv(GAMES, game.world, game.stage, log_buttons=True, **game.settings)
        self.decisions = 0

    def close(self) -> None:
        """Free the consoles."""
        self._env.close()

    def past(self, failure: PlayedEpisode, attempts: range) -> Way | None:
        """Return the way past a failure that contradicts the agent least, of those that are found.

        Args:
            failure: an episode of the agent's likeliest actions.
            attempts: from how many on `ENOUGH` ways are enough, and how many there are at most;
                in each `GAMES` games are played.
        """
        moments = self._moments(failure)
        last = len(moments) - 1 - _idle_at_the_end(failure, self._game.settings)
        found: dict[bytes, Trace] = {}
        for attempt in range(attempts.stop):
            stretch = STRETCHES[attempt % len(STRETCHES)]
            first = max(0, last - stretch)
            beyond = 0 if failure.reason == EndReason.DIED else stretch
            for buttons in self._attempt(moments, first, last - first + beyond):
                found[buttons] = Trace(
                    self._game.world, self._game.stage, 0, failure.trace.noops, True, buttons
                )
            if len(found) >= ENOUGH and attempt + 1 >= attempts.start:
                break
        ways = (Way(trace, self._game.shown(self._console, trace)) for trace in found.values())
        return min(ways, key=lambda way: contradiction(self._model, way.shown), default=None)

    def _moments(self, failure: PlayedEpisode) -> list[Start]:
        """Return every moment of decision of an episode."""
        return starts_from_trace(
            self._console,
            failure.trace.buttons,
            noops=failure.trace.noops,
            display_buttons=self._game.settings["display_buttons"],
        )

    @torch.no_grad()
    def _state_at(self, moments: list[Start], decision: int) -> State:
        """Return what the agent remembers at a decision, the same for all games."""
        state = self._model.initial_state(1)
        if decision and state:
            seen = torch.from_numpy(np.stack([moment.stack for moment in moments[:decision]]))
            going_on = torch.zeros((decision, 1), dtype=torch.bool)
            _, _, state = self._model(seen.unsqueeze(1), state, going_on)
        return tuple(part.repeat(GAMES, 1) for part in state)

    @torch.no_grad()
    def _attempt(self, moments: list[Start], first: int, decisions: int) -> list[bytes]:
        """Play from a moment, with random actions at first; return the buttons of who finishes."""
        chance = float(self._generators[0].choice(CHANCES))
        disturbance = Disturbance(GAMES, self._model.spec.num_actions, chance)
        for game in range(GAMES):
            disturbance.begin(game, decisions)
        state = self._state_at(moments, first)
        self._env.set_starts([moments[first]], 1.0)
        observations, _ = self._env.reset()
        running = np.ones(GAMES, dtype=np.bool_)
        finished: list[bytes] = []
        while running.any():
            policy, _, state = self._model.act(torch.from_numpy(observations), state)
            actions, _ = disturbance.disturb(policy.mode.numpy(), self._generators)
            observations, _, terminated, truncated, infos = self._env.step(actions)
            self.decisions += int(running.sum())
            ended = (terminated | truncated) & running
            for game in np.flatnonzero(ended & infos["completed"]).tolist():
                finished.append(infos["final_info"]["buttons"][game])
            running &= ~ended
        return finished


def _idle_at_the_end(failure: PlayedEpisode, settings: dict[str, int]) -> int:
    """Return how many of an episode's last decisions led nowhere, by which it was cut short."""
    idle = {
        EndReason.STALLED: settings["stall_limit"],
        EndReason.REPEATED: settings["max_actions"],
    }
    return min(idle.get(failure.reason, 0), failure.length - 1)
