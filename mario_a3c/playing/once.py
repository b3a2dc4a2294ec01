"""An agent plays one episode in each of several games of any task, all side by side."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from mario_a3c.learning.model import Actor
from mario_a3c.learning.rollout import Episode, finished_episodes


@torch.inference_mode()
def play_once_each(model: Actor, env: VectorEnv, greedy_games: int) -> list[Episode]:
    """Play one episode in each game and return them in the games' order.

    Args:
        model: the agent.
        env: the games; they are reset first.
        greedy_games: in so many of them, the first ones, the likeliest action is taken.
    """
    observation, _ = env.reset()
    games = env.num_envs
    state = model.initial_state(games)
    episodes: list[Episode | None] = [None] * games
    while any(episode is None for episode in episodes):
        distribution, _, state = model.act(torch.from_numpy(observation), state)
        actions = distribution.sample()
        if greedy_games:
            actions[:greedy_games] = distribution.mode[:greedy_games]
        observation, _, terminated, truncated, infos = env.step(actions.numpy())
        ended = terminated | truncated
        if ended.any():
            state = tuple(part * torch.from_numpy(~ended).unsqueeze(1) for part in state)
            finished = finished_episodes(infos, ended)
            for game, episode in zip(np.flatnonzero(ended).tolist(), finished, strict=True):
                episodes[game] = episodes[game] or episode
    return [episode for episode in episodes if episode is not None]
