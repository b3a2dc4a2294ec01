"""Find a way through a stage by search, without learning (Go-Explore, arXiv:2004.12919).

An archive keeps a snapshot for every place that has been seen. Again and again a place is taken
that was seldom taken before, random buttons are pressed from there, and what is new, or reached by
a shorter way, goes into the archive.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mario_a3c.envs import ram
from mario_a3c.envs.native_engine import NativeEngine, new_snapshots, snapshot_ram

FRAMES_PER_DECISION = 4
DECISIONS = 20
"""Decisions pressed from a place before another one is taken."""
LONGEST_HOLD = 12
CANDIDATES = 40
"""Places drawn at random, of which the one that was taken least is taken."""
NEWEST, NEWEST_SHARE, NEWEST_TAKEN = 30, 0.8, 10
"""How many places count as the newest, and how often only they are drawn from, up to how many times
each."""

_A, _B, _DOWN, _UP, _LEFT, _RIGHT = 0x01, 0x02, 0x20, 0x10, 0x40, 0x80
_BUTTONS = {
    _RIGHT | _B: 5,
    _RIGHT | _A | _B: 6,
    _RIGHT: 2,
    _RIGHT | _A: 2,
    _A: 1,
    0: 1,
    _LEFT | _B: 1,
    _LEFT | _A | _B: 1,
    _DOWN: 1,
    _UP: 0.3,
}


@dataclass(slots=True)
class Place:
    """Somewhere the game has been.

    Attributes:
        snapshot: ``uint8 [SNAPSHOT_SIZE]``.
        node: the decision that led here, an index into the tree.
        frames: the length of the way from the start.
        taken: how often it was chosen to go on from.
    """

    snapshot: NDArray[np.uint8]
    node: int
    frames: int
    taken: int = 0


class Ways:
    """A tree of decisions. Nodes never change, so that a way, once known, stays what it was."""

    START = -1

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._buttons: list[int] = []

    def add(self, parent: int, button: int) -> int:
        """Return a new node: ``button`` held for one decision after ``parent``."""
        self._parents.append(parent)
        self._buttons.append(button)
        return len(self._parents) - 1

    def buttons(self, node: int) -> list[int]:
        """Return the decisions from the start to a node."""
        way = []
        while node != self.START:
            way.append(self._buttons[node])
            node = self._parents[node]
        return way[::-1]


class Search:
    """The search for a way through one stage.

    Args:
        world: 1 to 8.
        stage: 1 to 4.
        seed: the same seed finds the same way, if the search is not cut short by time.
        known: the controller bytes, one a frame, of a way that is to be made shorter.
        allowed: the controller bytes that may be pressed; by default the search's own choice.

    Attributes:
        best: the controller bytes, one a frame, of the shortest way found; empty if none.
        decisions: how many decisions have been tried.
    """

    def __init__(
        self, world: int, stage: int, seed: int, known: bytes = b"", allowed: bytes = b""
    ) -> None:
        self.world, self.stage = world, stage
        self.best = known
        self.decisions = 0
        self._random = random.Random(f"{seed} {world} {stage} {len(known)}")
        self._buttons = {byte: _BUTTONS.get(byte, 1) for byte in allowed} if allowed else _BUTTONS
        self._engine = NativeEngine(world, stage, 1)
        self._snapshots = new_snapshots(DECISIONS)
        self._ways = Ways()
        self._places: dict[int, Place] = {}
        self._list: list[Place] = []
        start = np.frombuffer(self._engine.save(0), dtype=np.uint8)
        self._keep(_place_keys(self._engine.ram)[0], start, Ways.START, 0)
        if known:
            decisions = np.frombuffer(known, dtype=np.uint8)[::FRAMES_PER_DECISION]
            for first in range(0, len(decisions), DECISIONS):
                self._go_on(self._last_reached, decisions[first : first + DECISIONS].tolist())

    @property
    def num_places(self) -> int:
        """How many places are known."""
        return len(self._list)

    def run(self, is_over: Callable[[], bool], until_found: bool = True) -> None:
        """Search until a way is found, or (otherwise) for a shorter one, until ``is_over()``."""
        while not (is_over() or (until_found and self.best)):
            place = self._choose()
            place.taken += 1
            self._go_on(place, self._random_decisions())

    def _choose(self) -> Place:
        """Return a place that was seldom taken, and that is not further than a known way.

        Mostly it is a new one: that is where a stage goes on. The others are for its forks.
        """
        if not self.best and self._random.random() < NEWEST_SHARE:
            place = _least_taken(self._random.choices(self._list[-NEWEST:], k=CANDIDATES))
            if place.taken < NEWEST_TAKEN:
                return place
        drawn = self._random.choices(self._list, k=CANDIDATES)
        if self.best:
            drawn = [place for place in drawn if place.frames < len(self.best)] or drawn
        return _least_taken(drawn)

    def _random_decisions(self) -> list[int]:
        decisions: list[int] = []
        while len(decisions) < DECISIONS:
            (button,) = self._random.choices(list(self._buttons), list(self._buttons.values()))
            decisions += [button] * self._random.randint(1, LONGEST_HOLD)
        return decisions[:DECISIONS]

    def _go_on(self, place: Place, decisions: list[int]) -> None:
        """Press buttons from a place on and keep what is worth it."""
        self._engine.load(0, place.snapshot.tobytes())
        begun, frames, ended = self._engine.play(
            0,
            np.array(decisions, dtype=np.uint8),
            FRAMES_PER_DECISION,
            self._snapshots[: len(decisions)],
        )
        self.decisions += begun
        memory = snapshot_ram(self._snapshots[:begun])
        inside = ram.in_stage(memory, self.world, self.stage)
        if ended and inside[-1] and ram.completed(memory[-1:], self.world, self.stage)[0]:
            self._finish(place, decisions[:begun], frames)
        # The last state of a game that has ended leads nowhere; nor does another stage.
        usable = int(np.argmin(inside)) if not inside.all() else begun - ended
        keys = _place_keys(memory[:usable])
        node, added = place.node, 0
        for n, key in enumerate(keys):
            known = self._places.get(key)
            length = place.frames + (n + 1) * FRAMES_PER_DECISION
            if known is not None and known.frames <= length:
                continue
            for button in decisions[added : n + 1]:
                node = self._ways.add(node, button)
            added = n + 1
            self._keep(key, self._snapshots[n].copy(), node, length)

    def _keep(self, key: int, snapshot: NDArray[np.uint8], node: int, frames: int) -> None:
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = Place(snapshot, node, frames)
            self._list.append(place)
        else:
            # The new way deserves to be gone on from.
            place.snapshot, place.node, place.frames, place.taken = snapshot, node, frames, 0
        self._last_reached = place

    def _finish(self, place: Place, decisions: list[int], frames: int) -> None:
        if self.best and place.frames + frames >= len(self.best):
            return
        way = self._ways.buttons(place.node) + decisions
        buttons = bytes(button for button in way for _ in range(FRAMES_PER_DECISION))
        self.best = buttons[: place.frames + frames]


def _least_taken(places: list[Place]) -> Place:
    return min(places, key=lambda place: place.taken)


def _place_keys(memory: NDArray[np.uint8]) -> list[int]:
    """Return for each row of ``uint8 [N, 2048]`` a number that stands for the place.

    A place is the area, its number and its type, a field of 16 by 32 pixels, whether Mario is small
    or big, whether the number of coins is odd, and how the forks of a maze have been taken. An odd
    coin tells whether a hidden block has been hit, which is something to stand on (8-4 needs one).
    A maze counts how many forks were passed and how many of them on the right way (7-4); without
    that, the quicker and wrong way to a place would take the place of the right one.
    """
    m = memory.astype(np.int64)
    x = m[:, 0x6D] * 256 + m[:, 0x86]
    y = m[:, 0xB5] * 256 + m[:, 0xCE]
    key = m[:, 0x750] << 8 | m[:, 0x760]
    key = key << 12 | x // 16
    key = key << 11 | y // 32
    key = key << 8 | m[:, 0x74E]
    key = key << 1 | m[:, 0x754] & 1
    key = key << 1 | m[:, 0x75E] & 1
    key = key << 2 | m[:, 0x6D9] & 3
    return (key << 2 | m[:, 0x6DA] & 3).tolist()
