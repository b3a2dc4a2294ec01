"""A batch of consoles as the Mario task uses them: watched, with a log of what was pressed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mario_a3c.envs.engine import OBSERVATION_SIZE, Engine
from mario_a3c.envs.starts import Start

FrameListener = Callable[[int, int, NDArray[np.uint8]], None]
"""Takes a game's index, its episode (counted from 0) and a picture ``uint8 [240, 256, 3]``."""


class Consoles:
    """An engine, the grey picture of every console, and what has happened on it.

    Attributes:
        engine: the emulator.
        picture: ``uint8 [B, 84, 84]``, the grey pictures after the last call.
        on_frame: called after every single frame, if given.
    """

    def __init__(self, engine: Engine, log_buttons: bool, on_frame: FrameListener | None) -> None:
        """Use an engine; keep every controller byte of an episode if ``log_buttons``."""
        size = (engine.num_games, OBSERVATION_SIZE, OBSERVATION_SIZE)
        self.engine = engine
        self.picture = np.zeros(size, dtype=np.uint8)
        self.on_frame = on_frame
        self._episode = [-1] * engine.num_games
        self._log = [bytearray() for _ in range(engine.num_games)] if log_buttons else None

    @property
    def logs(self) -> list[bytes] | None:
        """The controller bytes of every game since the start of the stage, one a frame."""
        return None if self._log is None else [bytes(log) for log in self._log]

    def pressed(self, game: int) -> bytes:
        """Return the controller bytes of one game since the start of the stage, if logged."""
        return b"" if self._log is None else bytes(self._log[game])

    def reset(self, games: list[int], noops: list[int]) -> None:
        """Begin an episode on some consoles, each with a number of frames without a button.

        A game that ends during those frames begins without them.
        """
        frames = np.zeros(self.engine.num_games, dtype=np.int32)
        for game, count in zip(games, noops, strict=True):
            self._episode[game] += 1
            self._reset_one(game)
            frames[game] = count
        if frames.any():
            _, over = self.hold(np.zeros(len(frames), dtype=np.uint8), frames)
            for game in np.flatnonzero(over).tolist():
                self._reset_one(game)
        for game in games:
            self.picture[game] = self.engine.observe(game)

    def _reset_one(self, game: int) -> None:
        self.engine.reset(game)
        if self._log is not None:
            self._log[game] = bytearray()

    def begin_at(self, game: int, start: Start) -> None:
        """Begin an episode on one console from somewhere along a recorded way."""
        self._episode[game] += 1
        self.engine.load(game, start.state)
        self.picture[game] = start.stack[-1]
        if self._log is not None:
            self._log[game] = bytearray(start.buttons)

    def hold(
        self, buttons: NDArray[np.uint8], frames: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Hold buttons for a number of frames, as `Engine.step` does and with its result."""
        if self.on_frame is None:
            ran, over = self.engine.step(buttons, frames, self.picture)
        else:
            ran, over = self._hold_watched(self.on_frame, buttons, frames)
        if self._log is not None:
            for log, byte, count in zip(self._log, buttons.tolist(), ran.tolist(), strict=True):
                log.extend([byte] * count)
        return ran, over

    def _hold_watched(
        self, on_frame: FrameListener, buttons: NDArray[np.uint8], frames: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Step the engine frame by frame, to the same effect as all at once."""
        picture = self.picture.copy()
        ran = np.zeros(self.engine.num_games, dtype=np.int32)
        over = np.zeros(self.engine.num_games, dtype=np.bool_)
        while (running := (ran < frames) & ~over).any():
            over |= self.engine.step(buttons, running.astype(np.int32), picture)[1]
            ran += running
            for game in np.flatnonzero(running).tolist():
                on_frame(game, self._episode[game], self.engine.screen(game))
        whole = ran == frames
        self.picture[whole] = picture[whole]
        return ran, over
