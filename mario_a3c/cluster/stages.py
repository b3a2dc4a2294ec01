"""A campaign on a cluster: as many stages at once as its machines take, one table at the head."""

from __future__ import annotations

import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from mario_a3c.cluster.nodes import (
    LeftOut,
    Node,
    Waiting,
    free_places,
    gpu_share,
    living_nodes,
)
from mario_a3c.cluster.ray_store import BIRTH, first_line
from mario_a3c.cluster.stage_turn import HOME, PATIENCE, StageTurn, TurnLook
from mario_a3c.faults import RunError
from mario_a3c.files import write_atomically
from mario_a3c.training.best import BEST
from mario_a3c.training.campaign import Campaign, Show, StageRecord

LOOK = 2.0
"""Seconds between two looks at the turns."""
ROTATED = ("resume-*", "videos/*")
"""Files of which a run removes the oldest."""
MOST_LOSSES = 2
"""Turns in a row that a machine may lose which is still there."""
ENDING = PATIENCE + 10.0
"""Seconds that all turns together get to end, saved, and to hand over what they have written."""
CLEARING = 5.0
"""Seconds that the folder of a turn may take to be removed."""


@dataclass
class _Turn:
    record: StageRecord
    node: Node
    actor: Any
    folder: Path
    share: float
    begun: float
    earlier: float
    coming: Any
    asked: float
    heard: bool = False


