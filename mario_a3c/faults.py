"""What can go wrong in a run, and how often in a row it may."""

from __future__ import annotations

from dataclasses import dataclass

MOST_FAULTS = 5
"""Faults of an environment in a row after which a run ends."""
MOST_DROPPED = 20
"""Updates in a row that may be dropped for numbers that are not finite."""


class RunError(RuntimeError):
    """The run cannot go on, told in one sentence."""


class GameError(RuntimeError):
    """The environment failed; told in its own words."""


class NotFiniteError(ArithmeticError):
    """A NaN or an infinity turned up: where, and which."""


@dataclass(frozen=True)
class Notice:
    """What a child process tells its parent of something that went wrong but not for good."""

    text: str


@dataclass(frozen=True)
class Failure:
    """The last words of a child process.

    Attributes:
        text: what happened.
        trace: where, for those who look for the mistake.
        final: another process in its place would meet the same end.
    """

    text: str
    trace: str
    final: bool


def reason(error: Exception) -> str:
    """Return why something failed, in the operating system's words where it has some."""
    return getattr(error, "strerror", None) or str(error).rstrip(".")


def one_line(text: str, most: int = 600) -> str:
    """Return text that came from elsewhere as one line that does nothing to a terminal.

    Args:
        text: what a file or foreign code says; line breaks and control characters are spelled out.
        most: characters of the result; of a longer text the middle is cut out.
    """
    plain = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    half = most // 2 - 2
    return plain if len(plain) <= most else f"{plain[:half]} … {plain[-half:]}"


class Patience:
    """Counts how often something failed in a row, and gives up.

    Args:
        limit: the failure in a row that is one too many.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._failures = 0

    def failed(self, error: Exception) -> None:
        """Count a failure.

        Raises:
            RunError: it was one too many; it tells the cause.
        """
        self._failures += 1
        if self._failures >= self._limit:
            raise RunError(f"{error}, {self._failures} times in a row") from error

    def succeeded(self) -> None:
        """Begin to count anew."""
        self._failures = 0
