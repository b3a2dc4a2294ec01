"""What Ray does, done at once in this process, for tests of what stands at a cluster's head."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

# Ray reads this once, when it is imported; what `connect` asks for has to hold from then on.
os.environ.setdefault("RAY_AUTH_MODE", "token")


class SilenceError(Exception):
    """Raised by a method of an actor that does not answer."""


class Answer:
    """What an actor answers."""

    def __init__(self, call: Callable[[], Any] | None) -> None:
        """Call what it answers; an answer without one does not come."""
        self.there, self.value = call is not None, None
        self.error: Exception | None = None
        try:
            self.value = call() if call is not None else None
        except SilenceError:
            self.there = False
        except Exception as error:
            self.error = error


class NearActor:
    """An object whose methods are called as those of an actor are, and have answered when asked."""

    def __init__(self, owner: NearRay, made: Any, options: dict[str, Any]) -> None:
        self._owner, self.made, self.options = owner, made, options

    def __getattr__(self, name: str) -> Any:
        return _Remote(lambda *words, **named: self._call(name, *words, **named))

    def _call(self, name: str, *words: Any, **named: Any) -> Answer:
        self._owner.calls.append(name)
        if name in self._owner.silent:
            return Answer(None)
        if name in self._owner.errors:
            return Answer(lambda: _raise(self._owner.errors[name]))
        if name == "__ray_ready__":
            return Answer(lambda: True)
        return Answer(lambda: getattr(self.made, name)(*words, **named))


def _raise(error: Exception) -> None:
    raise error


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
        errors: what methods raise, by their names.
        made: what stands for an object of a class; called with the class and its arguments.
    """

    def __init__(self, made: Callable[..., Any] = lambda kind, *words, **named: None) -> None:
        self.actors: list[NearActor] = []
        self.killed: list[NearActor] = []
        self.calls: list[str] = []
        self.silent: set[str] = set()
        self.errors: dict[str, Exception] = {}
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

    def get(self, answer: Answer, timeout: float | None = None) -> Any:
        """Return an answer, or raise what it is."""
        from ray.exceptions import GetTimeoutError

        if not answer.there:
            raise GetTimeoutError("nothing was heard")
        if answer.error is not None:
            raise answer.error
        return answer.value

    def wait(
        self, answers: list[Answer], num_returns: int = 1, timeout: float | None = None
    ) -> tuple[list[Answer], list[Answer]]:
        """Return which answers are there, and which are not."""
        there = [answer for answer in answers if answer.there][:num_returns]
        return there, [answer for answer in answers if answer not in there]

    def kill(self, actor: NearActor) -> None:
        """End an actor."""
        self.killed.append(actor)
