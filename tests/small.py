"""Small things to test the learner with: settings, a network, and games that follow scripts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from mario_a3c.config import RunConfig
from mario_a3c.learning.flat import FlatParameters
from mario_a3c.learning.model import ActorCritic
from mario_a3c.learning.optim import make_state
from mario_a3c.learning.rollout import Batch, RolloutCollector
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.training.learner import Learner
from mario_a3c.training.shared import Shared

SHAPE = (2, 36, 36)
SPEC = ModelSpec(observation_shape=SHAPE, num_actions=3, network="paper", lstm_size=8)
CPU = torch.device("cpu")


def small_config(**changes: Any) -> RunConfig:
    """Return the settings of a run of two small games."""
    settings: dict[str, Any] = {
        "num_games": 2,
        "num_local_steps": 8,
        "sequence_length": 4,
        "num_processes": 1,
        "epochs": 1,
        "minibatches": 1,
        "lstm_size": SPEC.lstm_size,
        "precision": "float32",
        "device": "cpu",
        "normalize_advantages": False,
    }
    return RunConfig(**(settings | changes))


def small_shared(config: RunConfig, spec: ModelSpec = SPEC, seed: int = 1) -> Shared:
    """Return what the processes of such a run would share, here in ordinary memory."""
    torch.manual_seed(seed)
    weights = FlatParameters(ActorCritic(spec)).values
    state = make_state(config.optimizer, weights)
    return Shared.begin(weights, state, config.num_processes)


def changed[Part](part: Part, change: Callable[[Tensor], Tensor]) -> Part:
    """Return a batch or a tuple, also within another one, with each of its tensors changed."""
    whole: Any = part
    if isinstance(part, Tensor):
        return cast(Part, change(part))
    if isinstance(part, Batch):
        fields = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
        parts = {name: changed(value, change) for name, value in fields.items()}
        return dataclasses.replace(whole, **parts)
    inner = [changed(one, change) for one in whole]
    return type(whole)(*inner) if hasattr(whole, "_fields") else type(whole)(inner)


@dataclass(frozen=True)
class Script:
    """One episode that always goes the same way."""

    length: int
    terminated: bool = True


class ScriptedGames(VectorEnv[Any, Any, Any]):
    """Games that follow scripts whatever the agent does, with same-step autoreset.

    Game g plays ``scripts[g]``, one after the other and then from the first again. The picture of
    step t in episode e is random noise drawn from ``(g, e, t)``: `picture`.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(self, scripts: Sequence[Sequence[Script]], reward: float = 0.0) -> None:
        """Play one game per list of scripts; every step pays ``reward``."""
        self.scripts, self.reward = scripts, reward
        self.num_envs = len(scripts)
        self.single_observation_space = spaces.Box(0, 255, SHAPE, np.uint8)
        self.single_action_space = spaces.Discrete(SPEC.num_actions)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._episode = [0] * self.num_envs
        self._time = [0] * self.num_envs

    @staticmethod
    def picture(game: int, episode: int, time: int) -> np.ndarray:
        """Return the picture that stands for a moment of a game."""
        return np.random.default_rng((game, episode, time)).integers(0, 256, SHAPE, np.uint8)

    def script(self, game: int, episode: int) -> Script:
        """Return how an episode goes."""
        return self.scripts[game][episode % len(self.scripts[game])]

    def _pictures(self) -> np.ndarray:
        moments = zip(range(self.num_envs), self._episode, self._time, strict=True)
        return np.stack([self.picture(*moment) for moment in moments])

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin all games."""
        self._episode = [0] * self.num_envs
        self._time = [0] * self.num_envs
        return self._pictures(), {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Go on by one step in all games."""
        self._time = [time + 1 for time in self._time]
        scripts = [self.script(game, self._episode[game]) for game in range(self.num_envs)]
        lengths = np.array([script.length for script in scripts])
        ended = np.array(self._time) == lengths
        terminated = ended & np.array([script.terminated for script in scripts])
        infos: dict[str, Any] = {}
        if ended.any():
            infos["final_obs"] = np.array([*self._pictures(), None], dtype=object)[:-1]
            infos["final_info"] = {
                "episode_return": self.reward * lengths,
                "episode_length": lengths,
            }
            infos["_final_obs"] = infos["_final_info"] = ended
        for game in np.flatnonzero(ended).tolist():
            self._episode[game] += 1
            self._time[game] = 0
        rewards = np.full(self.num_envs, self.reward, dtype=np.float32)
        return self._pictures(), rewards, terminated, ended & ~terminated, infos


GAMES = [[Script(3), Script(5, terminated=False)], [Script(11)]]
"""Two games with episodes that end, one of them cut short, in a rollout of eight steps."""


def collected(learner: Learner) -> Batch:
    """Return a rollout of those games, played by a learner's model on the CPU."""
    torch.manual_seed(3)
    games = ScriptedGames(GAMES, reward=1.0)
    config = learner.config
    collector = RolloutCollector(games, learner.model, config.num_local_steps, config.unroll, CPU)
    return collector.collect(0.9, 0.95)[0]
