"""What each means of training Mario is worth: how far agents get with all of them but one.

    python -m benchmarks.means [--stages 3-3,4-1,5-4] [--seeds 1] [--steps 120000] [--page PAGE]

Every stage is trained from nothing by the defaults, by these with each means left out alone, and by
textbook A3C, for the same number of steps. The weights of the end then play sampled episodes, so
many with each of 0 to 30 no-op frames, and once the mean of the weights, which is what a run keeps
(--average-share) and training does not know of. All trainings of a stage learn along the same found
way, which docs/means/ keeps. A training that docs/means.csv has already is not made again;
``--page`` renews the table there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.averaging import save_mean
from benchmarks.by_noops import agent_of_run, play_all
from mario_a3c.checkpoint import CheckpointError
from mario_a3c.cli import parse
from mario_a3c.stages import parse_stages
from mario_a3c.tables import append_row, markdown_table, read_rows, renew_table, renewed

MEAN_PLAYS = "nothing, and the mean of the weights plays"
MEANS = {
    "nothing (the defaults)": [],
    "several passes over each rollout": ["--epochs", "1", "--minibatches", "1"],
    "starts on a found way, and its imitation": ["--start-fraction", "0", "--imitation-coef", "0"],
    "reward for new ground (the classic one instead)": ["--reward", "reference"],
    "the end of episodes that stall": ["--stall-limit", "0"],
    "pressed buttons in the picture": ["--no-display-buttons"],
    "an entropy bonus that falls": ["--entropy-coef-final", "0.01"],
    "no-op frames little by little": ["--no-gradual-noops"],
    MEAN_PLAYS: ["--keep", "1000", "--save-interval", "5"],
    "everything (textbook A3C, six workers)": ["--preset", "reference"],
}
"""What is left out, and the options that leave it out; `MEAN_PLAYS` needs checkpoints instead."""

WAYS = Path("docs", "means")
TABLE = Path("docs", "means.csv")
COLUMNS = ("stage", "means", "seed", "steps", "mean_x", "finish", "seconds")
EPISODES = 2
"""With each number of no-op frames."""
SHARE = parse([]).average_share
"""Of the run's steps, which the mean of the weights is over: the default of Mario's stages."""

Row = dict[str, str]


def find_ways(stages: list[str]) -> None:
    """Search a way through each stage that `WAYS` has none of.

    Raises:
        subprocess.CalledProcessError: the search fails.
    """
    missing = [stage for stage in stages if not (WAYS / f"{stage}.jsonl").exists()]
    if missing:
        command = [sys.executable, "-m", "mario_a3c.explore", "--stages", ",".join(missing)]
        command += ["--seconds", "40", "--action-type", "simple", "--out", str(WAYS)]
        subprocess.run(command, check=True)


def train(stage: str, means: str, seed: int, steps: int, folder: Path) -> Row:
    """Train a stage from nothing without one means, play the agent, and return what came of it.

    Args:
        stage: such as 3-3.
        means: one of `MEANS`.
        seed: of the training.
        steps: that it takes.
        folder: receives the run.

    Raises:
        CheckpointError: the run has left no state.
        subprocess.CalledProcessError: the training fails.
    """
    world, number = stage.split("-")
    name = f"{stage}-{list(MEANS).index(means)}-seed{seed}"
    command = [sys.executable, "train.py", "--world", world, "--stage", number]
    workers = [] if "--preset" in MEANS[means] else ["--num-processes", "1"]
    command += [*MEANS[means], *workers, "--seed", str(seed), "--paths", str(WAYS)]
    command += ["--num-global-steps", str(steps), "--no-until-solved", "--eval-episodes", "2"]
    command += ["--log-path", str(folder), "--run-name", name]
    subprocess.run([*command, "--saved-path", str(folder / "agents")], check=True)
    status = json.loads((folder / name / "status.json").read_text("utf-8"))
    with tempfile.TemporaryDirectory() as place:
        agent = Path(place, "agent.safetensors")
        if means == MEAN_PLAYS:
            save_mean(folder / name, SHARE, agent)
        else:
            agent_of_run(folder / name, agent)
        played = play_all(agent, EPISODES)
    return {
        "stage": stage,
        "means": means,
        "seed": str(seed),
        "steps": str(steps),
        "mean_x": str(round(sum(episode.max_x for episode in played) / len(played))),
        "finish": f"{sum(episode.completed for episode in played) / len(played):.3f}",
        "seconds": str(round(status["seconds"])),
    }


def means_table(rows: list[Row]) -> str:
    """Return a Markdown table: what is left out against stages, mean furthest x and who finishes.

    Several seeds stand beside each other in one cell.
    """
    stages = sorted({row["stage"] for row in rows})
    lines = []
    for means in MEANS:
        cells = []
        for stage in stages:
            of_cell = [row for row in rows if row["means"] == means and row["stage"] == stage]
            of_cell.sort(key=lambda row: int(row["seed"]))
            told = [f"{int(row['mean_x']):,} ({float(row['finish']):.0%})" for row in of_cell]
            cells.append(", ".join(told) or "-")
        if set(cells) != {"-"}:
            lines.append([means, *cells])
    return markdown_table(["left out", *stages], lines)


def main() -> int:
    """Train what is missing, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stages", default="3-3,4-1,5-4")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--steps", type=int, default=120_000, help="of every training")
    parser.add_argument("--page", type=Path, help="page whose table is renewed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path("logs", f"means-{time.strftime('%Y%m%d-%H%M%S')}")
    try:
        stages = [f"{world}-{stage}" for world, stage in parse_stages(arguments.stages)]
        if "8-4" in stages:
            raise ValueError("8-4 has no way without its own action set; choose other stages.")
        if arguments.page:
            renewed(arguments.page, "means", "")  # to fail now rather than in an hour
        done = [(row["stage"], row["means"], row["seed"], row["steps"]) for row in read_rows(TABLE)]
        wanted = [(s, means, seed) for seed in arguments.seeds for means in MEANS for s in stages]
        missing = [
            (stage, means, seed)
            for stage, means, seed in wanted
            if (stage, means, str(seed), str(arguments.steps)) not in done
        ]
        find_ways(stages if missing else [])
        for training in missing:
            row = train(*training, arguments.steps, folder)
            append_row(TABLE, COLUMNS, row)
            print(row, flush=True)
        rows = [row for row in read_rows(TABLE) if row["steps"] == str(arguments.steps)]
        table = means_table(rows)
        print(table)
        if arguments.page:
            renew_table(arguments.page, "means", table)
    except (CheckpointError, OSError, ValueError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
