"""The mean of a run's last checkpoints as an agent: ``python -m mario_a3c.average RUN AGENT``.

While a policy is still being moved by noisy gradients, its weights circle around what they are
drawn to, and their mean lies nearer to it than the last of them (Polyak and Juditsky 1992; for
policies Nikishin et al. 2018, "Improving Stability in Deep Reinforcement Learning with Weight
Averaging"). A run keeps as many checkpoints as ``--keep`` says, ``--save-interval`` seconds apart.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from torch import Tensor

from mario_a3c.checkpoint import CheckpointError, read_tensors, save_agent
from mario_a3c.faults import GameError, reason
from mario_a3c.files import check_writable
from mario_a3c.learning.model import ActorCritic
from mario_a3c.training.evaluate import Evaluator
from mario_a3c.training.evaluation import Evaluation
from mario_a3c.training.resume import agent_of, settings_of, states

BAD_INPUT = 2
PARTS = "weights", "counters", "statistics"
"""What an agent is made of."""
LEAST = 2
"""Checkpoints that have a mean."""


@dataclass(frozen=True)
class AverageOptions:
    """Average the weights of a run's checkpoints, play with the mean, and save it as an agent."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""
    agent: Annotated[Path, tyro.conf.Positional]
    """File to write."""
    last: int = 0
    """So many checkpoints, the newest ones; 0 for all that the run has kept."""
    episodes: int = 100
    """Sampled episodes that the mean plays, for the score that its file tells."""
    seed: int = 1
    """Seed of these episodes."""


State = tuple[dict[str, Tensor], dict[str, Any]]
"""A checkpoint's tensors and its metadata."""


def read_all(paths: Sequence[Path]) -> list[State]:
    """Read the `PARTS` of a run's checkpoints.

    Raises:
        CheckpointError: one is missing or damaged, or they are of different networks.
    """
    read: list[State] = []
    for path in paths:  # without the optimizer's moments, which are two thirds of a checkpoint
        tensors, told = read_tensors(path)
        read.append(({name: tensors[name] for name in PARTS if name in tensors}, told))
    shapes = {tuple(part.shape for part in parts.values()) for parts, _ in read}
    if len(shapes) > 1 or len(shapes.pop()) < len(PARTS):
        raise CheckpointError(
            f"The checkpoints in {paths[0].parent} are of different networks, or of no run."
        )
    return read


def play(
    path: Path, tensors: dict[str, Tensor], told: dict[str, Any], episodes: int, seed: int
) -> tuple[ActorCritic, dict[str, Any], Evaluation]:
    """Play with the weights of a checkpoint.

    Args:
        path: where it was read, for errors.
        tensors: of the checkpoint.
        told: its metadata.
        episodes: sampled ones, beside a greedy one.
        seed: of the episodes.

    Returns:
        the network, what its file would tell, and how it played.

    Raises:
        CheckpointError: it is of another version, or would import code.
        GameError: a game fails.
    """
    model, metadata = agent_of(path, tensors, told)
    config = replace(settings_of(path, told), eval_episodes=episodes)
    if config.imports:
        raise CheckpointError(
            f"The run in {path.parent} imports Python code, {config.imports}, which is done for "
            "train.py and play.py only."
        )
    torch.manual_seed(seed)
    evaluator = Evaluator(config, model.spec, seed)
    try:
        return model, metadata, evaluator.play(metadata["steps"], model)
    finally:
        evaluator.env.close()


def average(paths: Sequence[Path], episodes: int, seed: int, agent: Path) -> Evaluation:
    """Play with the mean of checkpoints, the newest first, save it, and return how it played.

    Raises:
        CheckpointError: a file is missing or damaged, or they are of different networks.
        GameError: a game fails.
        OSError: the agent cannot be written; what stood there is intact.
    """
    check_writable(agent)
    read = read_all(paths)
    tensors, told = read[0]
    weights = torch.stack([each["weights"] for each, _ in read]).mean(dim=0)
    model, metadata, evaluation = play(
        paths[0], {**tensors, "weights": weights}, told, episodes, seed
    )
    added = {"averaged": len(paths), "evaluation": evaluation.to_dict()}
    save_agent(agent, model, metadata | added)
    return evaluation


def main(arguments: Sequence[str] | None = None) -> int:
    """Average and save; return 0, or 2 if that is not possible."""
    options = tyro.cli(AverageOptions, args=arguments, prog="python -m mario_a3c.average")
    torch.set_num_threads(1)
    if options.last < 0 or options.episodes < 1:
        print(
            f"mario_a3c.average: --last {options.last} and --episodes {options.episodes} are not "
            "possible; give at least 0 and 1.",
            file=sys.stderr,
        )
        return BAD_INPUT
    paths = states(options.run)[: options.last or None]
    if len(paths) < LEAST:
        print(
            f"mario_a3c.average: a mean takes at least {LEAST} checkpoints, and these are "
            f"{len(paths)} of {options.run}. A run keeps as many as its --keep says.",
            file=sys.stderr,
        )
        return BAD_INPUT
    try:
        evaluation = average(paths, options.episodes, options.seed, options.agent)
    except OSError as error:
        print(f"mario_a3c.average: {options.agent}: {reason(error)}.", file=sys.stderr)
        return BAD_INPUT
    except (CheckpointError, GameError) as error:
        print(f"mario_a3c.average: {reason(error)}.", file=sys.stderr)
        return BAD_INPUT
    print(f"The mean of {len(paths)} checkpoints is in {options.agent}: {evaluation.summary()}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
