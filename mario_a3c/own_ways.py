"""Ways of an agent's own, for it to imitate: ``python -m mario_a3c.own_ways AGENT --out ways``.

An agent that is sure of itself plays hardly more than one game for each number of no-op frames, and
fails in a few of them always. Here it plays each of them. Where it finishes, the likeliest of its
ways are kept. Where it does not, it plays again with a few random actions shortly before the places
where it died, and of those episodes that finish the likeliest are kept too: what differs least from
its own play is learned with the least forgotten.

Imitating them, all numbers together, while it goes on learning by its own episodes
(``train.py --paths ways --imitation-coef 0.2``) is self-imitation after Oh et al. 2018
(arXiv:1806.05635), but without their condition that the way brings more than the critic expects.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from torch import Tensor

from mario_a3c.checkpoint import CheckpointError
from mario_a3c.envs.demonstrations import Demonstration
from mario_a3c.envs.endings import EndReason
from mario_a3c.faults import GameError, reason
from mario_a3c.files import write_atomically
from mario_a3c.learning.model import ActorCritic
from mario_a3c.playing.episodes import BATCH, AgentPlayer, PlayedEpisode
from mario_a3c.playing.mario import MarioGame, agent_game

FOUND_ALL, MISSING_SOME, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
NOOPS = 30
"""The largest number of no-op frames."""
STRETCHES = 12, 20, 32
"""Decisions before a failure in which random ones are mixed; each round draws one of them."""
CHANCES = 0.05, 0.1, 0.2
"""How likely a decision there is the first of some random ones; each round draws one of them."""
LONGEST = 6
"""Decisions at most for which a random action is held."""
STUMBLING = 48
"""Episodes with random actions in a round."""
CHOICE = 3
"""So many times as many finishing episodes as are kept are enough to choose from."""


@dataclass(frozen=True)
class OwnWaysOptions:
    """Play a stage with an agent after every number of no-op frames and keep its likeliest ways."""

    agent: Annotated[Path, tyro.conf.Positional]
    """File of the agent."""
    out: Path = Path("ways")
    """The folder that receives W-S.jsonl; a file of that name is replaced."""
    keep: int = 2
    """Ways for each number of no-op frames."""
    episodes: int = 16
    """Episodes that the agent plays by itself with each."""
    rounds: int = 30
    """Where it finishes fewer than are kept: rounds of 48 episodes with random actions, at most."""
    seed: int = 0
    """Another seed finds other ways."""


class StumblingPlayer(AgentPlayer):
    """An agent that in one stretch of every episode presses something random now and then.

    Args:
        model: the agent.
        stretch: the decisions of an episode, from 0, between which that happens.
        chance: how likely each of them is the first of 1 to `LONGEST` random ones, all the same.
    """

    def __init__(self, model: ActorCritic, stretch: range, chance: float) -> None:
        super().__init__(model, stochastic=True)
        self._stretch, self._chance = stretch, chance
        self._age, self._left, self._held = np.zeros((3, BATCH), dtype=np.int64)

    def begin(self, game: int) -> None:
        """Begin a new episode, also of random actions."""
        super().begin(game)
        self._age[game] = self._left[game] = 0

    def act(
        self, observations: NDArray[np.uint8], generators: list[np.random.Generator]
    ) -> NDArray[np.int64]:
        """Return an action for every game; see `Player.act`."""
        actions = super().act(observations, generators)
        for game, generator in enumerate(generators):
            within = int(self._age[game]) in self._stretch
            if within and not self._left[game] and generator.random() < self._chance:
                self._left[game] = generator.integers(1, LONGEST + 1)
                self._held[game] = generator.integers(self.model.spec.num_actions)
            if self._left[game]:
                actions[game] = self._held[game]
                self._left[game] -= 1
            self._age[game] += 1
        return actions


@torch.no_grad()
def log_likelihood(model: ActorCritic, shown: Demonstration) -> float:
    """Return the logarithm of how likely an agent is to do what an episode shows, in nats."""
    observations = torch.from_numpy(shown.observations).unsqueeze(1)
    resets = torch.zeros(observations.shape[:2], dtype=torch.bool)
    policy, _, _ = model(observations, model.initial_state(1), resets)
    taken: Tensor = policy.log_prob(torch.from_numpy(shown.actions).unsqueeze(1))
    return float(taken.double().sum())


class OwnWays:
    """Finds ways of an agent for one number of no-op frames after the other.

    Args:
        agent: its file.
        options: how many, and from how many episodes.

    Raises:
        CheckpointError: the file is not an agent of Mario's.
    """

    def __init__(self, agent: Path, options: OwnWaysOptions) -> None:
        self.game: MarioGame = agent_game(agent, stochastic=True)
        assert isinstance(self.game.player, AgentPlayer)
        self._model = self.game.player.model
        self._options = options
        self._console = self.game.console()

    @property
    def file(self) -> Path:
        """Where the ways are written."""
        return self._options.out / f"{self.game.world}-{self.game.stage}.jsonl"

    def find(self, noops: int) -> tuple[list[PlayedEpisode], str]:
        """Return the likeliest ways with a number of no-op frames, and in words what was played.

        Raises:
            GameError: a game fails.
        """
        options = self._options
        by_itself = list(self.game.play(options.episodes, seed=options.seed, noops=[noops]))
        found = [episode for episode in by_itself if episode.completed]
        told = f"{len(found)} of {options.episodes} episodes finish"
        failures = [episode for episode in by_itself if not episode.completed]
        if len(found) < options.keep and failures:
            beside, rounds = self._beside(noops, failures, options.keep * CHOICE - len(found))
            found += beside
            told += f", {len(beside)} of {rounds * STUMBLING} with random actions"
        kept = sorted(found, key=self._likelihood, reverse=True)[: options.keep]
        return kept, f"{told}; {len(kept)} kept"

    def _beside(
        self, noops: int, failures: list[PlayedEpisode], enough: int
    ) -> tuple[list[PlayedEpisode], int]:
        """Return episodes that finish by random actions before failures, and the rounds played."""
        found: list[PlayedEpisode] = []
        generator = np.random.default_rng([self._options.seed, noops])
        for number in range(self._options.rounds):
            episode = failures[number % len(failures)]
            length, chance = int(generator.choice(STRETCHES)), float(generator.choice(CHANCES))
            stretch = _stretch(episode, length, self.game.settings["stall_limit"])
            player = StumblingPlayer(self._model, stretch, chance)
            seed = self._options.seed + 1 + number
            played = replace(self.game, player=player).play(STUMBLING, seed=seed, noops=[noops])
            found += [episode for episode in played if episode.completed]
            if len(found) >= enough:
                return found, number + 1
        return found, self._options.rounds

    def _likelihood(self, episode: PlayedEpisode) -> float:
        return log_likelihood(self._model, self.game.shown(self._console, episode.trace))


def _stretch(failure: PlayedEpisode, length: int, stall_limit: int) -> range:
    """Return so many decisions before a failure, or before and after the last one with progress."""
    if failure.reason == EndReason.STALLED:
        last = failure.length - stall_limit
        return range(max(0, last - length), last + length)
    return range(max(0, failure.length - length), failure.length)


def keep_ways(ways: OwnWays) -> int:
    """Find ways for every number of no-op frames, write them and tell; return the exit status.

    Raises:
        GameError: a game fails.
        OSError: the file cannot be written.
    """
    kept: list[PlayedEpisode] = []
    missing = []
    for noops in range(NOOPS + 1):
        found, told = ways.find(noops)
        kept += found
        if not found:
            missing.append(str(noops))
        lines = "".join(f"{episode.trace.to_json()}\n" for episode in kept)
        write_atomically(ways.file, lines.encode())
        print(f"{noops} no-op frames: {told}", flush=True)
    print(f"{len(kept)} ways are in {ways.file}.")
    if missing:
        print(f"With {', '.join(missing)} no-op frames there is none; --rounds allows more.")
    return MISSING_SOME if missing else FOUND_ALL


def main(arguments: Sequence[str] | None = None) -> int:
    """Find and keep; return 0, 1 if ways are missing, or 2 if that is not possible."""
    options = tyro.cli(OwnWaysOptions, args=arguments, prog="python -m mario_a3c.own_ways")
    torch.set_num_threads(1)
    if options.keep < 1 or options.episodes < 1 or options.rounds < 0 or options.seed < 0:
        print(
            f"mario_a3c.own_ways: --keep {options.keep}, --episodes {options.episodes}, --rounds "
            f"{options.rounds} and --seed {options.seed} are not possible; give at least 1, 1, 0 "
            "and 0.",
            file=sys.stderr,
        )
        return BAD_INPUT
    try:
        ways = OwnWays(options.agent, options)
        options.out.mkdir(parents=True, exist_ok=True)
        return keep_ways(ways)
    except OSError as error:
        print(f"mario_a3c.own_ways: {options.out}: {reason(error)}.", file=sys.stderr)
        return BAD_INPUT
    except (CheckpointError, GameError) as error:
        print(f"mario_a3c.own_ways: {reason(error)}.", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
