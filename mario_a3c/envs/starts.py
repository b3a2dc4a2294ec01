"""Episodes that begin somewhere along a recorded way instead of at the start of the stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mario_a3c.envs.engine import OBSERVATION_SIZE, Engine
from mario_a3c.envs.progress import Progress


@dataclass(frozen=True)
class Start:
    """A moment of a game from which an episode can begin.

    It belongs to the kind of engine that saved it; a snapshot of nes-py cannot leave its process.

    Attributes:
        state: the engine's snapshot.
        stack: ``uint8 [frame_stack, 84, 84]``, the observation.
        furthest: ``int32 [128]``, the ground reached in each map, which pays no more.
        buttons: the controller bytes that lead here from the start of the stage.
    """

    state: Any
    stack: NDArray[np.uint8]
    furthest: NDArray[np.int32]
    buttons: bytes


def starts_from_trace(
    engine: Engine,
    buttons: Sequence[int],
    *,
    noops: int = 0,
    every: int = 1,
    frame_skip: int = 4,
    frame_stack: int = 4,
) -> list[Start]:
    """Replay a trace on the first console of an engine and keep every n-th moment of decision.

    Args:
        engine: any engine with the stage of the trace; its first console is used up.
        buttons: controller bytes from reset on, one a frame, as a trace file holds them.
        noops: how many of them are the no-op frames before the first decision.
        every: keep one decision in this many; the first is always kept.
        frame_skip: frames a decision.
        frame_stack: observations in a stack.

    Returns:
        The moments in order, up to the last whole decision before the game ends.
    """
    picture = np.zeros((engine.num_games, OBSERVATION_SIZE, OBSERVATION_SIZE), dtype=np.uint8)
    first = np.zeros(1, dtype=np.intp)
    progress = Progress(1, frame_skip)

    def hold(byte: int, frames: int) -> bool:
        counts = np.zeros(engine.num_games, dtype=np.int32)
        counts[0] = frames
        held = np.full(engine.num_games, byte, dtype=np.uint8)
        return bool(engine.step(held, counts, picture)[1][0])

    engine.reset(0)
    if noops and hold(0, noops):
        return []
    picture[0] = engine.observe(0)
    stack = np.repeat(picture[:1], frame_stack, axis=0)
    progress.begin(first, engine.ram)
    starts = []
    for decision, position in enumerate(range(noops, len(buttons), frame_skip)):
        if decision % every == 0:
            furthest = progress.furthest[0].copy()
            state = engine.save(0)
            starts.append(Start(state, stack, furthest, bytes(buttons[:position])))
        pressed = buttons[position : position + frame_skip]
        if any(hold(byte, 1) for byte in pressed):
            break
        progress.update(engine.ram[:1])
        stack = np.concatenate([stack[1:], picture[:1]])
    return starts
