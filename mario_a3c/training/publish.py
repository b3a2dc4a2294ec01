"""Which agent stands in ``saved_models/``: the better of two, if both were measured alike."""

from __future__ import annotations

from pathlib import Path

from mario_a3c.checkpoint import CheckpointError, load_agent, score_of
from mario_a3c.config import ConfigError, RunConfig, option_of
from mario_a3c.files import write_atomically
from mario_a3c.presets import settings_for

CONDITIONS = ("noop_max", "max_episode_length")
"""Settings of a run that make its evaluations easier or harder than others of the same task."""


def publish(best: Path, target: Path) -> str:
    """Copy an agent to where a worse one stands, or none.

    A score under other than the task's usual conditions says little beside one under them, so that
    it replaces none of those, however high it is.

    Returns:
        "", or why what stands there is kept.

    Raises:
        OSError: it cannot be written.
    """
    if score_of(target) > float("-inf"):
        unusual, theirs_unusual = unusual_conditions(best), unusual_conditions(target)
        if unusual and not theirs_unusual:
            return f"it was measured with {unusual}, unlike the one that is there"
        if score_of(best) <= score_of(target) and bool(unusual) == bool(theirs_unusual):
            return "the one that is there was measured better"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, best.read_bytes())
    return ""


def unusual_conditions(path: Path) -> str:
    """Return the options by which an agent was evaluated otherwise than its task usually is."""
    try:
        told = load_agent(path).metadata["config"]
        task = {name: told[name] for name in ("env_name", "world", "stage")}
        _, settings = settings_for(RunConfig(**task))
        usual = {name: getattr(RunConfig, name) for name in CONDITIONS} | settings
        differ = [name for name in CONDITIONS if told[name] != usual[name]]
        return " ".join(f"{option_of(name)} {told[name]}" for name in differ)
    except (CheckpointError, ConfigError, KeyError, TypeError):
        return ""
