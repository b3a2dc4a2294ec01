"""What the tests of the Mario task share: real episodes, and both engines."""

from pathlib import Path

import numpy as np
import pytest

from mario_a3c.envs.actions import controller_bytes
from mario_a3c.envs.engines import native_available
from mario_a3c.envs.traces import Trace, read_traces

DATA = Path(__file__).parent / "data"

needs_native = pytest.mark.skipif(not native_available()[0], reason=native_available()[1])
on_both_engines = pytest.mark.parametrize(
    "engine", ["nes-py", pytest.param("native", marks=needs_native)]
)


def recorded(stage: str) -> Trace:
    """Return an episode that finishes a stage; ``stage`` is for example ``1-1``."""
    return read_traces(DATA / f"mario-{stage}.jsonl")[0]


def decisions(trace: Trace, action_set: str = "complex") -> list[int]:
    """Return the actions of a trace, one for every 4 frames."""
    index = {byte: action for action, byte in enumerate(controller_bytes(action_set).tolist())}
    return [index[byte] for byte in trace.buttons[::4]]


def same(action: int, games: int) -> np.ndarray:
    """Return the same action for every game."""
    return np.full(games, action)
