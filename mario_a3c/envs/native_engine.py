"""Our own engine, in C++ (``native/``, explained in ``docs/engine.md``)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from gym_super_mario_bros._roms import decode_target, smb1_rom_path, smb2jp_rom_path
from numpy.typing import NDArray

from mario_a3c.envs.engine import RAM_SIZE
from mario_a3c.envs.native_source import NATIVE, source_digest

if TYPE_CHECKING:
    from mario_a3c import _native

_START = 0x08
_WORLD, _STAGE, _AREA = 0x075F, 0x075C, 0x0760
_PRE_LEVEL_TIMER = 0x07A0
_TIME = slice(0x07F8, 0x07FB)


def available() -> tuple[bool, str]:
    """Return whether the native engine can be used, and a sentence that says why (not)."""
    try:
        from mario_a3c import _native  # noqa: F401
    except ImportError as error:
        return False, f"the C++ extension mario_a3c._native is not installed ({error})"
    return True, "the C++ extension mario_a3c._native is installed"


def built_from() -> str:
    """Return the digest of the source that the extension was built from; "" for an old build."""
    from mario_a3c import _native

    return getattr(_native, "SOURCE_DIGEST", "")


def outdated() -> str:
    """Return a sentence if the extension was built from another source than ``native/`` holds now.

    It is empty if not, and where there is no source to compare with.
    """
    if not NATIVE.is_dir() or built_from() == source_digest():
        return ""
    return (
        "The C++ extension was not built from what native/ holds now: run 'pip install -e .' again."
    )


class NativeEngine:
    """A batch of native consoles behind the `Engine` protocol.

    Args:
        world: 1 to 8 (1 to 13 in The Lost Levels).
        stage: 1 to 4.
        num_games: the number of consoles.
        lost_levels: play Super Mario Bros: The Lost Levels instead.
        view: what observations show, one of `mario_a3c.envs.observation.VIEWS`.

    Raises:
        ImportError: if the C++ extension is not installed; see `available`.
        ValueError: for an unknown world or stage, or a number of games out of range.
    """

    name = "native"

    def __init__(
        self,
        world: int,
        stage: int,
        num_games: int,
        lost_levels: bool = False,
        view: str = "screen",
    ) -> None:
        from mario_a3c import _native

        rom = smb2jp_rom_path() if lost_levels else smb1_rom_path()
        self.num_games = num_games
        self._open: _native.Batch | None = _native.Batch(Path(rom).read_bytes(), num_games)
        self.ram: NDArray[np.uint8] = self._batch.ram
        _play_to_start(self._batch, self.ram[0], decode_target((world, stage), lost_levels))
        self._batch.set_start(0)
        if view == "close":  # an extension that is not built anew can show the screen
            self._batch.set_close(True)
        for game in range(num_games):
            self.reset(game)

    @property
    def _batch(self) -> _native.Batch:
        if self._open is None:
            raise RuntimeError("This engine has been closed; make another one.")
        return self._open

    def reset(self, game: int) -> None:
        """Put one console at the beginning of the stage, as the bare environment's reset does."""
        self._batch.reset(game)

    def step(
        self,
        buttons: NDArray[np.uint8],
        frames: NDArray[np.int32],
        observation: NDArray[np.uint8],
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Hold buttons for a number of frames on every console; see `Engine.step`.

        Other threads run meanwhile, and may step other engines.

        Raises:
            TypeError: for an array of another dtype.
            ValueError: for an array of another shape, one that is not C-contiguous, a read-only
                ``observation`` or negative ``frames``.
        """
        return self._batch.step(buttons, frames, observation)

    def play(
        self, game: int, buttons: NDArray[np.uint8], frames: int, snapshots: NDArray[np.uint8]
    ) -> tuple[int, int, bool]:
        """Play a sequence on one console in one call, undrawn, and keep every state on the way.

        Args:
            game: the console.
            buttons: ``uint8 [N]``, controller bytes.
            frames: how many frames each of them is held.
            snapshots: ``uint8 [N, SNAPSHOT_SIZE]``, row n is written after the n-th byte was held
                or the game ended; see `snapshot_ram`.

        Returns:
            how many bytes were begun, the frames run, and whether the game has ended.
        """
        return self._batch.play(game, buttons, frames, snapshots)

    def screen(self, game: int) -> NDArray[np.uint8]:
        """Return a copy of one console's picture, ``uint8 [240, 256, 3]`` RGB."""
        return self._batch.screen(game)

    def observe(self, game: int) -> NDArray[np.uint8]:
        """Return what the agent sees of `screen`, grey ``uint8 [84, 84]``."""
        return self._batch.observe(game)

    def save(self, game: int) -> bytes:
        """Return a snapshot of one console; it fits every console with the same ROM."""
        return self._batch.save(game)

    def load(self, game: int, state: bytes) -> None:
        """Put one console into a saved state.

        Raises:
            ValueError: if the state is damaged, or of another ROM or version.
        """
        self._batch.load(game, state)

    def close(self) -> None:
        """Free the consoles, as soon as nobody holds `ram` any more.

        Everything but closing once more raises ``RuntimeError`` from then on.
        """
        self._open = None


def new_snapshots(count: int) -> NDArray[np.uint8]:
    """Return room for snapshots, ``uint8 [count, SNAPSHOT_SIZE]``."""
    from mario_a3c import _native

    return np.zeros((count, _native.SNAPSHOT_SIZE), dtype=np.uint8)


def snapshot_ram(snapshots: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the RAM in snapshots, ``uint8 [N, 2048]``, a view of ``[N, SNAPSHOT_SIZE]``."""
    from mario_a3c import _native

    return snapshots[:, _native.SNAPSHOT_RAM : _native.SNAPSHOT_RAM + RAM_SIZE]


def _play_to_start(
    batch: _native.Batch, ram: NDArray[np.uint8], target: tuple[int, int, int]
) -> None:
    """Play console 0 through the title screen to the beginning of a stage.

    It presses the buttons and writes the RAM that `SuperMarioBrosEnv` does when it is made, so
    that both stand in the same frame.
    """

    def press_start() -> None:
        batch.run_frame(0, _START)

    def release() -> None:
        batch.run_frame(0, 0)

    def time_left() -> int:
        hundreds, tens, ones = ram[_TIME].tolist()
        return hundreds * 100 + tens * 10 + ones

    world, stage, area = target
    press_start()
    release()
    while time_left() == 0:
        press_start()
        ram[_WORLD], ram[_STAGE], ram[_AREA] = world - 1, stage - 1, area - 1
        release()
        ram[_PRE_LEVEL_TIMER] = 0
    last = time_left()
    while time_left() >= last:
        last = time_left()
        press_start()
        release()
