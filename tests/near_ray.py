"""What Ray does, done at once in this process, for tests of what stands at a cluster's head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Never:
    """The answer of an actor that does not answer."""


class NearActor:
    """An object whose methods are called as those of an actor are, and have answered when asked."""

    def __init__(self, owner: NearRay, made: Any, options: dict[str, Any]) -> None:
        self._owner, self.made, self.options = owner, made, options

    def __getattr__(self, name: str) -> Any:
        return _Remote(lambda *words, **named: self._call(name, *words, **named))

    def _call(self, name: str, *words: Any, **named: Any) -> Any:
        self._owner.calls.append(name)
        if name in self._owner.silent:
            return Never()
        if name == "__ray_ready__":
            return True
        try:
            return getattr(self.made, name)(*words, **named)
        except Exception as error:
            return error


class _Remote:
    def __init__(self, call: Callable[..., Any]) -> None:
        self.remote = call


class NearRay:
    """Stands for the module ``ray`` in another one.

    Attributes:
        actors: all that were made, in order.
        killed: those that were ended.
        calls: names of the methods that were called.
        silent: names of methods that do not answer.
        made: what stands for an object of a class; called with the class and its arguments.
    """

    def __init__(self, made: Callable[..., Any] = lambda kind, *words, **named: None) -> None:
        self.actors: list[NearActor] = []
        self.killed: list[NearActor] = []
        self.calls: list[str] = []
        self.silent: set[str] = set()
        self.made = made

    def remote(self, kind: type) -> Any:
        """Return what makes actors of a class."""

        class Maker:
            def __init__(self, options: dict[str, Any]) -> None:
                self._options = options

            def options(self, **options: Any) -> Maker:
                return Maker(options)

            def remote(this, *words: Any, **named: Any) -> NearActor:  # noqa: N805
                self.actors.append(NearActor(self, self.made(kind, *words, **named), this._options))
                return self.actors[-1]

        return Maker({})

    def get(self, answer: Any, timeout: float | None = None) -> Any:
        """Return an answer, or raise what it is."""
        from ray.exceptions import GetTimeoutError

        if isinstance(answer, Never):
            raise GetTimeoutError("nothing was heard")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def wait(
        self, answers: list[Any], num_returns: int = 1, timeout: float | None = None
    ) -> tuple[list[Any], list[Any]]:
        """Return which answers are there, and which are not."""
        there = [answer for answer in answers if not isinstance(answer, Never)]
        return there[:num_returns], [one for one in answers if one not in there[:num_returns]]

    def kill(self, actor: NearActor) -> None:
        """End an actor."""
        self.killed.append(actor)
