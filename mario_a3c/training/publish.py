"""Which agent stands in ``saved_models/``: the better of two, if both were measured alike."""

from __future__ import annotations

from pathlib import Path

from mario_a3c.checkpoint import CheckpointError, load_agent, score_of
from mario_a3c.config import ConfigError, RunConfig, option_of
from mario_a3c.files import write_atomically
from mario_a3c.presets import settings_for

CONDITIONS = ("max_episode_length", "eval_greedy")
"""Settings of a run that make its evaluations easier or harder than others of the same task."""
CONDITIONS_OF_MARIO = (*CONDITIONS, "noop_max", "max_actions", "stall_limit")


def publish(best: Path, target: Path) -> str:
    """Copy an agent to where a worse one stands, or none.

    A score under other than the task's usual conditions says little beside one under them, so that
    it replaces none of those, however high it is.

    Returns:
        "", or why what stands there is kept.

    Raises:
        OSError: it cannot be written.
    """
    score, standing = score_of(best), score_of(target)
    if score == float("-inf"):
        return "it cannot be read, or does not say how it was measured"
    if standing > float("-inf"):
        if target.read_bytes() == best.read_bytes():
            return ""
        conditions, theirs = unusual_conditions(best), unusual_conditions(target)
        if conditions and conditions != theirs:
            return f"it was measured with {conditions}, unlike the one that is there"
        if conditions == theirs and score <= standing:
            return "the one that is there was measured as well or better"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, best.read_bytes())
    return ""


def unusual_conditions(path: Path) -> str:
    """Return the options by which an agent was evaluated otherwise than its task usually is."""
    try:
        told = load_agent(path).metadata["config"]
        task = RunConfig(**{name: told[name] for name in ("env_name", "world", "stage")})
        names = CONDITIONS_OF_MARIO if task.is_mario else CONDITIONS
        _, settings = settings_for(task)
        usual = {name: getattr(RunConfig, name) for name in names} | settings
        differ = [name for name in names if told[name] != usual[name]]
        return " ".join(f"{option_of(name)} {told[name]}" for name in differ)
    except (CheckpointError, ConfigError, KeyError, TypeError):
        return ""
