"""Traces: what was pressed in an episode, so that anyone can see it again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mario_a3c.envs.engine import OBSERVATION_SIZE, Engine
from mario_a3c.envs.engines import check_stage


@dataclass(frozen=True)
class Trace:
    """One episode.

    Attributes:
        world: 1 to 8.
        stage: 1 to 4.
        seed: what the episodes of the trace file were seeded with.
        noops: frames without a button before the first decision.
        completed: whether the episode reached the flag or axe of the stage.
        buttons: the controller byte of every frame from reset on, no-op frames included.
    """

    world: int
    stage: int
    seed: int
    noops: int
    completed: bool
    buttons: bytes

    def to_json(self) -> str:
        """Return the trace as one line of JSON."""
        return json.dumps({**vars(self), "buttons": list(self.buttons)})

    @classmethod
    def from_json(cls, line: str) -> Trace:
        """Read a line that `to_json` wrote.

        Raises:
            ValueError: if it is not one; the message says what is wrong with it.
        """
        try:
            fields = json.loads(line)
        except ValueError:
            raise ValueError("it is not JSON") from None
        if not isinstance(fields, dict):
            raise ValueError("it is not a JSON object")
        for name, kind in _KINDS.items():
            if type(fields.get(name)) is not kind:
                raise ValueError(f"its {name!r} is missing or not of type {kind.__name__}")
        check_stage(fields["world"], fields["stage"])
        try:
            buttons = bytes(fields["buttons"])
        except (TypeError, ValueError):
            raise ValueError("its 'buttons' are not numbers from 0 to 255") from None
        return cls(**{name: fields[name] for name in _KINDS if name != "buttons"}, buttons=buttons)


_KINDS = {
    "world": int,
    "stage": int,
    "seed": int,
    "noops": int,
    "completed": bool,
    "buttons": list,
}


def read_traces(path: str | Path) -> list[Trace]:
    """Read a file of traces.

    Raises:
        OSError: if it cannot be read.
        ValueError: if a line is not a trace; the message names the line.
    """
    traces = []
    for number, line in enumerate(Path(path).read_text("utf-8", "replace").splitlines(), 1):
        try:
            traces.append(Trace.from_json(line))
        except ValueError as error:
            raise ValueError(
                f"Line {number} of {path} is not a trace: {str(error).rstrip('.')}."
            ) from None
    return traces


def replay_pictures(engine: Engine, buttons: bytes) -> Iterator[NDArray[np.uint8]]:
    """Play an episode again on the first console of an engine and yield it in full colour.

    Args:
        engine: any engine with the stage of the episode in it.
        buttons: the controller byte of every frame from reset on.

    Yields:
        ``uint8 [240, 256, 3]`` RGB, one picture a byte, until the bytes or the game end.
    """
    frames = np.zeros(engine.num_games, dtype=np.int32)
    frames[0] = 1
    unused = np.zeros((engine.num_games, OBSERVATION_SIZE, OBSERVATION_SIZE), dtype=np.uint8)
    engine.reset(0)
    for byte in buttons:
        _, over = engine.step(np.full(engine.num_games, byte, dtype=np.uint8), frames, unused)
        yield engine.screen(0)
        if over[0]:
            return
