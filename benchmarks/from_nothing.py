"""What a campaign from nothing took for each stage, and how good its agents are.

    python train.py --all-stages --preset mario-sure --run-name sure --save-dir logs/sure-agents
    python -m benchmarks.from_nothing logs/sure --agents logs/sure-agents [--page docs/stages.md]

Notes in docs/from_nothing.csv every stage of the campaign that has had a turn, in place of what
was noted of it before, so that campaigns over some stages each can be made one after another. Time
is that of all its turns, from the search for a way to the last evaluation; steps are those of its
last run, which is the only one unless it was begun anew with another seed. The agents play what
those of the project play for docs/results.md, once: remove a stage's row to have it played again.
``--page`` renews the table there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from mario_a3c.benchmark.mario import EPISODES, measure_mario
from mario_a3c.checkpoint import CheckpointError
from mario_a3c.stages import STAGES_PER_WORLD, WORLDS
from mario_a3c.tables import markdown_table, read_rows, renew_table, write_rows
from mario_a3c.training.evaluation import ROBUST

TABLE = Path("docs", "from_nothing.csv")
COLUMNS = ("stage", "seed", "solved", "seconds", "steps", "greedy", "replayed", "sampled")

Row = dict[str, str]


def row_of(record: dict[str, Any], agents: Path, noted: Mapping[str, Row]) -> Row:
    """Return what a stage of a campaign took, and how its agent plays, if it has one.

    Args:
        record: of ``campaign.json``; it has had a turn.
        agents: the folder in which the campaign puts its agents.
        noted: the rows of before, by stage; that of this one is returned as it is, and no agent
            plays, if the stage has had no turn since.

    Raises:
        CheckpointError: its agent cannot be read.
    """
    stage = f"{record['world']}-{record['stage']}"
    took = {
        "stage": stage,
        "seed": str(record["run_seed"]),
        "solved": str(int(record["solved"])),
        "seconds": str(round(record["seconds"])),
        "steps": str(record["status"]["steps"]),
    }
    if stage in noted and took.items() <= noted[stage].items():
        return noted[stage]
    agent = agents / f"mario-{stage}.safetensors"
    played = measure_mario(agent) if agent.exists() else {}
    return took | {
        "greedy": str(int(played.get("greedy", False))),
        "replayed": str(int(played.get("replayed", False))),
        "sampled": str(played.get("sampled", 0)),
    }


def merged(rows: Iterable[Row], new: Iterable[Row]) -> list[Row]:
    """Return rows by stage, the new ones in place of others of the same stage."""
    by_stage = {row["stage"]: row for row in (*rows, *new)}
    return [row for _, row in sorted(by_stage.items())]


def table_of(rows: list[Row]) -> str:
    """Return a Markdown table, worlds against stages: minutes and how many episodes finish.

    Those that do not finish by their likeliest actions, in the bare game too, have a star.
    """
    cells = {}
    for row in rows:
        star = "" if row["greedy"] == row["replayed"] == "1" else "*"
        cells[row["stage"]] = f"{int(row['seconds']) / 60:.1f}: {row['sampled']}{star}"
    lines = [
        [str(world), *(cells.get(f"{world}-{stage}", "-") for stage in STAGES_PER_WORLD)]
        for world in WORLDS
    ]
    return markdown_table(["world", *(f"stage {stage}" for stage in STAGES_PER_WORLD)], lines)


def in_all(rows: list[Row]) -> str:
    """Return what all these stages took together, in a sentence."""
    hours = sum(int(row["seconds"]) for row in rows) / 3600
    steps = sum(int(row["steps"]) for row in rows)
    greedy = sum(row["greedy"] == row["replayed"] == "1" for row in rows)
    shares = [int(row["sampled"]) / EPISODES for row in rows]
    robust, sure = (sum(share >= least for share in shares) for least in (ROBUST, 0.95))
    return (
        f"{len(rows)} stages took {hours:.1f} hours and {steps:,} steps; {greedy} are finished by "
        f"the likeliest actions, {robust} in at least {ROBUST:.0%} of {EPISODES} sampled episodes "
        f"and {sure} in 95%."
    )


def main() -> int:
    """Note what the campaigns did, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("campaigns", nargs="+", type=Path, help="their folders")
    parser.add_argument("--agents", type=Path, required=True, help="where their agents are")
    parser.add_argument("--page", type=Path, help="page whose table is renewed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        records = [
            record
            for folder in arguments.campaigns
            for record in json.loads((folder / "campaign.json").read_text("utf-8"))
            if record["status"] and (record["solved"] or record["turns"])
        ]
        noted = {row["stage"]: row for row in read_rows(TABLE)}
        new = [row_of(record, arguments.agents, noted) for record in records]
        rows = merged(noted.values(), new)
        write_rows(TABLE, COLUMNS, rows)
        print(table := f"{table_of(rows)}\n\n{in_all(rows)}")
        if arguments.page:
            renew_table(arguments.page, "from-nothing", table)
    except (CheckpointError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except (LookupError, TypeError, ValueError) as error:
        print(f"That is no campaign, or the page has no table for it: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
