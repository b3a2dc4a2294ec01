"""The C++ extension (``native/binding.cpp``). `mario_a3c.envs.native_engine` is its face."""

import numpy as np
from numpy.typing import NDArray

SOURCE_DIGEST: str
"""What `mario_a3c.envs.native_source.source_digest` gave for the source this was built from."""
SNAPSHOT_SIZE: int
"""Bytes of a snapshot."""
SNAPSHOT_RAM: int
"""Where the 2,048 bytes of RAM begin in a snapshot."""

class Batch:
    """``B`` consoles with the same cartridge, 1 to 4096.

    Consoles are named by their index; a wrong one raises ``IndexError``. A batch serves one thread
    at a time; a second one gets a ``RuntimeError``.

    Raises:
        ValueError: for a ROM that is not a complete NTSC cartridge of mapper 0, or a wrong size.
    """

    def __init__(self, rom: bytes, size: int) -> None: ...
    def __len__(self) -> int: ...
    @property
    def ram(self) -> NDArray[np.uint8]:
        """``uint8 [B, 2048]``, a writable view of the consoles' RAM; it outlives the batch."""

    def press_reset(self, console: int) -> None:
        """Start one console afresh; its RAM keeps its contents."""

    def run_frame(self, console: int, buttons: int) -> None:
        """Run and draw one bare frame (29,781 processor cycles), without the game's rules."""

    def set_close(self, close: bool) -> None:
        """Let observations show what is around Mario, or, as at first, the whole picture."""

    def set_start(self, console: int) -> None:
        """Make the present state of one console the one that `reset` brings back, for all."""

    def reset(self, console: int) -> None:
        """Put one console at the start that `set_start` kept."""

    def step(
        self,
        buttons: NDArray[np.uint8],
        frames: NDArray[np.int32],
        observation: NDArray[np.uint8],
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Hold ``buttons [B]`` for ``frames [B]`` frames of the game; see `Engine.step`."""

    def play(
        self,
        console: int,
        buttons: NDArray[np.uint8],
        frames: int,
        snapshots: NDArray[np.uint8],
    ) -> tuple[int, int, bool]:
        """Hold each of ``buttons [N]`` for some frames of the game, undrawn, until the game ends.

        The state after each goes to ``snapshots``, ``uint8 [N, SNAPSHOT_SIZE]``. Returns how many
        buttons were begun, the frames run, and whether the game has ended.
        """

    def screen(self, console: int) -> NDArray[np.uint8]:
        """Return the last drawn picture, ``uint8 [240, 256, 3]`` RGB."""

    def observe(self, console: int) -> NDArray[np.uint8]:
        """Return the last drawn picture as an observation, ``uint8 [84, 84]``."""

    def save(self, console: int) -> bytes:
        """Return a snapshot of one console."""

    def load(self, console: int, snapshot: bytes) -> None:
        """Put one console into a saved state; ``ValueError`` for damaged or foreign bytes."""
