"""Consoles of the native engine that leave frames undrawn, as training and the search do."""

from __future__ import annotations

from itertools import groupby

import numpy as np

from mario_a3c.envs.native_engine import NativeEngine, new_snapshots

DECISION = 4
STEPPED, PLAYED = 0, 1


class Undrawn:
    """Two consoles that get the buttons of a console whose every frame is drawn.

    They follow it by decisions of four frames. The first is stepped as in training, which draws the
    last frame of a button that is held; the second is played as in the search, which draws none.
    After every decision both must be in the very state of the console they follow, all of its RAM
    included.

    Args:
        world: 1 to 8 (1 to 13 in The Lost Levels).
        stage: 1 to 4.
        lost_levels: follow The Lost Levels instead.
    """

    def __init__(self, world: int, stage: int, lost_levels: bool) -> None:
        self.engine = NativeEngine(world, stage, 2, lost_levels)
        self._pressed: list[int] = []
        self._observation = np.empty((2, 84, 84), dtype=np.uint8)
        self._snapshots = new_snapshots(2 * DECISION)

    def begin(self) -> None:
        """Begin the stage."""
        self._pressed = []
        for game in (STEPPED, PLAYED):
            self.engine.reset(game)

    def press(self, byte: int) -> bool:
        """Note the controller byte of a frame; return whether it completes a decision."""
        self._pressed.append(byte)
        return len(self._pressed) == DECISION

    def differences(self, drawn: NativeEngine, ended: bool) -> list[str]:
        """Catch up, and return a few words for everything that differs from ``drawn``.

        Where the game has ended, the last button is held for another decision. Nothing of that may
        be played: a game that ends inside a decision stops there.
        """
        pressed = self._pressed + ended * DECISION * self._pressed[-1:]
        self._pressed = []
        over = self._step(pressed), self._play(pressed)
        state, different = drawn.save(0), []
        for game, how in ((STEPPED, "stepped with the last frame drawn"), (PLAYED, "undrawn")):
            if over[game] != ended:
                different.append(f"the game {how} has {'not ' * ended}ended")
            if self.engine.save(game) != state:
                different.append(f"the game {how} is in another state")
        if not np.array_equal(self.engine.observe(STEPPED), drawn.observe(0)):
            different.append("the observation after undrawn frames differs")
        return different

    def _step(self, pressed: list[int]) -> bool:
        over = False
        for byte, frames in groupby(pressed):
            held, count = np.full(2, byte, dtype=np.uint8), np.zeros(2, dtype=np.int32)
            count[STEPPED] = len(list(frames))
            over = bool(self.engine.step(held, count, self._observation)[1][STEPPED])
        return over

    def _play(self, pressed: list[int]) -> bool:
        buttons = np.array(pressed, dtype=np.uint8)
        return self.engine.play(PLAYED, buttons, 1, self._snapshots[: len(pressed)])[2]
