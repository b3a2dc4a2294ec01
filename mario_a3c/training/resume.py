"""The resume states in a run's folder: the last few, from the newest of which the run goes on."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor

from mario_a3c.checkpoint import (
    CheckpointError,
    described_network,
    read_tensors,
    round_to_half,
    to_bytes,
)
from mario_a3c.config import RunConfig
from mario_a3c.files import write_atomically
from mario_a3c.learning.flat import FlatParameters
from mario_a3c.learning.model import ActorCritic
from mario_a3c.training.shared import STEPS

PATTERN = "resume-*.safetensors"
BROKEN = ".broken"
"""What is added to the name of a state that was passed over, so that it is one no longer."""
NO_MATTER = (
    "hours",
    "stages",
    "all_stages",
    "stage_hours",
    "stage_turns",
    "num_seeds",
    "until_solved",
    "save_interval",
    "keep",
)
"""Settings that say when a run ends or what it leaves behind, but not how it learns."""


def states(folder: Path) -> list[Path]:
    """Return the resume states in a folder, the newest first."""
    return sorted(folder.glob(PATTERN), reverse=True)


def save_state(
    folder: Path, steps: int, tensors: dict[str, Tensor], metadata: dict[str, Any], keep: int
) -> None:
    """Write what a run needs to go on, then delete all but the newest ``keep`` states.

    On a full disk older states make room for the new one, but the newest of them stays until the
    new one is complete.

    Raises:
        OSError: the disk is full or not writable; the newest state is intact.
    """
    path = folder / f"resume-{steps:012d}.safetensors"
    content = to_bytes(tensors, metadata)
    try:
        write_atomically(path, content)
    except OSError as error:
        spare = states(folder)[1:]
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not spare:
            raise
        _delete(spare)
        write_atomically(path, content)
    _delete([old for old in states(folder)[keep:] if old != path])


def changed_settings(then: RunConfig, now: RunConfig) -> dict[str, Any]:
    """Return what a run's settings were that are now others, and matter to what it learns."""
    before, after = then.without_places().to_dict(), now.without_places().to_dict()
    return {
        name: value
        for name, value in before.items()
        if name not in NO_MATTER and value != after[name]
    }


def earlier_settings(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a state tells of its run's settings in earlier times; see `SoFar.earlier`.

    Raises:
        TypeError: it is something else.
    """
    earlier = metadata.get("earlier", [])
    for entry in earlier:
        if not (isinstance(entry, dict) and isinstance(entry.get("settings"), dict)):
            raise TypeError("the settings of earlier times")
    return list(earlier)


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any], dict[Path, str]]:
    """Read the newest state that can be read.

    Returns:
        its tensors, its metadata, and a sentence about each newer one that was passed over.

    Raises:
        CheckpointError: none can be read.
    """
    passed_over: dict[Path, str] = {}
    for path in states(folder):
        try:
            tensors, metadata = read_tensors(path)
        except CheckpointError as error:
            passed_over[path] = str(error)
        else:
            return tensors, metadata, passed_over
    if passed_over:
        raise CheckpointError(next(iter(passed_over.values())))
    raise CheckpointError(f"There is no run to resume in {folder}: it has no {PATTERN}.")


def settings_of(place: Path, metadata: dict[str, Any]) -> RunConfig:
    """Return the settings that a state tells of its run.

    Args:
        place: where the state lies, for errors.
        metadata: of the state.

    Raises:
        CheckpointError: they are of another version.
    """
    try:
        config = RunConfig.from_dict(metadata["config"])
        config.validate()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"The state in {place} holds settings of another version: {str(error).rstrip('.')}."
        ) from error
    return config


def agent_of(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, Any]
) -> tuple[ActorCritic, dict[str, Any]]:
    """Return the network of a resume state, as it would be saved, and what its file would tell.

    Args:
        path: where the state was read, for errors.
        tensors: of the state; ``weights`` is one vector, as in `FlatParameters`.
        metadata: of the state.

    Raises:
        CheckpointError: the state does not describe a network of ours, or of this version.
    """
    config = settings_of(path, metadata)
    model = ActorCritic(described_network(path, metadata)).eval()
    weights = FlatParameters(model)
    weights.pull(tensors["weights"])
    round_to_half(weights.values)
    model.take_statistics(tensors["statistics"])
    told = {
        "task": config.task,
        "steps": int(tensors["counters"][:, STEPS].sum()),
        "seconds": metadata["seconds"],
        "config": config.without_places().to_dict(),
    }
    told |= {name: metadata.get(name, []) for name in ("earlier", "ancestors")}
    return model, told


def set_aside(paths: Iterable[Path]) -> None:
    """Rename states that were passed over, so that none of them counts as the newest.

    Otherwise saving would keep them, and delete the good ones behind them. What cannot be renamed
    stays, and the run goes on all the same.
    """
    for path in paths:
        with contextlib.suppress(OSError):
            path.replace(path.with_name(path.name + BROKEN))


def _delete(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
