"""Files of weights: agents (small, for playing) and resume states (all a run needs to go on).

Both are safetensors, which hold tensors and JSON and can run nothing. What is read may come from
anywhere: nothing of it is believed before it was checked, and nothing is allocated for what a file
only claims.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as deserialize
from safetensors.torch import save as serialize
from torch import Tensor

from mario_a3c.faults import one_line
from mario_a3c.files import write_atomically
from mario_a3c.header import HeaderError, described, read_header, signed
from mario_a3c.learning.model import ActorCritic
from mario_a3c.learning.spec import ModelSpec

LARGEST_FILE = 2**30
MOST_PARAMETERS = 2**26
"""A resume state, which holds three numbers per parameter, then still fits in `LARGEST_FILE`."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be used, told in one sentence.

    Whatever of the file stands in the sentence, it is one line and does nothing to a terminal.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(one_line(sentence))


@dataclass(frozen=True)
class Agent:
    """A network and what is known of it."""

    model: ActorCritic
    metadata: dict[str, Any]


def save_agent(path: Path, model: ActorCritic, metadata: dict[str, Any]) -> None:
    """Write an agent in half precision, which halves its size.

    What is saved should have been measured like that: see `round_to_half`.

    Args:
        path: the file.
        model: its weights and specification are kept.
        metadata: anything JSON can hold: task, steps, config, score.

    Raises:
        CheckpointError: a weight is not finite, or too large for half precision.
        OSError: the disk is full or not writable; what stood there is intact.
    """
    tensors = {
        name: value.detach().to("cpu", _saved_type(value)).contiguous()
        for name, value in model.state_dict().items()
    }
    _check_finite(path, tensors)
    write_atomically(path, to_bytes(tensors, {**metadata, "spec": model.spec.to_dict()}))


def load_agent(path: Path) -> Agent:
    """Read an agent and build its network, on the CPU and in single precision.

    Raises:
        CheckpointError: the file is missing, damaged, foreign, or holds numbers that are not
            finite.
    """
    tensors, metadata = read_tensors(path)
    spec = described_network(path, metadata)
    expected = {name: (v.shape, v.dtype) for name, v in outline(spec).state_dict().items()}
    found = {name: (value.shape, _loaded_type(value)) for name, value in tensors.items()}
    if found != expected:
        names = (name for name in expected | found if expected.get(name) != found.get(name))
        raise CheckpointError(f"{path} does not fit the network it describes, in {min(names)!r}.")
    model = ActorCritic(spec)
    model.load_state_dict(tensors)
    model.eval()
    return Agent(model, metadata)


def described_network(path: Path, metadata: dict[str, Any]) -> ModelSpec:
    """Return the network that a checkpoint's metadata describes, once it is known to be possible.

    Raises:
        CheckpointError: there is no such network, or it is too large.
    """
    try:
        spec = ModelSpec.from_dict(metadata["spec"])
        outline(spec)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        reason = str(error).rstrip(".")
        raise CheckpointError(f"{path} does not describe a network of ours: {reason}.") from error
    return spec


def outline(spec: ModelSpec) -> ActorCritic:
    """Build a network without memory for its weights: only their names and shapes.

    Raises:
        ValueError: it would have more than `MOST_PARAMETERS` weights.
    """
    longest = max((len(v) for v in vars(spec).values() if isinstance(v, tuple | str)), default=0)
    if longest > 1000:
        raise ValueError(f"it has a list of {longest:,} entries, and 1,000 are allowed")
    try:
        with torch.device("meta"):
            model = ActorCritic(spec)
    except RuntimeError as error:
        raise ValueError("its sizes are impossible") from error
    parameters = sum(parameter.numel() for parameter in model.parameters())
    if parameters > MOST_PARAMETERS:
        raise ValueError(f"it has {parameters:,} weights, and {MOST_PARAMETERS:,} are allowed")
    return model


def score_of(path: Path) -> float:
    """Return the score of a saved agent; minus infinity where there is none that can be read."""
    try:
        return float(load_agent(path).metadata["evaluation"]["score"])
    except (CheckpointError, KeyError, TypeError, ValueError, OverflowError):
        return float("-inf")


def round_to_half(weights: Tensor) -> None:
    """Round weights in place to what half precision keeps, so that a saved agent plays the same."""
    weights.copy_(weights.half())


def to_bytes(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> bytes:
    """Return a file's content: safetensors, with a digest over all of it."""
    contiguous = {name: value.contiguous() for name, value in tensors.items()}
    return signed(serialize(contiguous, described(metadata)))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint's tensors and metadata.

    Raises:
        CheckpointError: the file is missing, damaged, foreign, a link out of its folder, too
            large, or holds numbers that are not finite.
    """
    content = _read_bytes(path)
    try:
        text = read_header(content)
    except HeaderError as error:
        raise CheckpointError(f"{path} {error}.") from error
    try:
        metadata = json.loads(text["metadata"])
    except (KeyError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} holds metadata that cannot be read.") from error
    if not isinstance(metadata, dict):
        raise CheckpointError(f"{path} holds metadata that cannot be read.")
    try:
        tensors = deserialize(content)
    except (SafetensorError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {str(error).rstrip('.')}.") from error
    _check_finite(path, tensors)
    return tensors, metadata


def _read_bytes(path: Path) -> bytes:
    """Read a file that is a file, where it says it is, and not too large."""
    try:
        if not path.is_file():
            raise CheckpointError(f"There is no checkpoint {path}.")
        if path.resolve().parent != path.parent.resolve():
            raise CheckpointError(f"{path} is a link out of its folder, which is not followed.")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            content = file.read(size) if size <= LARGEST_FILE else b""
    except (OSError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{path} cannot be read: {reason}.") from error
    if size > LARGEST_FILE:
        raise CheckpointError(f"{path} has more than {LARGEST_FILE >> 20} MiB.")
    return content


def _check_finite(path: Path, tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise CheckpointError(f"{path}: the numbers in {name!r} are not all finite.")


def _saved_type(value: Tensor) -> torch.dtype:
    """Weights are halved; running statistics, which are double, are not."""
    return torch.float16 if value.dtype == torch.float32 else value.dtype


def _loaded_type(value: Tensor) -> torch.dtype:
    return torch.float32 if value.dtype in (torch.float16, torch.bfloat16) else value.dtype
