"""With which versions agents were measured, kept beside their figures and told on the page."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

_PACKAGES = ("torch", "numpy", "gymnasium", "nes-py", "ale-py", "mujoco", "box2d")


def versions() -> dict[str, str]:
    """Return the processor's kind and the versions of Python and of what agents play with."""
    here = {"processor": platform.machine(), "Python": platform.python_version()}
    return here | {name: version(name) for name in _PACKAGES}


def versions_told(figures: Iterable[dict[str, Any]], names: Iterable[str]) -> str:
    """Return in words with which versions some agents were measured.

    Args:
        figures: what was measured of each agent, with what `versions` returned then.
        names: which of the versions to tell.
    """
    measured_with = [one["versions"] for one in figures if "versions" in one]
    told = []
    for name in names:
        found = sorted({one[name] for one in measured_with if name in one})
        if found:
            told.append(f"{name} {' and '.join(found)}")
    return ", ".join(told)
