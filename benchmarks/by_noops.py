"""How often an agent of Mario finishes, for each number of no-op frames at the beginning.

    python benchmarks/by_noops.py saved_models/mario-6-2.safetensors logs/RUN [--episodes 6]

Actions are drawn from the policy. Each number of no-op frames makes another game, in which all
enemies move at other moments, so this shows which of them an agent knows, and where it dies in the
others. Of a run's folder its newest state is played, as a saved agent would be.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch

from mario_a3c.benchmark.mario import NOOPS, SEED
from mario_a3c.checkpoint import CheckpointError, load_agent, save_agent
from mario_a3c.playing.episodes import PlayedEpisode
from mario_a3c.playing.mario import agent_game
from mario_a3c.training.resume import agent_of, load_state

WIDTH = 50
"""Pixels of the parts of a stage that deaths are counted in."""


def agent_of_run(folder: Path, target: Path) -> None:
    """Save the newest state of a run as an agent.

    Raises:
        CheckpointError: there is none that can be read.
    """
    tensors, metadata, _ = load_state(folder)
    save_agent(target, *agent_of(folder, tensors, metadata))


def play_all(agent: Path, episodes: int) -> list[PlayedEpisode]:
    """Play so many episodes with each of 0 to `NOOPS` no-op frames, in order of their numbers."""
    game = agent_game(agent, stochastic=True)
    played = game.play(episodes * (NOOPS + 1), seed=SEED, noops=range(NOOPS + 1))
    return sorted(played, key=lambda episode: episode.number)


def told(name: str, steps: int, played: list[PlayedEpisode]) -> str:
    """Return what came of the episodes, in three lines."""
    finished = Counter(e.number % (NOOPS + 1) for e in played if e.completed)
    died = Counter(e.max_x // WIDTH * WIDTH for e in played if not e.completed)
    numbers = " ".join(str(finished[noops]) for noops in range(NOOPS + 1))
    places = ", ".join(f"{x} ({count})" for x, count in died.most_common(6))
    return (
        f"{name}, {steps:,} steps: {finished.total()} of {len(played)} episodes finish, "
        f"{finished.total() / len(played):.1%}\n"
        f"  of {len(played) // (NOOPS + 1)} with each of 0 to {NOOPS} no-op frames: {numbers}\n"
        f"  most others end from x on: {places or '-'}"
    )


def main() -> int:
    """Play what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("agents", nargs="+", type=Path, help="agents, or folders of runs")
    parser.add_argument("--episodes", type=int, default=6, help="with each number (default: 6)")
    options = parser.parse_args()
    if options.episodes < 1:
        parser.error(f"--episodes must be 1 or more, not {options.episodes}.")
    torch.set_num_threads(1)  # several fight each other for cores that trainings share
    with tempfile.TemporaryDirectory() as place:
        for path in options.agents:
            try:
                agent = path
                if path.is_dir():
                    agent = Path(place) / "agent.safetensors"
                    agent_of_run(path, agent)
                steps = load_agent(agent).metadata["steps"]
                print(told(str(path), steps, play_all(agent, options.episodes)), flush=True)
            except CheckpointError as error:
                parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
