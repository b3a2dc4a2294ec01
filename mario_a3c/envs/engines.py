"""Which emulator runs the Mario task, and why."""

from __future__ import annotations

import importlib

from mario_a3c.envs.engine import ENGINES, Engine
from mario_a3c.envs.nes_py_engine import NesPyEngine
from mario_a3c.envs.observation import VIEWS


def native_available() -> tuple[bool, str]:
    """Return whether the native engine can run here and, if it cannot, why."""
    try:
        native = importlib.import_module("mario_a3c.envs.native_engine")
    except ImportError as error:
        return False, f"it cannot be imported ({error})"
    return native.available()


def choose_engine(name: str) -> tuple[str, str]:
    """Return the engine that a name stands for, and a sentence that says which one runs and why.

    Args:
        name: ``native``, ``nes-py``, or ``auto`` for native where it is there.

    Raises:
        ValueError: for an unknown name, or if native is asked for and cannot run.
    """
    if name not in ENGINES:
        raise ValueError(f"The engine {name!r} is unknown; choose one of {', '.join(ENGINES)}.")
    if name == "nes-py":
        return name, "The nes-py engine runs, as asked."
    available, reason = native_available()
    if name == "native" and not available:
        raise ValueError(f"The native engine is not available: {reason}; choose nes-py.")
    if not available:
        because = f"the native one is not available: {reason}"
        return "nes-py", f"The nes-py engine runs, because {because}."
    why = "as asked" if name == "native" else "because it is installed"
    outdated = importlib.import_module("mario_a3c.envs.native_engine").outdated()
    return "native", f"The native engine runs, {why}. {outdated}".rstrip()


def make_engine(name: str, world: int, stage: int, num_games: int, view: str = "screen") -> Engine:
    """Return a batch of consoles with a stage in them.

    Args:
        name: ``native``, ``nes-py``, or ``auto`` for native where it is there.
        world: 1 to 8.
        stage: 1 to 4.
        num_games: the number of consoles, at least 1.
        view: what observations show, one of `mario_a3c.envs.observation.VIEWS`.

    Raises:
        ValueError: for an unknown or unavailable engine, an unknown view, or a stage that is not in
            the game.
    """
    check_stage(world, stage)
    if view not in VIEWS:
        raise ValueError(f"The view {view!r} is unknown; choose one of {', '.join(VIEWS)}.")
    if num_games < 1:
        raise ValueError(f"There must be at least 1 game, not {num_games}.")
    chosen, _ = choose_engine(name)
    if chosen == "nes-py":
        return NesPyEngine(world, stage, num_games, view=view)
    native = importlib.import_module("mario_a3c.envs.native_engine")
    return native.NativeEngine(world, stage, num_games, view=view)


def check_stage(world: int, stage: int) -> None:
    """Raise ``ValueError`` unless there is such a stage in Super Mario Bros."""
    if not 1 <= world <= 8:
        raise ValueError(f"There is no world {world}; worlds go from 1 to 8.")
    if not 1 <= stage <= 4:
        raise ValueError(f"There is no stage {stage}; stages go from 1 to 4.")