class StageCrew:
    """Gives stages their turns on the machines of a cluster.

    Args:
        campaign: the stages.
        cores: that a turn takes; where a machine has fewer, all of them.
        gpu: whether turns use the GPUs of machines that have some.
        publish: called with where the best agent of a turn that has ended may be, and its stage.
        say: called with a sentence when something happened.
    """

    def __init__(
        self,
        campaign: Campaign,
        cores: int,
        gpu: bool,
        publish: Callable[[Path, str], None],
        say: Callable[[str], None],
    ) -> None:
        self._campaign, self._cores, self._gpu = campaign, cores, gpu
        self._publish, self._say = publish, say
        self._turns: list[_Turn] = []
        self._left_out = LeftOut(MOST_LOSSES, math.inf)
        self._waiting = Waiting(say)

    def run(
        self,
        hours: float,
        stage_hours: float,
        interrupted: Callable[[], bool],
        show: Show,
        hurried: Callable[[], bool] = lambda: False,
    ) -> None:
        """Give turns until all stages are solved, the time is over, or somebody interrupts.

        Args:
            hours: time in all; 0 for no limit.
            stage_hours: length of a turn.
            interrupted: asked often.
            show: called with the stages that have their turn, about every other second.
            hurried: asked often while turns end; true ends them as they are.

        Raises:
            RunError: no machine is left that does not lose turns again and again, or several runs
                in a row have failed.
        """
        begun = time.monotonic()
        try:
            while not interrupted():
                left = hours - (time.monotonic() - begun) / 3600 if hours else stage_hours
                waits = left > 0 and self._fill(stage_hours, min(1.0, left / stage_hours))
                if not (self._turns or waits):
                    break
                for turn in list(self._turns):
                    self._look(turn)
                show({turn.record.key for turn in self._turns})
                _rest(LOOK, interrupted)
        finally:
            self._finish(hurried)

    def _fill(self, stage_hours: float, share: float) -> bool:
        """Start turns wherever there is room; return whether more could be started with more.

        Args:
            stage_hours: length of a whole turn.
            share: how much of it there is time for.
        """
        able = self._left_out.usable(living_nodes())
        taken = Counter(turn.node.id for turn in self._turns)
        coming = Counter(turn.node.id for turn in self._turns if not turn.heard)
        most = len(self._campaign.records)
        for node in free_places(able, taken, coming, most, self._cores_on):
            record = self._next_record()
            if record is None:
                break
            part = self._campaign.share_left(record, share)
            self._start(record, node, part * stage_hours, part)
        waits = self._next_record() is not None
        self._waiting.tell(able, waits and not self._turns)
        return waits

    def _next_record(self) -> StageRecord | None:
        return self._campaign.next_record({turn.record.key for turn in self._turns})

    def _cores_on(self, node: Node) -> int:
        """Return how many cores a turn takes on a machine."""
        return min(self._cores, node.cores)

    def _start(self, record: StageRecord, node: Node, hours: float, share: float) -> None:
        """Give a stage its turn on a machine, with all that its run has written so far."""
        words, folder = self._campaign.command(record, hours, Path(HOME))
        files = {
            f"{folder.name}/{path.relative_to(folder).as_posix()}": path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        words = _with_agent(words, files)
        cores = self._cores_on(node)
        words += ["--saved-path", f"{HOME}/agents", "--num-processes", str(cores)]
        # Without a part of a GPU, Ray would have all turns of a machine see all of its GPUs, and
        # each would take the first.
        of_gpu = gpu_share(node.cores // cores, node.gpus) if self._gpu else 0.0
        here = NodeAffinitySchedulingStrategy(node.id, soft=False)
        options = {"num_cpus": cores, "num_gpus": of_gpu, "scheduling_strategy": here}
        actor = ray.remote(StageTurn).options(**options)
        handle = actor.remote(words[3:], folder.name, files)
        now, look = time.monotonic(), handle.look.remote()
        turn = _Turn(record, node, handle, folder, share, now, record.seconds, look, now)
        self._turns.append(turn)
        self._say(f"{record.run} has its turn on {node.host}.")

    def _look(self, turn: _Turn) -> None:
        """Take over what a turn has written since the last look, if that has come."""
        ready, _ = ray.wait([turn.coming], timeout=0)
        if not ready:
            if time.monotonic() - turn.asked > BIRTH:
                self._give_up(turn)
            return
        try:
            look: TurnLook = ray.get(turn.coming, timeout=BIRTH)
        except RayError as error:
            self._lose(turn, first_line(error))
            return
        turn.heard = True
        self._take(turn, look)
        if look.status is None:
            turn.coming, turn.asked = turn.actor.look.remote(), time.monotonic()
        else:
            self._left_out.forgive(turn.node)
            self._end(turn, look, look.status)

    def _finish(self, hurried: Callable[[], bool]) -> None:
        """End all turns, saved, and take over what they have written, as far as time allows.

        A file is in one look only: so of each turn the look under way is taken, and the last one
        after it, and no other is asked for.
        """
        if self._turns:
            self._say(
                f"Ending: all turns get {ENDING:g} s to be saved; a second signal ends them now."
            )
        until = time.monotonic() + ENDING
        lasts = []
        for turn in self._turns:
            turn.actor.stop.remote()
            lasts.append((turn, turn.actor.look.remote()))
        for turn, last in lasts:
            try:
                self._finish_one(turn, last, until, hurried)
            except OSError as error:  # others are still to end, and may have room
                self._say(
                    f"The end of {turn.record.run} on {turn.node.host} could not be kept: "
                    f"{error.strerror or error}."
                )

    def _finish_one(
        self, turn: _Turn, last: Any, until: float, hurried: Callable[[], bool]
    ) -> None:
        """End a turn that was told to stop.

        Args:
            turn: the turn.
            last: the look at it that was asked for after that.
            until: when everything has to have come.
            hurried: whether nothing is waited for any more.

        Raises:
            OSError: the head cannot write it down.
        """
        try:
            patience = until if turn.heard else 0.0  # it has hardly begun
            look: TurnLook = _answer(turn.coming, patience, hurried)
            self._take(turn, look)
            status = look.status
            look = _answer(last, until, hurried)
            self._take(turn, look)
        except RayError:
            self._turns.remove(turn)
            self._clear(turn, seconds=0.0)
            if turn.heard:
                self._say(
                    f"{turn.record.run} could not be ended, saved, on {turn.node.host}; what "
                    "came from there before is kept."
                )
        else:
            with contextlib.suppress(RunError):  # we end anyway, and others are still to end
                self._end(turn, look, status)

    def _take(self, turn: _Turn, look: TurnLook) -> None:
        """Take over what a turn has written."""
        for name in sorted(look.files, key=lambda name: name.startswith("videos/")):
            path = turn.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, look.files[name])
        for pattern in ROTATED:
            for path in turn.folder.glob(pattern):
                if path.relative_to(turn.folder).as_posix() not in look.names:
                    path.unlink()
        turn.record.seconds = turn.earlier + time.monotonic() - turn.begun
        self._campaign.take_status(turn.record, turn.folder)

    def _end(self, turn: _Turn, look: TurnLook, status: int | None) -> None:
        """Note what came of a turn, and clear up after it.

        Args:
            turn: the turn.
            look: the last one at it.
            status: with which it ended by itself, or None.
        """
        record = turn.record
        self._turns.remove(turn)
        with self._campaign.log(record).open("a", encoding="utf-8") as log:
            log.write(look.said)
        self._clear(turn)
        self._publish(turn.folder / BEST, record.name)
        self._campaign.end_turn(record, turn.folder, status, turn.share)

    def _clear(self, turn: _Turn, seconds: float = CLEARING) -> None:
        """Remove a turn's folder, if its machine answers in so many seconds, and its actor."""
        ray.wait([turn.actor.clear.remote()], timeout=seconds)
        ray.kill(turn.actor)

    def _give_up(self, turn: _Turn) -> None:
        """Take a turn back of which nothing was heard for too long."""
        if turn.heard:
            self._lose(turn, f"nothing was heard for {BIRTH:g} s")
            return
        self._turns.remove(turn)
        ray.kill(turn.actor)
        self._campaign.end_turn(turn.record, turn.folder, None)
        self._say(
            f"{turn.record.run} did not begin on {turn.node.host} within {BIRTH:g} s, perhaps for "
            "want of a core: it is tried again."
        )

    def _lose(self, turn: _Turn, reason: str) -> None:
        """Let a stage whose machine is gone have its turn again, from what has come from there.

        Raises:
            RunError: no machine is left that does not lose turns again and again.
        """
        record, node, nodes = turn.record, turn.node, living_nodes()
        self._turns.remove(turn)
        self._clear(turn)
        self._campaign.end_turn(record, turn.folder, None)
        if node.id in {node.id for node in nodes}:
            self._left_out.count(node)
        if node not in self._left_out:
            self._say(f"{record.run} was lost on {node.host}; it goes on elsewhere.")
            return
        lost = (
            f"Turns are lost on {node.host} again and again; the last one, {record.run}: {reason}"
        )
        if not self._left_out.usable(nodes):
            raise RunError(lost)
        self._say(f"{lost}. {node.host} gets no more of them.")


def _with_agent(words: list[str], files: dict[str, bytes]) -> list[str]:
    """Return a command that starts from the same agent elsewhere, which is put among the files."""
    option, name = "--load-from", "start.safetensors"
    words = [
        part
        for word in words
        for part in (word.split("=", 1) if word.startswith(f"{option}=") else [word])
    ]
    for place, word in enumerate(words[:-1]):
        if word == option:
            files[name] = Path(words[place + 1]).read_bytes()
            words[place + 1] = f"{HOME}/{name}"
    return words


def _answer(coming: Any, until: float, hurried: Callable[[], bool]) -> Any:
    """Return what comes from an actor.

    Raises:
        RayError: it does not come in time, or never will.
    """
    while not ray.wait([coming], timeout=0.1)[0]:
        if hurried() or time.monotonic() > until:
            raise GetTimeoutError("It did not come in time.")
    return ray.get(coming)


def _rest(seconds: float, interrupted: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not interrupted():
        time.sleep(0.1)
