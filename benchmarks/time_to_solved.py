"""Wall-clock time from nothing to a solved stage, over several seeds.

    python benchmarks/time_to_solved.py [--world 1 --stage 1] [--seeds 1 2 3] [-- train.py options]

Solved means what `--until-solved` means: the evaluation process finishes the stage greedily
and in at least 8 of 10 sampled episodes, twice in a row. Measure on an otherwise idle machine.
Agents go to a folder of their own, so that no shipped one is replaced.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table


def main() -> None:
    """Train once per seed and print a table of how long each took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--world", default="1")
    parser.add_argument("--stage", default="1")
    parser.add_argument("--seeds", nargs="+", default=["1", "2", "3"])
    parser.add_argument("--hours", default="0.5", help="longest time for a seed")
    parser.add_argument("options", nargs="*", help="further options of train.py, after --")
    arguments = parser.parse_args()
    name = f"solve-{arguments.world}-{arguments.stage}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = Path("logs", name)
    table = Table("seed", "solved", "seconds", "steps", "updates", "steps/s", "last evaluation")
    times = []
    for seed in arguments.seeds:
        command = [sys.executable, "train.py", "--world", arguments.world]
        command += ["--stage", arguments.stage, "--seed", seed, "--hours", arguments.hours]
        command += ["--log-path", str(folder), "--run-name", f"seed{seed}"]
        command += ["--saved-path", str(folder / "agents"), *arguments.options]
        subprocess.run(command, check=True)
        status = json.loads((folder / f"seed{seed}" / "status.json").read_text("utf-8"))
        if status["solved"]:
            times.append(status["seconds"])
        table.add_row(
            seed,
            "yes" if status["solved"] else "no",
            f"{status['seconds']:.0f}",
            f"{status['steps']:,}",
            f"{status['updates']:,}",
            f"{status['steps'] / status['seconds']:.0f}",
            status["evaluation"],
        )
    table.title = f"{arguments.world}-{arguments.stage} on {os.cpu_count()} cores"
    if times:
        table.caption = f"median of the solved ones: {statistics.median(times):.0f} s"
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
