"""From the words of a command line to a record; what cannot be meant is refused in one sentence."""

from __future__ import annotations

import difflib
import sys
import types
import typing
from collections.abc import Sequence

import tyro

from mario_a3c.config import ConfigError
from mario_a3c.monitoring.notices import lead_nowhere

_HELP = ("-h", "--help")


def read_options[Options](default: Options, words: Sequence[str], program: str) -> Options:
    """Return what a command line asks for; asked for help, print it and end the program.

    Args:
        default: what holds where the words say nothing: a dataclass with a field per option.
        words: the command line.
        program: its name in the help.

    Raises:
        ConfigError: for a word that cannot be meant.
    """
    kind = type(default)
    check_words(words, kind)
    config = (tyro.conf.AvoidSubcommands,)
    try:
        try:
            return tyro.cli(kind, args=list(words), default=default, prog=program, config=config)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the help was printed to something like `head`
        lead_nowhere(sys.stdout)
        raise SystemExit(0) from None


def check_words(words: Sequence[str], options: type) -> None:
    """Raise `ConfigError` for the first word that the command line cannot mean.

    That is an option nobody knows, an option without its value, a value that is no number where
    one is needed, or a word that belongs to no option.
    """
    kinds = _kinds(options)
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in _HELP:
            continue
        name, equals, value = word.partition("=")
        name = name.replace("_", "-")
        if not name.startswith("--"):
            raise ConfigError(f"{word!r} belongs to no option: options begin with --.")
        if name not in kinds:
            close = difflib.get_close_matches(name, kinds, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise ConfigError(f"The option {name} is unknown; see --help.{hint}")
        kind = kinds[name]
        if kind is bool:
            if equals:
                raise ConfigError(f"{name} takes no value; {_opposite(name)} is the opposite.")
        elif typing.get_origin(kind) is tuple:
            while rest and not rest[0].startswith("--"):
                _check_value(name, rest.pop(0), int)
        elif equals or (rest and not rest[0].startswith("--")):
            _check_value(name, value if equals else rest.pop(0), kind)
        else:
            raise ConfigError(f"{name} needs a value; see --help.")


def named_fields(words: Sequence[str], options: type) -> set[str]:
    """Return the fields whose options stand on a command line, whatever their values.

    Args:
        words: the command line, which `check_words` has found nothing wrong with.
        options: a dataclass with a field per option.
    """
    names = {word.partition("=")[0].replace("_", "-") for word in words}
    return {field for name, (field, _) in _named(options).items() if name in names}


def _kinds(options: type) -> dict[str, typing.Any]:
    """Return the type of the value of every option, aliases included."""
    return {name: kind for name, (_, kind) in _named(options).items()}


def _named(options: type) -> dict[str, tuple[str, typing.Any]]:
    """Return the field and the type of the value of every option, aliases included."""
    named: dict[str, tuple[str, typing.Any]] = {}
    for field, hint in typing.get_type_hints(options, include_extras=True).items():
        aliases: Sequence[str] = ()
        if typing.get_origin(hint) is typing.Annotated:
            hint, argument = typing.get_args(hint)
            aliases = argument.aliases
        name = "--" + field.replace("_", "-")
        if hint is bool:
            aliases = [*aliases, _opposite(name)]
        named.update(dict.fromkeys((name, *aliases), (field, hint)))
    return named


def _opposite(name: str) -> str:
    return "--" + name[5:] if name.startswith("--no-") else "--no-" + name[2:]


def _check_value(name: str, value: str, kind: typing.Any) -> None:
    if isinstance(kind, types.UnionType):
        if value == "None":
            return
        kind = typing.get_args(kind)[0]
    if kind not in (int, float):
        return
    try:
        kind(value)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise ConfigError(f"{name} {value!r} is not allowed: give {wanted}.") from None
