"""Playing Mario episodes with an agent or at random, several side by side.

Every episode has a random stream of its own for its no-op frames and its sampled actions, made
from the seed and its number, and the network always computes the same number of rows. So an
episode is the same whether it is played alone or among others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.distributions import Categorical

from mario_a3c.envs.endings import EndReason
from mario_a3c.envs.mario import MarioVectorEnv
from mario_a3c.envs.traces import Trace
from mario_a3c.learning.model import ActorCritic

BATCH = 16
"""Games that are played side by side at most, and rows that the network computes."""


class Player(Protocol):
    """Chooses the actions of up to `BATCH` games."""

    def begin(self, game: int) -> None:
        """Forget what happened in a game: a new episode begins there."""

    def act(
        self, observations: NDArray[np.uint8], generators: list[np.random.Generator]
    ) -> NDArray[np.int64]:
        """Return an action for every game.

        Args:
            observations: ``uint8 [B, ...]``.
            generators: ``B`` random streams, one for every game.
        """


class RandomPlayer:
    """Presses buttons at random, every action with equal chance: the baseline."""

    def __init__(self, num_actions: int) -> None:
        """Choose among so many actions."""
        self._num_actions = num_actions

    def begin(self, game: int) -> None:
        """Forget nothing: there is no memory."""

    def act(
        self, observations: NDArray[np.uint8], generators: list[np.random.Generator]
    ) -> NDArray[np.int64]:
        """Return a random action for every game; see `Player.act`."""
        return np.array([generator.integers(self._num_actions) for generator in generators])


class AgentPlayer:
    """Plays with a trained network: the likeliest action, or one drawn from its policy.

    Args:
        model: the agent.
        stochastic: draw the actions.

    Attributes:
        model: as given.
    """

    def __init__(self, model: ActorCritic, stochastic: bool) -> None:
        self.model = model
        self._stochastic = stochastic
        self._state = model.initial_state(BATCH)
        self._rows = torch.zeros((BATCH, *model.spec.observation_shape), dtype=torch.uint8)

    def begin(self, game: int) -> None:
        """Zero the recurrent state of a game."""
        for part in self._state:
            part[game] = 0

    @torch.no_grad()
    def act(
        self, observations: NDArray[np.uint8], generators: list[np.random.Generator]
    ) -> NDArray[np.int64]:
        """Return an action for every game; see `Player.act`."""
        games = len(observations)
        self._rows[:games] = torch.from_numpy(observations)
        distribution, _, self._state = self.model.act(self._rows, self._state)
        if not self._stochastic:
            return distribution.mode[:games].numpy()
        assert isinstance(distribution, Categorical)
        chances = distribution.probs[:games].double().numpy().cumsum(axis=1)
        draws = np.array([generator.random() for generator in generators]) * chances[:, -1]
        return (chances <= draws[:, None]).sum(axis=1)


@dataclass(frozen=True)
class PlayedEpisode:
    """What came of an episode.

    Attributes:
        number: from 0.
        length: decisions made.
        score: the episode's return.
        max_x: furthest x.
        time_left: on the game's clock at the end.
        reason: why it ended.
        trace: what was pressed.
    """

    number: int
    length: int
    score: float
    max_x: int
    time_left: int
    reason: EndReason
    trace: Trace

    @property
    def completed(self) -> bool:
        """Whether the stage was finished."""
        return self.trace.completed


class _Assignments:
    """Which episode is played in which game; games beyond the last episode play for nobody."""

    def __init__(self, games: int, seed: int, noops: int | Sequence[int]) -> None:
        self._seed, self._noops = seed, noops
        self._next = 0
        self.episodes = [-1] * games
        self.generators = [np.random.default_rng(0)] * games

    def begin(self, game: int) -> int:
        """Give a game the next episode and return how many no-op frames it begins with."""
        self.episodes[game] = self._next
        self.generators[game] = np.random.default_rng([self._seed, self._next])
        self._next += 1
        if isinstance(self._noops, int):
            return int(self.generators[game].integers(self._noops + 1))
        return self._noops[self.episodes[game] % len(self._noops)]


def play_episodes(
    player: Player,
    world: int,
    stage: int,
    *,
    episodes: int,
    seed: int = 0,
    noops: int | Sequence[int] = 0,
    games: int = BATCH,
    on_picture: Callable[[NDArray[np.uint8]], None] | None = None,
    **settings: Any,
) -> Iterator[PlayedEpisode]:
    """Play episodes and yield each when it has ended, in whatever order they end.

    Args:
        player: chooses the actions.
        world: 1 to 8.
        stage: 1 to 4.
        episodes: how many.
        seed: of their random streams.
        noops: an episode begins with 0 to so many frames without a button, drawn at random; or
            with these numbers of them in turn, by the episode's number.
        games: how many to play side by side, 1 to `BATCH`; it does not change the episodes.
        on_picture: is shown every frame, ``uint8 [240, 256, 3]``; only one game is played then.
        **settings: of `MarioVectorEnv`.
    """
    games = 1 if on_picture is not None else min(games, episodes)
    assignments = _Assignments(games, seed, noops)

    def show(_: int, episode: int, picture: NDArray[np.uint8]) -> None:
        if on_picture is not None and episode < episodes:
            on_picture(picture)

    env = MarioVectorEnv(
        games,
        world,
        stage,
        draw_noops=assignments.begin,
        log_buttons=True,
        on_frame=None if on_picture is None else show,
        **settings,
    )
    try:
        left = episodes
        frames = np.zeros(games, dtype=np.int64)
        observations, _ = env.reset()
        for game in range(games):  # the player may have played before
            player.begin(game)
        while left:
            playing = list(assignments.episodes)
            actions = player.act(observations, assignments.generators)
            observations, _, terminated, truncated, infos = env.step(actions)
            frames += infos["frames"]
            for game in np.flatnonzero(terminated | truncated).tolist():
                player.begin(game)
                if playing[game] < episodes:
                    left -= 1
                    final = {name: values[game] for name, values in infos["final_info"].items()}
                    waited = len(final["buttons"]) - int(frames[game])
                    yield _episode(playing[game], final, (world, stage, seed, waited))
                frames[game] = 0
    finally:
        env.close()


def _episode(
    number: int, final: dict[str, Any], beginning: tuple[int, int, int, int]
) -> PlayedEpisode:
    completed = bool(final["completed"])
    return PlayedEpisode(
        number=number,
        length=int(final["episode_length"]),
        score=float(final["episode_return"]),
        max_x=int(final["max_x"]),
        time_left=int(final["time"]),
        reason=EndReason(final["end_reason"]),
        trace=Trace(*beginning, completed, final["buttons"]),
    )
