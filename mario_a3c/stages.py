"""Names of stages: ``1-1``, ``4-*``, ``all``."""

from __future__ import annotations

import re

WORLDS, STAGES_PER_WORLD = range(1, 9), range(1, 5)
ALL = [(world, stage) for world in WORLDS for stage in STAGES_PER_WORLD]

_NAME = re.compile(r"([1-8*])-([1-4*])")


def parse_stages(text: str) -> list[tuple[int, int]]:
    """Return the stages that a list names, in its order and each once.

    Args:
        text: names separated by commas: ``1-1``, with ``*`` for every world or stage, or ``all``.

    Raises:
        ValueError: a name that stands for no stage.
    """
    chosen: dict[tuple[int, int], None] = {}
    for name in (part.strip() for part in text.split(",")):
        if name == "all":
            chosen.update(dict.fromkeys(ALL))
            continue
        match = _NAME.fullmatch(name)
        if match is None:
            raise ValueError(
                f"Stage {name!r} is unknown: give stages as 1-1 to 8-4, 4-* for all of world 4, "
                "or all, separated by commas."
            )
        world, stage = match.groups()
        chosen.update(
            dict.fromkeys(s for s in ALL if world in ("*", str(s[0])) and stage in ("*", str(s[1])))
        )
    return list(chosen)
