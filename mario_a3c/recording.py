"""When the evaluation records a video, and of what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mario_a3c.config import RunConfig

if TYPE_CHECKING:
    from mario_a3c.evaluate import Evaluation


class Recorder:
    """Records videos."""

    def __init__(self, config: RunConfig, folder: Path) -> None:
        """Record into ``folder``."""

    def record(self, evaluation: Evaluation) -> str:
        """Record."""
        return ""
