"""What the Mario task asks of an emulator: a batch of consoles playing one stage.

Two engines implement it: ``native`` (our own, in C++, see ``docs/engine.md``) and ``nes-py``
(the emulator inside gym-super-mario-bros). Both play the same game, frame for frame.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

ENGINES = ("auto", "native", "nes-py")
"""What an engine is asked for by; ``auto`` is native where it is there."""
RAM_SIZE = 2048
OBSERVATION_SIZE = 84
SCREEN_SHAPE = (240, 256, 3)


class Engine(Protocol):
    """A batch of ``B`` consoles, all with the same stage of Super Mario Bros in them.

    One *frame* below means one call of ``SuperMarioBrosEnv(target=(world, stage)).step(byte)``
    of gym-super-mario-bros, its skipping of cut-scenes included, so that the bytes given here can
    be replayed there.

    Attributes:
        name: ``"native"`` or ``"nes-py"``.
        num_games: the number of consoles, ``B``.
        ram: ``uint8 [B, 2048]``, the work RAM of every console as the last call left it.
    """

    name: str
    num_games: int
    ram: NDArray[np.uint8]

    def reset(self, game: int) -> None:
        """Put one console at the beginning of the stage, as the bare environment's reset does."""

    def step(
        self,
        buttons: NDArray[np.uint8],
        frames: NDArray[np.int32],
        observation: NDArray[np.uint8],
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Hold buttons for a number of frames on every console, stopping where a game ends.

        Args:
            buttons: ``uint8 [B]``, one controller byte a console (bit 0 is A, bit 7 is right).
            frames: ``int32 [B]``, how many frames to hold it; 0 leaves a console untouched.
            observation: ``uint8 [B, 84, 84]``, written in place with the grey picture after the
                last frame. A console with 0 frames, or whose game ends before its last frame,
                keeps what stands there.

        Returns:
            ``int32 [B]`` frames that really ran, and ``bool [B]`` whether the game has ended
            (death, flag or axe). An ended game must be reset or loaded before it is stepped again.
        """

    def screen(self, game: int) -> NDArray[np.uint8]:
        """Return the picture of one console in full colour, ``uint8 [240, 256, 3]`` RGB.

        It is the picture after the last frame of the last `step`, `reset` or `load`; after a
        `load` it is defined only once a frame has been stepped.
        """

    def observe(self, game: int) -> NDArray[np.uint8]:
        """Return what the agent sees of `screen`, as `step` would have written it.

        It is grey, ``uint8 [84, 84]``, and either the whole of it or a close-up of Mario, as the
        engine was made; see `mario_a3c.envs.observation`.
        """

    def save(self, game: int) -> Any:
        """Return a snapshot of one console's whole state (bytes, for the native engine)."""

    def load(self, game: int, state: Any) -> None:
        """Put one console into a saved state; raises ``ValueError`` for a corrupt snapshot."""

    def close(self) -> None:
        """Free the consoles."""
