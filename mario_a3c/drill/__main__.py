"""Drill an agent until it finishes every time: ``python -m mario_a3c.drill AGENT DRILLED``.

An agent that is sure of itself plays hardly more than one game for each number of no-op frames, and
fails after a few of these always. In each round it plays all of them by its likeliest actions. What
it finishes is to stay as it is, and where it fails a way is looked for that differs from its own
play in as little as possible, by random actions shortly before the failure. Then it learns all ways
at once until the likeliest action is everywhere the one that they show, by a margin, or it has gone
through them so often: decisions that are right with something to spare are left alone.

It is self-imitation (Oh et al. 2018, arXiv:1806.05635) with the agent's failures corrected as in
dataset aggregation (Ross et al. 2011, arXiv:1011.0686), where a search is the expert. What it makes
surer are these numbers of no-op frames; how the agent does after others, which it did not practise,
is told as well. Its critic is not taught, so that a run from a drilled agent has to teach it first.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch
import tyro

from mario_a3c.checkpoint import CheckpointError
from mario_a3c.drill.drill import Drill, DrillOptions
from mario_a3c.faults import GameError, reason
from mario_a3c.files import check_writable

FINISHES_ALL, FAILS_SOME, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Drill and save; return 0, 1 if some numbers still fail, or 2 if that is not possible."""
    options = tyro.cli(DrillOptions, args=arguments, prog="python -m mario_a3c.drill")
    torch.set_num_threads(1)
    if problem := options.problem():
        print(f"mario_a3c.drill: {problem}", file=sys.stderr)
        return BAD_INPUT
    try:
        check_writable(options.drilled)
        drill = Drill(options.agent, options, lambda sentence: print(sentence, flush=True))
        others = range(options.noops + 1, 2 * options.noops + 2)
        drill.play(others)
        all_of_them = drill.run(options.drilled)
        drill.play(others)
    except OSError as error:
        place = error.filename or options.drilled
        print(f"mario_a3c.drill: {place}: {reason(error)}.", file=sys.stderr)
        return BAD_INPUT
    except (CheckpointError, GameError) as error:
        print(f"mario_a3c.drill: {reason(error)}.", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
    return FINISHES_ALL if all_of_them else FAILS_SOME


if __name__ == "__main__":
    sys.exit(main())
