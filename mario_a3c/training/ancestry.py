"""What an agent took before its run began: the runs that made the agents it was started from."""

from __future__ import annotations

from typing import Any

TOLD = ("task", "steps", "seconds", "config", "earlier", "averaged", "drilled")
"""What an agent's metadata tells of the run that made it."""

MOST = 100
"""Longest chain of ancestors that is carried along."""


def ancestors_told(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the ancestors that an agent or a resume state tells of, the first one first.

    Each is ``{"task", "steps", "seconds", "config", "earlier"}``, as in an agent's own metadata.

    Raises:
        TypeError: it tells something else there.
    """
    ancestors = metadata.get("ancestors", [])
    if not isinstance(ancestors, list) or len(ancestors) > MOST:
        raise TypeError("its ancestors")
    if not all(isinstance(one, dict) and _tells_of_a_run(one) for one in ancestors):
        raise TypeError("its ancestors")
    return list(ancestors)


def ancestors_of_its_children(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the ancestors of a run that starts from this agent: its own, and itself.

    An agent from elsewhere may tell nothing of its training, or nonsense: then nothing is said.
    """
    try:
        before = ancestors_told(metadata)
    except TypeError:
        return []
    if len(before) == MOST or not _tells_of_a_run(metadata):
        return []
    return [*before, {name: metadata[name] for name in TOLD if name in metadata}]


def _tells_of_a_run(agent: dict[str, Any]) -> bool:
    kinds = {"task": str, "steps": int, "seconds": float, "config": dict}
    complete = all(isinstance(agent.get(name), kind) for name, kind in kinds.items())
    return complete and isinstance(agent.get("earlier", []), list)
