"""Named settings, from ``presets.toml``: which of them a run starts from, and how they fit it."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from mario_a3c.config import ConfigError
from mario_a3c.envs.atari import is_atari

if TYPE_CHECKING:
    from mario_a3c.config import RunConfig

NONE = "none"
MARIO = "mario"
"""The preset of every stage of Mario that has none of its own, and what others build on."""
BASE = "base"
"""Key of a preset that names the one it changes."""
SHORTEST_SEQUENCE = 4
"""Steps from which an LSTM still learns what to remember."""


def presets() -> dict[str, dict[str, Any]]:
    """Return the presets of ``presets.toml`` by name, each as the fields of `RunConfig` it sets."""
    tables = _tables()
    return {name: _resolve(name, tables) for name in tables}


def settings_for(config: RunConfig) -> tuple[str, dict[str, Any]]:
    """Return the name and the settings of the preset that a run asks for, or that its task has.

    Args:
        config: names the task and, perhaps, a preset. Without one, a task starts from the preset
            that has its id, for Mario ``mario-4-4`` or the like; any other stage from ``mario``,
            any other Atari game from ``atari``, any other task from ``gymnasium``. ``none`` is no
            preset. What the preset of a stage says of it goes for the presets that build on
            ``mario`` too.

    Raises:
        ConfigError: there is no such preset.
    """
    known = _tables()
    name = config.preset
    if name == NONE:
        return name, {}
    if not name and config.is_mario:
        name = config.task if config.task in known else MARIO
    elif not name:
        task = config.env_id
        name = task if task in known else "atari" if is_atari(task) else "gymnasium"
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ConfigError(
            f"--preset {name!r} is unknown: choose from {', '.join(sorted(known))} and {NONE}."
            + hint
        )
    settings = _resolve(name, known)
    if config.is_mario and config.task in known and MARIO in _bases(name, known):
        settings = {**settings, **_own(config.task, known)}
    return name, settings


def fit_batches(config: RunConfig, given: set[str]) -> tuple[RunConfig, str]:
    """Change a preset's sequences and minibatches where they do not divide the user's rollouts.

    Args:
        config: a preset with the user's options over it.
        given: the fields that the user's options name; those stay as they are.

    Returns:
        the settings, with the largest ``sequence_length`` and ``minibatches`` that fit and are not
        above the preset's, and a sentence that says what was changed, if anything was.
    """
    steps, changes = config.num_local_steps, []
    if steps < 1 or config.num_games < 1:
        return config, ""  # which is going to be refused
    fitting = config
    if "sequence_length" not in given and steps % config.unroll:
        length = _divisor(steps, config.sequence_length)
        # A number of steps with none but tiny divisors: the rollout stays in one piece.
        length = length if length >= SHORTEST_SEQUENCE else steps
        fitting = dataclasses.replace(fitting, sequence_length=length)
        changes.append(f"--sequence-length {length} instead of {config.sequence_length}")
    sequences = config.num_games * steps // fitting.unroll if fitting.unroll > 0 else 0
    if "minibatches" not in given and sequences % config.minibatches:
        fitting = dataclasses.replace(fitting, minibatches=_divisor(sequences, config.minibatches))
        changes.append(f"--minibatches {fitting.minibatches} instead of {config.minibatches}")
    if not changes:
        return config, ""
    rollout = f"{config.num_games} games x {steps} steps"
    return fitting, f"To divide a rollout of {rollout}: {', '.join(changes)}."


def fit_final_values(config: RunConfig, preset: RunConfig, given: set[str]) -> RunConfig:
    """Keep what a preset lets fall from rising, where the user gives a beginning below its end.

    Where the preset is a cost from the beginning, a number below 0, what the user gives takes the
    place of both.

    Args:
        config: a preset with the user's options over it.
        preset: the same without them.
        given: the fields that the user's options name; those stay as they are.

    Returns:
        the settings, with final values that are not above what they begin from.
    """
    changes = {}
    for name in ("learning_rate", "entropy_coef"):
        final, begin = getattr(config, f"{name}_final"), getattr(config, name)
        if name in given and f"{name}_final" not in given and final is not None:
            costs = getattr(preset, name) < 0
            changes[f"{name}_final"] = begin if costs else min(final, begin)
    return dataclasses.replace(config, **changes)


def _divisor(number: int, most: int) -> int:
    """Return the largest divisor of a number that is not above another one."""
    return next(divisor for divisor in range(most, 0, -1) if number % divisor == 0)


def _tables() -> dict[str, dict[str, Any]]:
    return tomllib.loads(files("mario_a3c").joinpath("presets.toml").read_text("utf-8"))


def _bases(name: str, tables: dict[str, dict[str, Any]]) -> list[str]:
    """Return the presets that a preset changes, itself first."""
    base = tables[name].get(BASE)
    return [name, *(_bases(base, tables) if base else [])]


def _own(name: str, tables: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what a preset says itself."""
    settings = {key: value for key, value in tables[name].items() if key != BASE}
    return {key: tuple(v) if isinstance(v, list) else v for key, v in settings.items()}


def _resolve(name: str, tables: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a preset's settings over those of the presets it is based on."""
    settings: dict[str, Any] = {}
    for each in reversed(_bases(name, tables)):
        settings.update(_own(each, tables))
    return settings
