"""Which finished agent a new stage should start from: the one that gets furthest in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mario_a3c.checkpoint import CheckpointError, load_agent
from mario_a3c.config import RunConfig, view_of
from mario_a3c.playing.episodes import BATCH
from mario_a3c.playing.mario import agent_game
from mario_a3c.training.preparation import network_for


def furthest_agent(folder: Path, config: RunConfig) -> Path | None:
    """Let the agents of all stages play a stage, and return the file of the best.

    Each plays `BATCH` sampled episodes with 0-30 no-op frames; what counts is the mean furthest x.
    So a stage that has an agent of its own mostly goes on from that one.

    Args:
        folder: of the agents; those of another network, action set or view are passed over.
        config: the stage, and the network to be trained.

    Returns:
        the file, or None if there is no agent that fits.
    """
    torch.set_num_threads(1)
    spec = network_for(config)
    distances: dict[Path, float] = {}
    for path in sorted(folder.glob("mario-*.safetensors")):
        try:
            agent = load_agent(path)
            if agent.model.spec != spec or view_of(agent.metadata.get("config")) != config.view:
                continue
            game = agent_game(path, config.world, config.stage, stochastic=True)
        except CheckpointError:
            continue
        played = game.play(BATCH, seed=1, noops=30)
        distances[path] = float(np.mean([episode.max_x for episode in played]))
    return max(distances, key=lambda path: distances[path], default=None)
