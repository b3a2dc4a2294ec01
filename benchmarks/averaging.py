"""How the mean of a run's weights plays at several moments, beside the weights as they were.

    python benchmarks/averaging.py logs/RUN [--moments 5] [--episodes 100]

The mean is made of the run's checkpoints as the evaluation process makes it of the shared weights
(``--average-share``). So the run must have kept many: begin it with ``--keep 200 --save-interval
30``. Training does not know of either, so both come from the same run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from mario_a3c.average import play, read_all
from mario_a3c.checkpoint import CheckpointError, save_agent
from mario_a3c.faults import GameError
from mario_a3c.learning.averaging import WeightAverage
from mario_a3c.training.resume import agent_of, states
from mario_a3c.training.shared import STEPS

SEED = 1


def moments_of(paths: list[Path], moments: int) -> set[int]:
    """Return so many positions in the list of checkpoints, evenly spread; the last is one."""
    return {round(moment * (len(paths) - 1) / moments) for moment in range(1, moments + 1)}


def told(paths: list[Path], share: float, moments: int, episodes: int) -> Iterator[str]:
    """Yield for each moment what the weights and their mean play.

    Args:
        paths: of a run's checkpoints, the oldest first.
        share: of the mean.
        moments: how many, evenly spread over the checkpoints.
        episodes: sampled ones, beside the greedy one.

    Raises:
        CheckpointError: a file is missing or damaged.
        GameError: a game fails.
    """
    mean = WeightAverage(share)
    at = moments_of(paths, moments)
    for place, (path, (tensors, metadata)) in enumerate(zip(paths, read_all(paths), strict=True)):
        steps = int(tensors["counters"][:, STEPS].sum())
        mean.take(tensors["weights"], steps)
        if place not in at:
            continue
        found = []
        for name, weights in (("weights", tensors["weights"]), ("mean", mean.mean)):
            parts = {**tensors, "weights": weights}
            *_, evaluation = play(path, parts, metadata, episodes, SEED)
            found.append(f"{name}: {evaluation.summary()}")
        yield f"{steps:,} steps; {'; '.join(found)}"


def save_mean(folder: Path, share: float, target: Path) -> None:
    """Save the mean of all checkpoints that a run has kept as an agent.

    Args:
        folder: of the run.
        share: about this last part of the run's steps counts, as for `WeightAverage`.
        target: receives the agent.

    Raises:
        CheckpointError: there are none, or a file is damaged.
    """
    paths = states(folder)[::-1]
    if not paths:
        raise CheckpointError(f"{folder} holds no checkpoints.")
    mean = WeightAverage(share)
    read = read_all(paths)
    for tensors, _ in read:
        mean.take(tensors["weights"], int(tensors["counters"][:, STEPS].sum()))
    tensors, metadata = read[-1]
    save_agent(target, *agent_of(paths[-1], {**tensors, "weights": mean.mean}, metadata))


def main() -> int:
    """Play what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--share", type=float, default=0.125, help="of the mean (default: 0.125)")
    parser.add_argument("--moments", type=int, default=5, help="how many (default: 5)")
    parser.add_argument("--episodes", type=int, default=100, help="at each (default: 100)")
    options = parser.parse_args()
    if not 0 <= options.share <= 1 or min(options.moments, options.episodes) < 1:
        parser.error("--share must be 0 to 1, and --moments and --episodes 1 or more.")
    torch.set_num_threads(1)
    paths = states(options.run)[::-1]
    if not paths:
        parser.error(f"{options.run} holds no checkpoints.")
    try:
        print(f"{options.run}, {len(paths)} checkpoints, share {options.share:g}")
        for line in told(paths, options.share, options.moments, options.episodes):
            print(line, flush=True)
    except (CheckpointError, GameError) as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
