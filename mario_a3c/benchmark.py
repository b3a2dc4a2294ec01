"""Measures every Mario agent in a folder and writes the tables of the documentation.

``python -m mario_a3c.benchmark`` plays each ``mario-W-S.safetensors`` greedily and in 200 sampled
episodes with 0-30 no-op frames, beside an agent that presses buttons at random, replays the greedy
episode in the bare ``gym_super_mario_bros`` on nes-py, and writes ``docs/results.md`` and the table
in the README. Nothing in those tables is typed by hand.
"""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from mario_a3c.checkpoint import load_agent
from mario_a3c.files import write_atomically
from mario_a3c.play_cli import PlayOptions, prepare
from mario_a3c.playing import PlayedEpisode, play_episodes
from mario_a3c.replay import completes

NOOPS = 30
COLUMNS = (
    "stage | greedy | replay in nes-py | sampled | time left | random: furthest x "
    "| steps | trained for | seed | means"
)
MARKERS = "<!-- table:agents -->", "<!-- end of table:agents -->"


@dataclass(frozen=True)
class BenchmarkOptions:
    """Play every Mario agent and write the results into the documentation."""

    saved_models: Path = Path("saved_models")
    """Folder of the agents."""
    episodes: int = 200
    """Sampled episodes of each."""
    seed: int = 1
    """Of the sampled episodes."""
    output: Path = Path("docs/results.md")
    """The page to write."""
    readme: Path = Path("README.md")
    """The page whose table is renewed."""


def main() -> int:
    """Measure and write."""
    options = tyro.cli(BenchmarkOptions, prog="python -m mario_a3c.benchmark")
    torch.set_num_threads(1)
    paths = sorted(options.saved_models.glob("mario-[1-8]-[1-4].safetensors"))
    if not paths:
        print(f"There is no mario-W-S.safetensors in {options.saved_models}.", file=sys.stderr)
        return 2
    rows = []
    for path in paths:
        rows.append(measure(path, options))
        print(rows[-1], flush=True)
    table = "\n".join([f"| {COLUMNS} |", "|" + " --- |" * (COLUMNS.count("|") + 1), *rows])
    write_atomically(options.output, _page(table, options).encode())
    _renew(options.readme, table)
    return 0


def measure(path: Path, options: BenchmarkOptions) -> str:
    """Return the row of one agent."""
    metadata = load_agent(path).metadata
    config = metadata["config"]
    world, stage = config["world"], config["stage"]
    greedy = _play(PlayOptions(world, stage, path), 1, 0, 0)[0]
    drawn = PlayOptions(world, stage, path, stochastic=True)
    sampled = _play(drawn, options.episodes, options.seed, NOOPS)
    at_random = _play(PlayOptions(world, stage, random=True), options.episodes, options.seed, NOOPS)
    finished = [episode for episode in sampled if episode.completed]
    replayed = completes(greedy.trace) if greedy.completed else False
    cells = [
        f"{world}-{stage}",
        "finishes" if greedy.completed else f"to x {greedy.max_x}",
        "finishes" if replayed else "no",
        f"{len(finished)} of {len(sampled)}",
        f"{np.mean([episode.time_left for episode in finished]):.0f}" if finished else "-",
        f"{np.mean([episode.max_x for episode in at_random]):.0f}",
        f"{metadata['steps']:,}",
        f"{metadata.get('seconds', 0) / 60:.1f} min",
        str(config["seed"]),
        _means(config),
    ]
    return "| " + " | ".join(cells) + " |"


def _play(options: PlayOptions, episodes: int, seed: int, noops: int) -> list[PlayedEpisode]:
    game, _ = prepare(options)
    return list(
        play_episodes(
            game.player,
            game.world,
            game.stage,
            episodes=episodes,
            seed=seed,
            noops=noops,
            **game.settings,
        )
    )


def _means(config: dict[str, Any]) -> str:
    """Say in a few words by what means an agent was trained, besides plain A3C."""
    means = []
    if config["epochs"] * config["minibatches"] > 1:
        means.append("reuse")
    if config.get("start_fraction"):
        means.append("starts on found ways")
    if config.get("retry_fraction"):
        means.append("retries")
    if config.get("load_from") or config.get("load_from_previous_stage"):
        means.append("warm start")
    if config["action_type"] != "simple":
        means.append(f"actions {config['action_type']}")
    return ", ".join(means) or "none"


def _page(table: str, options: BenchmarkOptions) -> str:
    machine = f"{platform.machine()}, Python {platform.python_version()}, torch {version('torch')}"
    return f"""# Results

Written by `python -m mario_a3c.benchmark`; nothing here is typed by hand. Every episode starts at
the beginning of its stage. Greedy: one episode, the likeliest action at every step. Replay: the
same button presses in the bare `gym_super_mario_bros` on nes-py. Sampled: {options.episodes}
episodes with actions drawn from the policy and 0-{NOOPS} no-op frames first (seed {options.seed}).
Time left: the game's clock where the stage was finished. Random: mean furthest x of as many
episodes with random buttons. Measured on {machine}; each agent's own
metadata tells the machine-independent rest. "Trained for" is wall-clock time of the evaluation
process when these weights were measured best, on two cores that other work shared.

{table}
"""


def _renew(readme: Path, table: str) -> None:
    """Put the table between its markers in the README, if they are there."""
    text = readme.read_text("utf-8")
    begin, end = (re.escape(marker) for marker in MARKERS)
    between = f"{MARKERS[0]}\n{table}\n{MARKERS[1]}"
    renewed = re.sub(f"{begin}.*?{end}", lambda _: between, text, flags=re.DOTALL)
    write_atomically(readme, renewed.encode())


if __name__ == "__main__":
    sys.exit(main())
