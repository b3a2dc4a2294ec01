"""Replay traces in the bare environment: ``python -m mario_a3c.replay TRACE.jsonl``.

Nothing of ours is in the way here but the reading of the file: every byte goes to
``SuperMarioBrosEnv.step``, and the environment says whether the stage was finished.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gym_super_mario_bros.smb_env import SuperMarioBrosEnv

from mario_a3c.envs.traces import Trace, read_traces


def completes(trace: Trace) -> bool:
    """Return whether the bare environment reaches the flag or axe of the stage with a trace.

    Raises:
        ValueError: if its episode ends before the trace does.
    """
    env = SuperMarioBrosEnv(target=(trace.world, trace.stage))
    env.reset()
    terminated, info = False, {}
    try:
        for frame, byte in enumerate(trace.buttons):
            if terminated:
                raise ValueError(f"the episode ends after {frame} of {len(trace.buttons)} frames")
            _, _, terminated, _, info = env.step(byte)
    finally:
        env.close()
    if not terminated or not info["flag_get"]:
        return False
    # A flag behind a warp zone is one of another stage.
    return (info["world"], info["stage"]) == (trace.world, trace.stage)


def _outcome(completed: bool) -> str:
    return "completes" if completed else "does not complete"


def check(trace: Trace) -> tuple[bool, str]:
    """Replay a trace; return whether it does what it says, and a sentence about that."""
    about = f"{trace.world}-{trace.stage}, {len(trace.buttons)} frames"
    try:
        completed = completes(trace)
    except ValueError as error:
        return False, f"{about}: DIFFERS: {error}"
    if completed != trace.completed:
        recorded = _outcome(trace.completed)
        return False, f"{about}: DIFFERS: {_outcome(completed)}, but was recorded as {recorded!r}"
    return True, f"{about}: {_outcome(completed)}, as recorded"


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay a file of traces; return 0 if all do what they say, 1 if not, 2 for bad input."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1:
        print("Usage: python -m mario_a3c.replay TRACE.jsonl", file=sys.stderr)
        return 2
    try:
        traces = read_traces(arguments[0])
    except OSError as error:
        print(f"The trace file {arguments[0]} cannot be read: {error.strerror}.", file=sys.stderr)
        return 2
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    status = 0
    for number, trace in enumerate(traces, 1):
        same, sentence = check(trace)
        status = status if same else 1
        print(f"{number}: {sentence}", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
