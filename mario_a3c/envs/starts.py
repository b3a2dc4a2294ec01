"""Recorded ways through a stage, replayed: episodes may begin somewhere along them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mario_a3c.envs import ram as fields
from mario_a3c.envs.engine import OBSERVATION_SIZE, Engine
from mario_a3c.envs.observation import show_buttons
from mario_a3c.envs.progress import NUM_STRIPS, Progress, strip
from mario_a3c.envs.traces import Trace


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


class Replay:
    """Plays recorded buttons on the first console of an engine, decision by decision.

    Attributes:
        stack: ``uint8 [frame_stack, 84, 84]``, the observation of the next decision.
        progress: positions and ground of the one game.
        ended: whether the game has ended.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        noops: int = 0,
        frame_skip: int = 4,
        frame_stack: int = 4,
        display_buttons: bool = False,
    ) -> None:
        """Begin the stage, and wait for some frames without a button."""
        self._engine, self._display_buttons = engine, display_buttons
        size = (engine.num_games, OBSERVATION_SIZE, OBSERVATION_SIZE)
        self._picture = np.zeros(size, dtype=np.uint8)
        self.progress = Progress(1, frame_skip)
        engine.reset(0)
        self.ended = bool(noops) and self._hold(0, noops)
        self._picture[0] = engine.observe(0)
        self.stack = np.repeat(self._seen(0), frame_stack, axis=0)
        self.progress.begin(np.zeros(1, dtype=np.intp), engine.ram)

    @property
    def place(self) -> tuple[int, int]:
        """The map in which Mario is, and the strip of its ground."""
        return int(fields.area(self._engine.ram)[0]), int(strip(self.progress.x)[0])

    def decide(self, buttons: Sequence[int]) -> None:
        """Press one byte a frame for a decision."""
        self.ended = any(self._hold(byte, 1) for byte in buttons)
        self.stack = np.concatenate([self.stack[1:], self._seen(buttons[-1])])
        self.progress.update(self._engine.ram[:1])

    def _seen(self, byte: int) -> NDArray[np.uint8]:
        """Return the present picture as the agent sees it, ``uint8 [1, 84, 84]``."""
        picture = self._picture[:1].copy()
        if self._display_buttons:
            show_buttons(picture, np.array([byte], dtype=np.uint8))
        return picture

    def _hold(self, byte: int, frames: int) -> bool:
        counts = np.zeros(self._engine.num_games, dtype=np.int32)
        counts[0] = frames
        held = np.full(self._engine.num_games, byte, dtype=np.uint8)
        return bool(self._engine.step(held, counts, self._picture)[1][0])


def starts_from_trace(
    engine: Engine,
    buttons: Sequence[int],
    *,
    noops: int = 0,
    every: int = 1,
    frame_skip: int = 4,
    frame_stack: int = 4,
    display_buttons: bool = False,
) -> list[Start]:
    """Replay a trace on the first console of an engine and keep every n-th moment of decision.

    Args:
        engine: any engine with the stage of the trace; its first console is used up.
        buttons: controller bytes from reset on, one a frame, as a trace file holds them.
        noops: how many of them are the no-op frames before the first decision.
        every: keep one decision in this many; the first is always kept.
        frame_skip: frames a decision.
        frame_stack: observations in a stack.
        display_buttons: as the environment that begins there has it.

    Returns:
        The moments in order, up to the last whole decision before the game ends.
    """
    replay = Replay(
        engine,
        noops=noops,
        frame_skip=frame_skip,
        frame_stack=frame_stack,
        display_buttons=display_buttons,
    )
    starts = []
    for decision, position in enumerate(range(noops, len(buttons), frame_skip)):
        if replay.ended:
            break
        if decision % every == 0:
            furthest = replay.progress.furthest[0].copy()
            state = engine.save(0)
            starts.append(Start(state, replay.stack, furthest, bytes(buttons[:position])))
        replay.decide(buttons[position : position + frame_skip])
    return starts


def ground_along(engine: Engine, ways: Sequence[Trace], frame_skip: int = 4) -> NDArray[np.bool_]:
    """Return which ground some ways pass, ``bool [128, NUM_STRIPS]``, as `Progress` counts it.

    A strip more to either side counts too. Where a wrong fork leads, no way has passed.

    Args:
        engine: any engine with the stage of the ways; its first console is used up.
        ways: traces of that stage; each decision holds its buttons for ``frame_skip`` frames.
        frame_skip: frames a decision.
    """
    passed = np.zeros((fields.NUM_AREAS, NUM_STRIPS), dtype=np.bool_)
    for way in ways:
        replay = Replay(engine, noops=way.noops, frame_skip=frame_skip)
        for position in range(way.noops, len(way.buttons), frame_skip):
            if replay.ended:
                break
            area, here = replay.place
            passed[area, max(0, here - 1) : here + 2] = True
            replay.decide(way.buttons[position : position + frame_skip])
    return passed
