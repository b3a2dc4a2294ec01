"""Files of weights: agents (small, for playing) and resume states (all a run needs to go on).

Both are safetensors, which hold tensors and JSON and can run nothing. Files are written under a
temporary name and renamed when they are complete, so a name never stands for half a file.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from mario_a3c.model import ActorCritic, ModelSpec

FORMAT = "mario_a3c/1"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used, told in one sentence."""


@dataclass(frozen=True)
class Agent:
    """A network and what is known of it."""

    model: ActorCritic
    metadata: dict[str, Any]


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that ``path`` holds the old content or all of the new, whatever happens.

    Raises:
        OSError: the disk is full or not writable; ``path`` is then unchanged.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def save_agent(path: Path, model: ActorCritic, metadata: dict[str, Any]) -> None:
    """Write an agent in half precision, which halves its size.

    What is saved should have been measured like that: see `round_to_half`.

    Args:
        path: the file.
        model: its weights and specification are kept.
        metadata: anything JSON can hold: task, steps, config, score.
    """
    tensors = {
        name: value.detach().to("cpu", _saved_type(value)).contiguous()
        for name, value in model.state_dict().items()
    }
    write_atomically(path, _serialize(tensors, {**metadata, "spec": model.spec.to_dict()}))


def load_agent(path: Path) -> Agent:
    """Read an agent and build its network, on the CPU and in single precision.

    Raises:
        CheckpointError: the file is missing, damaged, foreign, or holds numbers that are not
            finite.
    """
    tensors, metadata = _read(path)
    try:
        model = ActorCritic(ModelSpec.from_dict(metadata["spec"]))
        model.load_state_dict({name: value.float() for name, value in tensors.items()})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path} does not describe a network of ours: {reason}.") from error
    model.eval()
    return Agent(model, metadata)


def _saved_type(value: Tensor) -> torch.dtype:
    """Weights are halved; running statistics, which are double, are not."""
    return torch.float16 if value.dtype == torch.float32 else value.dtype


def save_state(path: Path, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Write the tensors and counters that a run needs to go on."""
    write_atomically(path, _serialize(tensors, metadata))


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_state` wrote; raises `CheckpointError` like `load_agent`."""
    return _read(path)


def round_to_half(weights: Tensor) -> None:
    """Round weights in place to what half precision keeps, so that a saved agent plays the same."""
    weights.copy_(weights.half())


def _serialize(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> bytes:
    text = {"format": FORMAT, "metadata": json.dumps(metadata)}
    return serialize({name: tensor.contiguous() for name, tensor in tensors.items()}, text)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path}.")
    try:
        with safe_open(path, framework="pt") as file:
            text = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path} is damaged or not a checkpoint: {error}.") from error
    if text.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a checkpoint of this program.")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise CheckpointError(f"{path} holds numbers that are not finite, in {name!r}.")
    try:
        metadata = json.loads(text["metadata"])
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path} holds metadata that cannot be read.") from error
    if not isinstance(metadata, dict):
        raise CheckpointError(f"{path} holds metadata that cannot be read.")
    return tensors, metadata
