"""Rounds of playing, of looking for ways past what fails, and of learning all ways by heart."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro

from mario_a3c.checkpoint import CheckpointError, load_agent, round_to_half, save_agent
from mario_a3c.drill.detours import STRETCHES, Detours, Way
from mario_a3c.drill.lesson import Lesson
from mario_a3c.learning.model import ActorCritic
from mario_a3c.learning.rollout import Episode
from mario_a3c.playing.episodes import AgentPlayer, PlayedEpisode
from mario_a3c.playing.mario import MarioGame, agent_game
from mario_a3c.training.evaluation import Evaluation

ADAM_EPSILON = 1e-5
NOOPS = 30
MOST_NOOPS = 127
"""So that twice as many are possible too."""
TAKEN = "steps", "seconds"
"""What an agent's file has to tell of its training."""
TOLD_EVERY = 10
"""Epochs."""


@dataclass(frozen=True)
class DrillOptions:
    """Drill an agent of Mario until it finishes after each number of no-op frames."""

    agent: Annotated[Path, tyro.conf.Positional]
    """File of the agent."""
    drilled: Annotated[Path, tyro.conf.Positional]
    """File to write, if it gets better; it may be the same."""
    noops: int = NOOPS
    """The largest number of no-op frames."""
    rounds: int = 6
    """Rounds at most."""
    attempts: int = 30
    """For each failure 32 episodes with random actions are played so often at most."""
    epochs: int = 60
    """Passes over all ways, in each round at most."""
    learning_rate: float = 3e-4
    """Step size of the first epoch; it falls linearly to 0 in a round, and begins each round with
    that of the first one divided by the round's number."""
    margin: float = 8.0
    """How much likelier the right action should be than any other, in nats."""
    certainty: float = 8.0
    """What the policy's logits are multiplied by at first, so that drawn actions are mostly the
    likeliest; those of an agent that was drilled before stay as they are."""
    seed: int = 0
    """Another seed finds other ways."""

    def problem(self) -> str:
        """Return what is wrong with them, as a sentence, or ""."""
        least = {"noops": 0, "rounds": 1, "attempts": 0, "epochs": 1, "seed": 0}
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                return f"--{name} {getattr(self, name)} is not possible: give {lowest} or more."
        for name, most in {"learning_rate": 0.1, "margin": 100, "certainty": 100}.items():
            if not 0 < getattr(self, name) <= most:
                option = "--" + name.replace("_", "-")
                return (
                    f"{option} {getattr(self, name)} is not possible: give a number above 0, and "
                    f"{most} at most."
                )
        for name, most in {"noops": MOST_NOOPS, "seed": 2**32 - 1}.items():
            if getattr(self, name) > most:
                return f"--{name} {getattr(self, name)} is not possible: give {most} at most."
        return ""


