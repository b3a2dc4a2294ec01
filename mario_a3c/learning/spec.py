"""What a network looks like, as one record: it follows from a task's spaces and a run's options."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from gymnasium import Space, spaces

if TYPE_CHECKING:
    from mario_a3c.config import RunConfig


@dataclass(frozen=True)
class ModelSpec:
    """Everything needed to build the network again, as it stands in a checkpoint.

    Attributes:
        observation_shape: ``(C, H, W)`` of pictures, ``(D,)`` of vectors.
        num_actions: discrete actions, or elements of a continuous one.
        network: convolutions for pictures; vectors go through dense layers instead.
        lstm_size: units of the LSTM; 0 for a network without one.
        hidden: widths of the dense layers for vectors.
        action_low: lowest values of a continuous action; empty for discrete ones.
        action_high: highest values of a continuous action.
        deviation: what the deviation of a continuous action follows from: ``state`` or ``free``.
        separate: the critic has an encoder and an LSTM of its own.
        normalize: observations are brought to mean 0 and deviation 1.
    """

    observation_shape: tuple[int, ...]
    num_actions: int
    network: str = "paper"
    lstm_size: int = 256
    hidden: tuple[int, ...] = (64, 64)
    action_low: tuple[float, ...] = ()
    action_high: tuple[float, ...] = ()
    deviation: str = "state"
    separate: bool = False
    normalize: bool = False

    @classmethod
    def for_task(cls, observation: Space[Any], action: Space[Any], config: RunConfig) -> ModelSpec:
        """Return the network that follows from a task's spaces and a run's options."""
        assert observation.shape is not None
        fields: dict[str, Any] = {"action_low": (), "action_high": ()}
        if isinstance(action, spaces.Box):
            fields["num_actions"] = len(action.low)
            fields["action_low"] = tuple(action.low.tolist())
            fields["action_high"] = tuple(action.high.tolist())
        else:
            assert isinstance(action, spaces.Discrete)
            fields["num_actions"] = int(action.n)
        return cls(
            observation_shape=observation.shape,
            network=config.network,
            lstm_size=config.lstm_size if config.recurrent else 0,
            hidden=config.hidden,
            deviation=config.deviation,
            separate=config.separate,
            normalize=config.normalize_observations,
            **fields,
        )

    @property
    def continuous(self) -> bool:
        """Whether actions are numbers in a range."""
        return bool(self.action_low)

    @property
    def pictures(self) -> bool:
        """Whether observations are pictures."""
        return len(self.observation_shape) == 3

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> ModelSpec:
        """Build a specification from `to_dict`'s output; ``TypeError`` for unknown fields."""
        lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
        return cls(**{**fields, **lists})
