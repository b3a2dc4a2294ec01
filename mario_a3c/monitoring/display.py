"""The live figures of a run: a table that renews itself on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table

from mario_a3c.monitoring.monitor import Monitor
from mario_a3c.monitoring.notices import say

if TYPE_CHECKING:
    from mario_a3c.training.trainer import Trainer

LINE_INTERVAL = 10.0
"""Seconds between two lines where the output is no terminal."""


class Display:
    """Shows how a run is getting on."""

    def __init__(self, trainer: Trainer, monitor: Monitor) -> None:
        """Show ``trainer``'s progress and ``monitor``'s figures."""
        self._trainer, self._monitor = trainer, monitor
        self._console = Console()
        self._live: Live | None = None
        self._last_line = time.monotonic()

    def __enter__(self) -> Display:
        """Begin to show."""
        if self._console.is_terminal:
            self._live = Live(self._table(), console=self._console, refresh_per_second=2)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Show the last state and leave it standing."""
        with contextlib.suppress(OSError):  # the terminal may have been closed
            if self._live is not None:
                self._live.update(self._table())
                self._live.stop()
            else:
                self._line()

    def refresh(self) -> None:
        """Renew the figures; called often."""
        if self._live is not None:
            with contextlib.suppress(OSError):
                self._live.update(self._table())
        elif time.monotonic() - self._last_line >= LINE_INTERVAL:
            self._line()

    def _line(self) -> None:
        self._last_line = time.monotonic()
        say("  ".join(f"{name} {value}" for name, value in self._figures().items()))

    def _table(self) -> Table:
        table = Table(title=f"A3C: {self._trainer.config.task}", show_header=False)
        for name, value in self._figures().items():
            table.add_row(name, value)
        return table

    def _figures(self) -> dict[str, str]:
        trainer, monitor = self._trainer, self._monitor
        steps, total = trainer.shared.steps, trainer.config.num_global_steps
        speed = monitor.steps_per_second
        figures = {
            "time": _clock(trainer.seconds),
            "steps": f"{steps:,} of {total:,.0f}",
            "steps/s": f"{speed:,.0f}",
            "left": f"{_clock(max(total - steps, 0) / speed)} at most" if speed else "?",
            "updates": f"{trainer.shared.updates:,}",
            "episodes": f"{trainer.episodes:,}",
        }
        recent = monitor.recent()
        if "max_x" in recent:
            figures["best x"] = f"{monitor.furthest:.0f}"
            figures["mean x"] = f"{recent['max_x']:.0f}"
            figures["completed"] = f"{100 * recent['completed']:.0f}%"
        elif recent:
            figures["mean return"] = f"{recent['return']:.1f}"
        evaluation = monitor.last_evaluation
        if evaluation is not None:
            figures["evaluation"] = evaluation.summary()
        return figures


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
