"""Atari games."""

from __future__ import annotations

import re

_ATARI_ID = re.compile(r"^(?:ALE/)?([A-Za-z0-9]+?)(Deterministic|NoFrameskip)?-v[045]$")


def is_atari(env_id: str) -> bool:
    """Whether an id is that of an Atari game."""
    return env_id.startswith("ALE/")
