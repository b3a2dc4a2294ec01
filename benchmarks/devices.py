"""What a GPU brings: agent steps a second of whole trainings that learn on it, and on the CPU.

    python -m benchmarks.devices [--processes 1 8] [--games 16 64] [--seconds 20]

Every row is a real run of train.py on 1-1 with its default settings and its evaluation process.
Games are played on the CPU in both cases, networks are evaluated there; what the device does is to
choose the workers' actions and to compute their gradients. Measure on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile

import torch

from benchmarks.throughput import measure_training
from mario_a3c.tables import markdown_table

COLUMNS = ("learns on", "workers", "games each", "agent steps/s", "updates/s", "GPU memory, GiB")


def main() -> None:
    """Measure every device with every number of workers and games, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 8], help="workers")
    parser.add_argument("--games", type=int, nargs="+", default=[16], help="games of a worker")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each run is measured")
    arguments = parser.parse_args()
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    rows = []
    with tempfile.TemporaryDirectory() as ways:
        explore = [sys.executable, "-m", "mario_a3c.explore", "--stages", "1-1", "--seconds", "60"]
        explore += ["--no-shorten", "--action-type", "simple", "--out", ways]
        subprocess.run(explore, check=True)
        for games in arguments.games:
            for workers in arguments.processes:
                for device in devices:
                    options = ["--device", device, "--num-processes", str(workers)]
                    options += ["--num-games", str(games), "--paths", ways]
                    figures = measure_training("native", options, arguments.seconds)
                    speeds = [f"{figures[key]:,.0f}" for key in ("steps", "updates")]
                    taken = f"{figures['gpu_memory']:.1f}" if device == "cuda" else "-"
                    rows.append([device, str(workers), str(games), *speeds, taken])
                    print(*rows[-1], sep="  ", flush=True)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    print(f"{os.cpu_count()} cores, {gpu}, torch {torch.__version__}")
    print(markdown_table(COLUMNS, rows))


if __name__ == "__main__":
    main()
