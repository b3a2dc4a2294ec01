"""What the search for a way through a stage takes: decisions and processor time until the first.

    python benchmarks/search_effort.py [--stages all] [--seeds 1] [--page docs/engine.md]

One process searches one stage after another. A seed always takes the same number of decisions, and
other work on the machine hardly touches processor time. All stages take some two minutes for each
seed on an idle machine. ``--page`` renews the table there.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from mario_a3c.search.search import Search
from mario_a3c.stages import parse_stages
from mario_a3c.tables import markdown_table, renew_table

SLOWEST = 8
"""How many stages have a line of their own."""
GIVEN_UP = 4_000_000
"""Decisions."""

Effort = tuple[int, float]
"""Decisions, and seconds of processor time."""


def first_way(world: int, stage: int, seed: int) -> Effort:
    """Search until there is a way.

    Raises:
        ValueError: if there is none after `GIVEN_UP` decisions.
    """
    begun = time.process_time()
    search = Search(world, stage, seed)
    search.run(lambda: search.decisions >= GIVEN_UP)
    if not search.best:
        raise ValueError(f"No way through {world}-{stage} after {GIVEN_UP:,} decisions.")
    return search.decisions, time.process_time() - begun


def effort_table(efforts: dict[str, list[Effort]]) -> str:
    """Return a Markdown table of the slowest stages, the others together, and all.

    Args:
        efforts: for each stage, one for each seed.
    """
    slowest = sorted(efforts, key=lambda stage: -sum(spent for _, spent in efforts[stage]))
    lines = {stage: [stage] for stage in slowest[:SLOWEST]}
    if slowest[SLOWEST:]:
        lines[f"the other {len(slowest) - SLOWEST}"] = slowest[SLOWEST:]
    lines[f"all {len(slowest)}"] = slowest
    rows = []
    for name, stages in lines.items():
        of_seeds = list(zip(*(efforts[stage] for stage in stages), strict=True))
        totals = [tuple(map(sum, zip(*seed, strict=True))) for seed in of_seeds]
        rows.append([name, *(f"{decisions:,} ({spent:.1f} s)" for decisions, spent in totals)])
    seeds = range(len(next(iter(efforts.values()))))
    return markdown_table(["stage", *(f"seed {seed}" for seed in seeds)], rows)


def main() -> int:
    """Search, print a table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stages", default="all")
    parser.add_argument("--seeds", type=int, default=1, help="how many, from 0")
    parser.add_argument("--page", type=Path, help="page whose table is renewed")
    arguments = parser.parse_args()
    try:
        if arguments.seeds < 1:
            raise ValueError(f"--seeds must be positive, not {arguments.seeds}.")
        efforts: dict[str, list[Effort]] = {}
        for world, stage in parse_stages(arguments.stages):
            name = f"{world}-{stage}"
            efforts[name] = [first_way(world, stage, seed) for seed in range(arguments.seeds)]
            print(name, efforts[name], flush=True)
        table = effort_table(efforts)
        print(table)
        if arguments.page:
            renew_table(arguments.page, "search-effort", table)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