class Drill:
    """An agent that is drilled.

    Args:
        agent: its file.
        options: how.
        say: is told what happens, a sentence at a time.

    Attributes:
        model: the network.

    Raises:
        CheckpointError: the file is not an agent of Mario's.
    """

    def __init__(self, agent: Path, options: DrillOptions, say: Callable[[str], None]) -> None:
        self.options, self._say = options, say
        self._metadata = load_agent(agent).metadata
        self._game: MarioGame = agent_game(agent)
        if not all(isinstance(self._metadata.get(name), int | float) for name in TAKEN):
            raise CheckpointError(f"{agent} does not say what its training took.")
        assert isinstance(self._game.player, AgentPlayer)
        self.model: ActorCritic = self._game.player.model
        self._game_of_chance = replace(self._game, player=AgentPlayer(self.model, stochastic=True))
        self._began = time.monotonic()
        self._decisions = self._rounds = 0

    def make_certain(self) -> None:
        """Multiply the logits of the policy, unless that was done by an earlier drill."""
        if "drilled" not in self._metadata:
            with torch.no_grad():
                for weights in self.model.policy.parameters():
                    weights.mul_(self.options.certainty)

    def run(self, target: Path) -> bool:
        """Drill, and save the agent whenever it is better than all before it.

        In the end the network is the best one, or the undrilled one if none is better.

        Args:
            target: the file to write.

        Returns:
            whether one finishes every time, by its likeliest actions or by drawn ones.

        Raises:
            GameError: a game fails.
            OSError: the agent cannot be written.
        """
        before = self._evaluation()
        self._say(f"Before: {before.summary()}.")
        best, weights = (False, before.score), copy.deepcopy(self.model.state_dict())
        self.make_certain()
        while True:
            self._round()
            episodes = self.play(range(self.options.noops + 1))
            evaluation = self._evaluation()
            self._say(f"Evaluated: {evaluation.summary()}.")
            all_finish = all(episode.completed for episode in episodes)
            done = all_finish or evaluation.completion_rate == 1
            if (done, evaluation.score) > best:
                best = done, evaluation.score
                weights = copy.deepcopy(self.model.state_dict())
                self._save(target, evaluation)
                self._say(f"It is in {target}.")
            if done or self._rounds == self.options.rounds:
                break
            self._rounds += 1
            self._learn(self._ways(episodes))
        self.model.load_state_dict(weights)
        return done

    def play(self, numbers: Sequence[int]) -> list[PlayedEpisode]:
        """Play by likeliest actions after each number of no-op frames; return them in order."""
        played = self._game.play(len(numbers), noops=list(numbers))
        episodes = sorted(played, key=lambda episode: episode.number)
        self._decisions += sum(episode.length for episode in episodes)
        failed = [
            str(number)
            for number, episode in zip(numbers, episodes, strict=True)
            if not episode.completed
        ]
        but = f", not after {', '.join(failed)}" if failed else ""
        self._say(
            f"After {numbers[0]} to {numbers[-1]} no-op frames its likeliest actions finish "
            f"{len(numbers) - len(failed)} of {len(numbers)}{but}."
        )
        return episodes

    def _round(self) -> None:
        """Round the weights to what a saved agent has."""
        with torch.no_grad():
            for weights in self.model.parameters():
                round_to_half(weights)

    def _ways(self, episodes: list[PlayedEpisode]) -> list[Way]:
        """Return the agent's own ways, and where it fails one past that, if one is found."""
        console = self._game.console()
        ways = [
            Way(episode.trace, self._game.shown(console, episode.trace))
            for episode in episodes
            if episode.completed
        ]
        detours = Detours(self._game, self.model, self.options.seed + self._rounds)
        # A small change early on may be easier to learn than a large one late. What is failed in
        # spite of what the rounds before found is looked at for longer.
        least = min(self._rounds * len(STRETCHES), self.options.attempts)
        try:
            for failure in episodes:
                if failure.completed:
                    continue
                way = detours.past(failure, range(least, self.options.attempts))
                where = f"{failure.trace.noops} no-op frames, to x {failure.max_x}"
                if way is None:
                    self._say(f"{where}: no way past it is found.")
                else:
                    self._say(f"{where}: a way past it is found.")
                    ways.append(way)
        finally:
            self._decisions += detours.decisions
            detours.close()
        return ways

    def _learn(self, ways: list[Way]) -> None:
        options = self.options
        if not ways:
            return
        lesson = Lesson([way.shown for way in ways], options.margin, options.seed)
        first = options.learning_rate / self._rounds
        optimizer = torch.optim.Adam(self.model.parameters(), first, eps=ADAM_EPSILON)
        for epoch in range(options.epochs + 1):
            found = lesson.look(self.model)
            if epoch % TOLD_EVERY == 0 or not found.short:
                self._say(
                    f"Round {self._rounds}, epoch {epoch}: of {found.steps:,} decisions in "
                    f"{len(ways)} ways it would take {int(found.wrong.sum())} otherwise, and its "
                    f"margins fall short by {found.short:,.1f} nats."
                )
            if not found.short or epoch == options.epochs:
                return
            for group in optimizer.param_groups:
                group["lr"] = first * (1 - epoch / options.epochs)
            lesson.practise(self.model, optimizer)

    def _save(self, target: Path, evaluation: Evaluation) -> None:
        told = dict(self._metadata)
        told["config"] = {**told["config"], "noop_max": self.options.noops}
        told["steps"] = int(told["steps"]) + self._decisions
        told["seconds"] = float(told["seconds"]) + time.monotonic() - self._began
        told["drilled"] = told.get("drilled", 0) + self._rounds
        save_agent(target, self.model, told | {"evaluation": evaluation.to_dict()})

    def _evaluation(self) -> Evaluation:
        """Play once greedily and several times by chance, after each number of no-op frames."""
        began = time.monotonic()
        (greedy,) = self._game.play(1)
        numbers = range(self.options.noops + 1)
        episodes_of_each = -(-EPISODES // len(numbers))
        sampled = self._game_of_chance.play(
            episodes_of_each * len(numbers), seed=EVALUATED, noops=numbers
        )
        episodes = [_as_told(episode) for episode in sampled]
        steps = int(self._metadata["steps"]) + self._decisions
        seconds = time.monotonic() - began
        return Evaluation(steps, _as_told(greedy), episodes, seconds, good=False)


EPISODES = 100
"""Sampled ones at least, as many after each number, for the score that an agent's file tells."""
EVALUATED = 10_000
"""Their seed; the table of results has another."""


def _as_told(episode: PlayedEpisode) -> Episode:
    figures = {
        "max_x": float(episode.max_x),
        "completed": float(episode.completed),
        "time": float(episode.time_left),
    }
    return Episode(episode.score, episode.length, figures)
