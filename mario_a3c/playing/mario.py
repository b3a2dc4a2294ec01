"""Playing a stage of Mario: by an agent, or with buttons pressed at random."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mario_a3c.checkpoint import Agent, CheckpointError, load_agent
from mario_a3c.config import MARIO, ConfigError, RunConfig, view_of
from mario_a3c.envs.actions import controller_bytes
from mario_a3c.envs.demonstrations import Demonstration, demonstration
from mario_a3c.envs.engine import Engine
from mario_a3c.envs.engines import make_engine
from mario_a3c.envs.rewards import reward_of
from mario_a3c.envs.traces import Trace
from mario_a3c.playing.episodes import (
    AgentPlayer,
    PlayedEpisode,
    Player,
    RandomPlayer,
    play_episodes,
)

RANDOM_ACTIONS = "simple"
# What the environment is made with, by its name there and in the config of a checkpoint.
SETTINGS = {"action_set": "action_type", "max_actions": "max_actions", "stall_limit": "stall_limit"}


@dataclass(frozen=True)
class MarioGame:
    """What is played, and by whom.

    Args:
        world: 1 to 8.
        stage: 1 to 4.
        player: chooses the actions.
        settings: of `MarioVectorEnv`.
    """

    world: int
    stage: int
    player: Player
    settings: dict[str, Any]

    def play(self, episodes: int, **how: Any) -> Iterator[PlayedEpisode]:
        """Play so many episodes; `play_episodes` tells what else can be said of them."""
        return play_episodes(
            self.player, self.world, self.stage, episodes=episodes, **how, **self.settings
        )

    def console(self) -> Engine:
        """Return an engine with one console, which shows the stage as the player sees it."""
        return make_engine(
            self.settings["engine"], self.world, self.stage, 1, self.settings.get("view", "screen")
        )

    def shown(self, console: Engine, trace: Trace) -> Demonstration:
        """Return an episode that finishes the stage as the player saw it.

        Args:
            console: of `console`; it is used up.
            trace: of the episode.
        """
        return demonstration(
            console,
            trace,
            self.settings["action_set"],
            display_buttons=self.settings.get("display_buttons", False),
        )


def agent_file(world: int, stage: int) -> Path:
    """Return where the agent of a stage lies that comes with the project."""
    return Path(f"saved_models/mario-{world}-{stage}.safetensors")


def agent_game(
    path: Path,
    world: int | None = None,
    stage: int | None = None,
    *,
    stochastic: bool = False,
    engine: str = "auto",
) -> MarioGame:
    """Return the game of an agent, with the settings that it was trained with.

    Args:
        path: of the agent.
        world: to be played, 1 to 8; by default that of its training.
        stage: the same, 1 to 4.
        stochastic: whether actions are drawn from the policy, instead of the likeliest taken.
        engine: the emulator.

    Raises:
        CheckpointError: the file is not an agent of Mario's.
    """
    agent = load_agent(path)
    config = _config_of(path, agent)
    settings = {name: config[field] for name, field in SETTINGS.items()}
    settings["display_buttons"] = config.get("display_buttons", False)
    settings["view"] = view_of(config)
    settings["reward"] = reward_of(config["reward"], config.get("death_cost"))
    settings["engine"] = engine
    player = AgentPlayer(agent.model, stochastic)
    return MarioGame(world or config["world"], stage or config["stage"], player, settings)


def random_game(world: int, stage: int, *, engine: str = "auto") -> MarioGame:
    """Return the random baseline of a stage."""
    player = RandomPlayer(len(controller_bytes(RANDOM_ACTIONS)))
    return MarioGame(world, stage, player, {"engine": engine, "action_set": RANDOM_ACTIONS})


def _config_of(path: Path, agent: Agent) -> dict[str, Any]:
    """Return the config that a Mario agent was trained with, or refuse a foreign agent."""
    config = agent.metadata.get("config")
    needed = {*SETTINGS.values(), "world", "stage", "reward", "env_name"}
    if not isinstance(config, dict) or not needed <= config.keys():
        raise CheckpointError(f"{path} does not say how its agent was trained.")
    if config["env_name"] != MARIO:
        raise CheckpointError(
            f"{path} holds an agent for {config['env_name']}, not for Super Mario Bros."
        )
    try:
        checked = needed | (config.keys() & {"view", "death_cost"})
        RunConfig.from_dict({name: config[name] for name in checked}).validate()
    except (TypeError, ConfigError) as error:
        raise CheckpointError(f"{path} cannot be played: {str(error).rstrip('.')}.") from None
    num_actions = len(controller_bytes(config["action_type"]))
    spec = agent.model.spec
    if spec.num_actions != num_actions or spec.observation_shape != (4, 84, 84):
        raise CheckpointError(
            f"{path} holds a network for observations {spec.observation_shape} and "
            f"{spec.num_actions} actions, but its action set {config['action_type']!r} has "
            f"{num_actions} and Mario's observations are (4, 84, 84)."
        )
    return config


def summary(game: MarioGame, episodes: list[PlayedEpisode]) -> dict[str, Any]:
    """Return what ``--json`` prints; means and furthest x are None without an episode."""
    completions = sum(episode.completed for episode in episodes)
    count = len(episodes)
    return {
        "world": game.world,
        "stage": game.stage,
        "episodes": count,
        "completions": completions,
        "completion_rate": completions / count if count else None,
        "mean_return": sum(e.score for e in episodes) / count if count else None,
        "mean_length": sum(e.length for e in episodes) / count if count else None,
        "max_x": max((e.max_x for e in episodes), default=None),
    }
