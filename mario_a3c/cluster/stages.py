"""A campaign on a cluster: as many stages at once as its machines take, one table at the head."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from mario_a3c.cluster.nodes import Node, free_places, living_nodes
from mario_a3c.cluster.ray_store import ANSWER, BIRTH
from mario_a3c.cluster.stage_turn import HOME, StageTurn, TurnLook
from mario_a3c.faults import RunError
from mario_a3c.files import write_atomically
from mario_a3c.training.campaign import Campaign, Show, StageRecord

LOOK = 2.0
MOST_LOSSES = 3
"""Turns in a row that may be lost on machines that are still there."""


@dataclass
class _Turn:
    record: StageRecord
    node: Node
    actor: Any
    folder: Path
    begun: float
    earlier: float
    coming: Any
    asked: float


class StageCrew:
    """Gives stages their turns on the machines of a cluster.

    Args:
        campaign: the stages.
        cores: that a turn takes; where a machine has fewer, all of them.
        publish: called with where the best agent of a turn that has ended may be, and its stage.
        say: called with a sentence when something happened.
    """

    def __init__(
        self,
        campaign: Campaign,
        cores: int,
        publish: Callable[[Path, str], None],
        say: Callable[[str], None],
    ) -> None:
        self._campaign, self._cores = campaign, cores
        self._publish, self._say = publish, say
        self._turns: list[_Turn] = []
        self._losses = 0

    def run(
        self, hours: float, stage_hours: float, interrupted: Callable[[], bool], show: Show
    ) -> None:
        """Give turns until all stages are solved, the time is over, or somebody interrupts.

        Args:
            hours: time in all; 0 for no limit.
            stage_hours: length of a turn.
            interrupted: asked often.
            show: called with the stages that have their turn, about every other second.

        Raises:
            RunError: turns are lost again and again.
        """
        begun = time.monotonic()
        try:
            while not interrupted():
                left = hours - (time.monotonic() - begun) / 3600 if hours else stage_hours
                if left > 0:
                    self._fill(min(left, stage_hours))
                if not self._turns:
                    break
                for turn in list(self._turns):
                    self._look(turn)
                show({turn.record.key for turn in self._turns})
                _rest(LOOK, interrupted)
        finally:
            self._finish()

    def _fill(self, hours: float) -> None:
        """Start turns wherever there is room."""
        able = [node for node in living_nodes() if node.cores]
        cores = {node.id: min(self._cores, node.cores) for node in able}
        nodes = {node: node.cores // cores[node.id] for node in able}
        taken = Counter(turn.node.id for turn in self._turns)
        for node in free_places(nodes, taken, len(self._campaign.records)):
            record = self._campaign.next_record({turn.record.key for turn in self._turns})
            if record is None:
                return
            words, folder = self._campaign.command(record, hours, Path(HOME))
            files = {
                f"{folder.name}/{path.relative_to(folder).as_posix()}": path.read_bytes()
                for path in folder.rglob("*")
                if path.is_file()
            }
            if "--load-from" in words:
                place = words.index("--load-from") + 1
                files["start.safetensors"] = Path(words[place]).read_bytes()
                words[place] = f"{HOME}/start.safetensors"
            words += ["--saved-path", f"{HOME}/agents", "--num-processes", str(cores[node.id])]
            here = NodeAffinitySchedulingStrategy(node.id, soft=False)
            actor = ray.remote(StageTurn).options(num_cpus=cores[node.id], scheduling_strategy=here)
            handle = actor.remote(words[3:], folder.name, files)
            now, look = time.monotonic(), handle.look.remote()
            turn = _Turn(record, node, handle, folder, now, record.seconds, look, now)
            self._turns.append(turn)
            self._say(f"{record.run} has its turn on {node.host}.")

    def _look(self, turn: _Turn) -> None:
        """Take over what a turn has written since the last look, if that has come."""
        ready, _ = ray.wait([turn.coming], timeout=0)
        if not ready:
            if time.monotonic() - turn.asked > BIRTH:
                self._lose(turn, TimeoutError(f"nothing was heard for {BIRTH:g} s"))
            return
        try:
            look: TurnLook = ray.get(turn.coming, timeout=BIRTH)
        except RayError as error:
            self._lose(turn, error)
            return
        self._take(turn, look)
        if look.status is None:
            turn.coming, turn.asked = turn.actor.look.remote(), time.monotonic()
        else:
            self._losses = 0
            self._end(turn, look, look.status)

    def _finish(self) -> None:
        """End all turns, saved, and take over what they have written.

        A file is in one look only: so of each turn the look under way is taken, and the last one
        after it, and no other is asked for.
        """
        lasts = []
        for turn in self._turns:
            turn.actor.stop.remote()
            lasts.append((turn, turn.actor.look.remote()))
        for turn, last in lasts:
            with contextlib.suppress(RayError):
                look: TurnLook = ray.get(turn.coming, timeout=BIRTH)
                self._take(turn, look)
                status = look.status
                look = ray.get(last, timeout=BIRTH)
                self._take(turn, look)
                self._end(turn, look, status)

    def _take(self, turn: _Turn, look: TurnLook) -> None:
        """Take over what a turn has written."""
        for name, content in look.files.items():
            path = turn.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        for path in turn.folder.glob("resume-*"):
            if path.name not in look.names:
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
        with contextlib.suppress(RayError):
            ray.get(turn.actor.clear.remote(), timeout=ANSWER)
        ray.kill(turn.actor)
        self._publish(turn.folder / "best.safetensors", record.name)
        self._campaign.end_turn(record, turn.folder, status)

    def _lose(self, turn: _Turn, error: Exception) -> None:
        """Let a stage whose machine is gone have its turn again, from what has come from there."""
        self._turns.remove(turn)
        ray.kill(turn.actor)
        self._campaign.end_turn(turn.record, turn.folder, None)
        self._say(f"{turn.record.run} was lost on {turn.node.host}; it goes on elsewhere.")
        if turn.node.id in {node.id for node in living_nodes()}:
            self._losses += 1
            if self._losses >= MOST_LOSSES:
                raise RunError(f"Turns are lost again and again; the last one: {error}")


def _rest(seconds: float, interrupted: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not interrupted():
        time.sleep(0.1)
