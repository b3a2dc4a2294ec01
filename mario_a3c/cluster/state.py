"""What a run has learned and counted, as it goes from shared memory to a cluster and back."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray

from mario_a3c.learning.normalization import merge
from mario_a3c.training.shared import Shared

State = dict[str, NDArray[Any]]
"""``weights`` ``float32 [P]``, ``counters`` ``int64 [4]``, ``statistics`` ``float64 [3, K + 1]``,
``mastered`` ``float64 [N]``, and the optimizer's state, whose names begin with ``optimizer.``."""


def state_of(shared: Shared) -> State:
    """Return what a run has learned and counted, all workers together.

    What the evaluation counts stays in its own row here, and is no part of it.
    """
    state = {
        "weights": shared.weights.numpy(),
        "counters": shared.counters[:-1].sum(0).numpy(),
        "statistics": merge(shared.statistics).numpy(),
        "mastered": shared.mastered.mean(0).numpy(),
    }
    for name, part in shared.optimizer_state.items():
        state[f"optimizer.{name}"] = part.numpy()
    return state


def take_state(shared: Shared, state: State) -> None:
    """Write what `state_of` returned into memory that has one worker's row, which is for all."""
    parts = {"weights": shared.weights, "counters": shared.counters[0]}
    parts.update(statistics=shared.statistics[0], mastered=shared.mastered[0])
    parts.update({f"optimizer.{name}": part for name, part in shared.optimizer_state.items()})
    for name, part in parts.items():
        part.copy_(torch.from_numpy(state[name].copy()))
