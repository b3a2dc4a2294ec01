"""The engine that runs everywhere: the emulator inside gym-super-mario-bros."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from gym_super_mario_bros.smb_env import SuperMarioBrosEnv
from numpy.typing import NDArray

from mario_a3c.envs import ram as fields
from mario_a3c.envs.engine import RAM_SIZE, SCREEN_SHAPE
from mario_a3c.envs.observation import close_up, downsample


class _UnbootedEnv(SuperMarioBrosEnv):
    """A console that waits for a snapshot instead of playing through the title screen."""

    def _skip_start_screen(self) -> None:
        pass


@dataclass(frozen=True)
class _Snapshot:
    """A state of a console, and the console whose cartridge it goes on reading from.

    A nes-py snapshot points into the cartridge of the console that it was first taken on, even
    when it is loaded into another one, so that console must stay alive for as long.
    """

    state: Any
    cartridge: SuperMarioBrosEnv


class NesPyEngine:
    """A batch of nes-py consoles behind the `Engine` protocol.

    Each frame does what ``SuperMarioBrosEnv.step(byte)`` does to the game, by its own functions,
    and leaves out the reward and the dictionary of figures that it computes besides. All consoles
    share the snapshot of the stage's beginning, so that only one of them boots.

    Args:
        world: 1 to 8.
        stage: 1 to 4.
        num_games: the number of consoles.
        lost_levels: play Super Mario Bros: The Lost Levels instead.
        view: what observations show, one of `mario_a3c.envs.observation.VIEWS`.
    """

    name = "nes-py"

    def __init__(
        self,
        world: int,
        stage: int,
        num_games: int,
        lost_levels: bool = False,
        view: str = "screen",
    ) -> None:
        target = (world, stage)
        self.num_games = num_games
        booted = SuperMarioBrosEnv(lost_levels, target)
        others = [_UnbootedEnv(lost_levels, target) for _ in range(num_games - 1)]
        self._games = [booted, *others]
        self._cartridges = list(self._games)
        self._beginning = self.save(0)
        self._close = view == "close"
        self._luma = np.empty(SCREEN_SHAPE[:2], dtype=np.uint8)
        self.ram = np.empty((num_games, RAM_SIZE), dtype=np.uint8)
        for game in range(num_games):
            self.reset(game)

    def reset(self, game: int) -> None:
        """Put one console at the beginning of the stage, as the bare environment's reset does."""
        self.load(game, self._beginning)

    def step(
        self,
        buttons: NDArray[np.uint8],
        frames: NDArray[np.int32],
        observation: NDArray[np.uint8],
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Hold buttons for a number of frames on every console; see `Engine.step`."""
        ran = np.zeros(self.num_games, dtype=np.int32)
        ended = np.zeros(self.num_games, dtype=np.bool_)
        held = buttons.tolist()
        for game, count in enumerate(frames.tolist()):
            if count == 0:
                continue
            while ran[game] < count and not ended[game]:
                ended[game] = self._frame(game, held[game])
                ran[game] += 1
            self.ram[game] = self._console(game).ram
            if ran[game] == count:
                observation[game] = self.observe(game)
        return ran, ended

    def _console(self, game: int) -> SuperMarioBrosEnv:
        if not self._games:
            raise RuntimeError("This engine has been closed; make another one.")
        return self._games[game]

    def _frame(self, game: int, byte: int) -> bool:
        """Do what ``step(byte)`` does to the game and return whether it has ended."""
        env = self._console(game)
        env._frame_advance(byte)
        if env._get_terminated():
            return True
        env._did_step(False)
        return False

    def screen(self, game: int) -> NDArray[np.uint8]:
        """Return a copy of one console's picture, ``uint8 [240, 256, 3]`` RGB."""
        return self._console(game).observation("rgb_array_contiguous")

    def observe(self, game: int) -> NDArray[np.uint8]:
        """Return what the agent sees of `screen`, grey ``uint8 [84, 84]``."""
        luma = self._console(game).observation("grayscale", self._luma)
        if not self._close:
            return downsample(luma)
        ram = self.ram[game : game + 1]
        return close_up(luma, int(fields.x_on_screen(ram)[0]), int(fields.y_on_screen(ram)[0]))

    def save(self, game: int) -> Any:
        """Return a snapshot of one console; it lives in this process only."""
        return _Snapshot(self._console(game).dump_state(), self._cartridges[game])

    def load(self, game: int, state: Any) -> None:
        """Put one console into a saved state.

        Raises:
            ValueError: if the state is not a snapshot of this engine.
        """
        if not isinstance(state, _Snapshot):
            raise ValueError("This is not a snapshot of the nes-py engine.")
        self._console(game).load_state(state.state)
        self._cartridges[game] = state.cartridge
        self.ram[game] = self._console(game).ram

    def close(self) -> None:
        """Free the consoles."""
        for game in self._games:
            game.close()
        self._games = []
