"""What stands at the head of a cluster, and starts and ends things on it: no Ray is started."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from mario_a3c.cli import main
from mario_a3c.cluster import child
from mario_a3c.cluster.stage_turn import StageTurn
from mario_a3c.faults import RunError
from mario_a3c.files import write_atomically
from mario_a3c.learning.optim import make_state
from mario_a3c.training.campaign import Campaign
from mario_a3c.training.children import MOST_DEATHS
from mario_a3c.training.shared import FAULTS, Shared
from mario_a3c.training.trainer import Trainer
from tests.near_ray import NearActor, NearRay, SilenceError
from tests.small import small_config

pytestmark = pytest.mark.skipif(
    find_spec("ray") is None, reason="needs Ray: pip install -e '.[ray]'"
)


def node(name: str, cores: int, free: int | None = None, gpus: float = 0.0) -> Any:
    """Return a machine of a cluster."""
    from mario_a3c.cluster.nodes import Node

    return Node(name * 56, f"host-{name}", cores, gpus, cores if free is None else free)


class Process:
    """Stands for the process of a turn: it saves when it begins and, once more, when it ends."""

    def __init__(self, words: list[str], cwd: Path, **settings: Any) -> None:
        self.words, self.home = words, cwd
        self.status: int | None = None
        option = "--run-name" if "--run-name" in words else "--resume"
        self.folder = cwd / words[words.index(option) + 1]
        self.folder.mkdir(exist_ok=True)
        self.save(1)

    def save(self, steps: int) -> None:
        """Write what a run writes, keeping one state."""
        for path in self.folder.glob("resume-*"):
            path.unlink()
        (self.folder / f"resume-{steps}.safetensors").write_bytes(b"state")
        (self.folder / "status.json").write_text(f'{{"steps": {steps}}}')
        (self.folder / "best.safetensors").write_text(f"best of {steps}")

    def poll(self) -> int | None:
        """Return with what it has ended."""
        return self.status

    def terminate(self) -> None:
        """End, saved."""
        if self.status is None:
            self.save(2)
            self.status = 0

    def kill(self) -> None:
        """End at once."""
        self.status = -9 if self.status is None else self.status

    def wait(self, timeout: float | None = None) -> int | None:
        """Return with what it has ended."""
        return self.status


class Turns:
    """A crew that gives turns on machines that there are not; the turns are in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, *options: str) -> None:
        from mario_a3c.cluster import stages

        (folder / "there").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder / "there"))
        monkeypatch.setattr(subprocess, "Popen", Process)
        monkeypatch.setattr(stages, "ray", near := NearRay(lambda kind, *words: kind(*words)))
        monkeypatch.setattr(stages, "living_nodes", lambda: self.nodes)
        monkeypatch.setattr(stages, "LOOK", 0.0)
        self.nodes: list[Any] = [node("a", 1)]
        self.near, self.there, self.shown = near, folder / "there", list[set[str]]()
        self.campaign = Campaign(folder, [(1, 1), (1, 2)], range(1, 2), options)
        self.folder = folder / "1-1-seed1"
        self.said, self.published = list[str](), list[str]()
        self.crew = stages.StageCrew(
            self.campaign,
            1,
            True,
            lambda best, stage: self.published.append(best.read_text()),
            self.said.append,
        )

    def run(self, times: int, hurried: bool = False) -> None:
        """Look so often, and end."""
        asked = iter(range(times))
        interrupted = lambda: next(asked, None) is None  # noqa: E731
        self.crew.run(0.0, 1.0, interrupted, self.shown.append, lambda: hurried)

    def states(self) -> list[str]:
        """Return the states of the first stage that are at the head."""
        return [path.name for path in self.folder.glob("resume-*")]


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Turns:
    """A crew for turns, and one machine with one core."""
    return Turns(monkeypatch, tmp_path)


@pytest.mark.parametrize("looks", [1, 2, 3])
def test_a_campaign_that_is_interrupted_has_the_last_state_of_every_turn(turns, looks):
    turns.run(looks)
    assert turns.said[-1] == (
        "Ending: all turns get 70 s to be saved; a second signal ends them now."
    )
    assert turns.states() == ["resume-2.safetensors"]
    assert turns.campaign.records[0].status == {"steps": 2}
    assert turns.published == ["best of 2"]
    assert isinstance(turns.near.actors[0].made, StageTurn)
    assert turns.near.killed == turns.near.actors
    assert not list(turns.there.iterdir())


@pytest.mark.parametrize("hurried", [True, False])
def test_a_turn_that_does_not_end_is_left_at_once_if_told_twice_and_else_when_time_is_over(
    turns, monkeypatch, hurried
):
    from mario_a3c.cluster import stages

    monkeypatch.setattr(stages, "ENDING", 1e6 if hurried else 0.0)
    monkeypatch.setattr(StageTurn, "stop", lambda turn: turns.near.silent.add("look"))
    turns.run(2, hurried)
    assert turns.states() == ["resume-1.safetensors"]
    assert turns.near.killed == turns.near.actors
    assert turns.said[-1] == (
        "1-1-seed1 could not be ended, saved, on host-a; what came from there before is kept."
    )


def test_a_turn_that_is_lost_while_a_campaign_ends_keeps_no_other_from_being_saved(turns):
    from ray.exceptions import RayActorError

    turns.nodes = [node("a", 1), node("b", 1)]
    turns.crew._fill(1.0, share=1.0)
    for turn in turns.crew._turns:
        turns.crew._look(turn)
    first, second = turns.crew._turns
    first.coming.error = RayActorError()
    turns.crew._finish(lambda: False)
    assert "1-1-seed1 could not be ended, saved" in turns.said[-1]
    assert [path.name for path in second.folder.glob("resume-*")] == ["resume-2.safetensors"]


def test_a_full_disk_at_the_head_keeps_no_other_turn_from_being_saved(turns, monkeypatch):
    from mario_a3c.cluster import stages

    def full(path: Path, content: bytes) -> None:
        if path.parent == first.folder:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_atomically(path, content)

    turns.nodes = [node("a", 1), node("b", 1)]
    turns.crew._fill(1.0, share=1.0)
    first, second = turns.crew._turns
    monkeypatch.setattr(stages, "write_atomically", full)
    turns.crew._finish(lambda: False)
    assert turns.said[-1] == (
        "The end of 1-1-seed1 on host-a could not be kept: No space left on device."
    )
    assert [path.name for path in second.folder.glob("resume-*")] == ["resume-2.safetensors"]


def test_an_agent_that_cannot_be_copied_ends_no_campaign_on_a_cluster(monkeypatch, tmp_path):
    said = list[str]()

    def crew(campaign: object, cores: int, gpu: bool, publish: Any, say: object) -> Any:
        publish(best, "1-1")
        return SimpleNamespace(run=lambda *words: None)

    def full(best: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (best := tmp_path / "best.safetensors").write_bytes(b"weights")
    campaign = Campaign(tmp_path, [(1, 1)], range(1, 2), [])
    monkeypatch.setattr("mario_a3c.cluster.stages.StageCrew", crew)
    monkeypatch.setattr(child, "connect", lambda address: contextlib.nullcontext())
    monkeypatch.setattr(child, "publish", full)
    monkeypatch.setattr(child, "say", said.append)
    config = small_config(ray="local", saved_path=str(tmp_path))
    child.run_on_cluster(campaign, config, cast(Any, None))
    assert said == [
        f"{best} could not be copied to {tmp_path}/mario-1-1.safetensors: No space left on device."
    ]


def test_what_a_run_removed_or_has_not_finished_is_not_kept_at_the_head(turns):
    turns.crew._fill(1.0, share=1.0)
    (turn,) = turns.crew._turns
    videos = turn.actor.made._folder / "videos"
    videos.mkdir()
    for name in ("1.mp4", ".x.mp4.partial"):
        (videos / name).write_bytes(b"moving")
    turn.coming = turn.actor.look.remote()
    turns.crew._look(turn)
    assert [path.name for path in (turn.folder / "videos").iterdir()] == ["1.mp4"]
    (videos / "1.mp4").rename(videos / "2.mp4")
    turn.coming = turn.actor.look.remote()
    turns.crew._look(turn)
    assert [path.name for path in (turn.folder / "videos").iterdir()] == ["2.mp4"]


def test_a_campaign_waits_for_cores_that_others_use_and_says_so_once(turns):
    turns.nodes = [node("h", 0)]
    turns.run(3)
    turns.nodes = [node("a", 2, free=0)]
    turns.run(3)
    assert turns.said == [
        "No machine of the cluster has cores to train on; waiting for one that joins.",
        "All cores of the cluster are in use by others; waiting until some are free.",
    ]
    assert turns.shown == [set()] * 6
    turns.nodes = [node("a", 2, free=1)]
    turns.run(1)
    assert turns.said[2:-1] == ["1-1-seed1 has its turn on host-a."]


def test_a_turn_that_waits_for_a_core_is_not_lost_however_often(turns, monkeypatch):
    from mario_a3c.cluster import stages

    monkeypatch.setattr(stages, "BIRTH", -1.0)
    turns.near.silent.add("look")
    turns.run(10)
    late = "did not begin on host-a within -1 s, perhaps for want of a core: it is tried again."
    assert turns.said.count(f"1-1-seed1 {late}") == 10


def test_a_machine_that_loses_turns_again_and_again_gets_no_more_of_them(turns, monkeypatch):
    from mario_a3c.cluster import stages

    def lose(times: int) -> None:
        for _ in range(times):
            turns.crew._fill(1.0, share=1.0)
            for turn in list(turns.crew._turns):
                turns.crew._look(turn)  # it is heard
            monkeypatch.setattr(stages, "BIRTH", -1.0)
            turns.near.silent.add("look")
            for _ in range(2):
                for turn in list(turns.crew._turns):
                    turns.crew._look(turn)
            turns.near.silent.clear()
            monkeypatch.setattr(stages, "BIRTH", 300.0)

    lose(2)
    assert turns.said[-1] == "1-1-seed1 was lost on host-a; it goes on elsewhere."
    assert not list(turns.there.iterdir())
    turns.nodes.append(node("b", 1, free=0))
    lose(1)
    assert turns.said[-1].startswith("Turns are lost on host-a again and again; the last one, 1-1")
    assert turns.said[-1].endswith("host-a gets no more of them.")
    turns.nodes = [node("c", 1)]
    lose(2)
    with pytest.raises(RunError, match="Turns are lost on host-c again and again"):
        lose(1)


def test_a_turn_that_the_end_of_a_campaign_cuts_short_counts_as_the_part_that_there_was(turns):
    turns.crew._fill(1.0, share=0.25)
    (turn,) = turns.crew._turns
    turn.actor.made._process.status = 0
    while turns.crew._turns:
        turns.crew._look(turn)
    assert turns.campaign.records[0].turns == 0.25


def test_a_stage_gets_no_more_of_a_turn_elsewhere_than_it_may_have(turns):
    turns.campaign._most_turns = 1
    for record in turns.campaign.records:
        record.turns = 0.75
    turns.crew._fill(1.0, share=1.0)
    assert turns.crew._turns[0].share == 0.25


@pytest.mark.parametrize(("cores", "gpus", "share"), [(4, 2, 0.5), (2, 2, 1.0), (2, 0, 0.0)])
def test_turns_share_the_gpus_of_their_machine(turns, cores, gpus, share):
    turns.nodes = [node("a", cores, gpus=gpus)]
    turns.run(1)
    assert [actor.options["num_gpus"] for actor in turns.near.actors] == [share] * 2


@pytest.mark.parametrize("words", [["--load-from", "{}"], ["--load-from={}"]])
def test_the_agent_that_stages_start_from_is_sent_along(monkeypatch, tmp_path, words):
    agent = tmp_path / "agent.safetensors"
    agent.write_bytes(b"weights")
    turns = Turns(monkeypatch, tmp_path, *(word.format(agent) for word in words))
    turns.crew._fill(1.0, share=1.0)
    process: Any = turns.near.actors[0].made._process
    sent = Path(process.words[process.words.index("--load-from") + 1])
    assert sent.is_relative_to(turns.there)
    assert sent.read_bytes() == b"weights"


def test_a_file_that_vanishes_while_a_turn_is_looked_at_is_passed_over(turns, monkeypatch):
    turns.crew._fill(1.0, share=1.0)
    turn = turns.near.actors[0].made
    there = {"resume-1.safetensors", "status.json", "best.safetensors"}
    found, read = Path.rglob, Path.read_bytes
    monkeypatch.setattr(Path, "rglob", lambda path, what: [path / "gone", *found(path, what)])
    assert turn.look().names == there

    def vanish(path: Path) -> bytes:
        if path.name == "status.json":
            path.unlink()
        return read(path)

    (turn._folder / "status.json").write_bytes(b"newer")
    (turn._folder / "best.safetensors").write_bytes(b"newer")
    monkeypatch.setattr(Path, "read_bytes", vanish)
    assert turn.look().files == {"best.safetensors": b"newer"}


def test_what_a_turn_left_whose_process_was_killed_is_removed_by_the_next(turns):
    turns.crew._fill(1.0, share=1.0)
    (home,) = turns.there.iterdir()
    turns.near.actors[0].made._lock.release()  # as the kernel does
    turns.nodes.append(node("b", 1))
    turns.crew._fill(1.0, share=1.0)
    (second,) = turns.there.iterdir()
    assert second != home
    turns.nodes.append(node("c", 1))
    turns.crew._fill(1.0, share=1.0)
    assert second.exists()


def lost_parameters(monkeypatch: pytest.MonkeyPatch, sent: list[Any]) -> Any:
    """Return the head of a run whose parameters are lost; they would start in this process."""
    from ray.exceptions import RayActorError

    from mario_a3c.cluster import head
    from mario_a3c.cluster.parameters import Parameters

    config = small_config()
    weights = torch.ones(5)
    shared = Shared.begin(weights, make_state(config.optimizer, weights), 1)
    near = NearRay()

    def start(address: object, *words: Any) -> NearActor:
        return NearActor(near, Parameters(*words), {})

    class Connection:
        send = sent.append

    monkeypatch.setattr(head, "ray", near)
    monkeypatch.setattr(head, "start_parameters", start)
    monkeypatch.setattr(head, "check_head", lambda: None)
    one = head.Head(config, cast(Any, None), shared, 1, cast(Any, Connection))
    one.crew._retire(3)
    one._actor.made.look = lambda: (_ for _ in ()).throw(RayActorError)
    return one


def test_parameters_that_were_lost_begin_again_without_the_workers_that_were_retired(monkeypatch):
    sent = list[Any]()
    one = lost_parameters(monkeypatch, sent)
    one._level()
    assert "begin again as of step 0" in sent[0].text
    assert one._actor.made.join(3).stop
    assert not one._actor.made.join(4).stop


def test_parameters_that_were_lost_with_the_head_of_the_cluster_end_the_run(monkeypatch):
    from mario_a3c.cluster import head

    def check_head() -> None:
        raise RunError("Ray's head was lost")

    one = lost_parameters(monkeypatch, [])
    monkeypatch.setattr(head, "check_head", check_head)
    with pytest.raises(RunError, match="Ray's head was lost"):
        one._level()


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_head_that_does_not_answer_is_lost_only_when_it_stays_away(monkeypatch, comes_back):
    from mario_a3c.cluster import nodes

    asked = []

    def greet(place: str) -> None:
        asked.append(place)
        if not comes_back or len(asked) < 3:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    near = SimpleNamespace(
        get_runtime_context=lambda: SimpleNamespace(gcs_address="10.0.0.1:6379"), nodes=list
    )
    monkeypatch.setattr(nodes, "ray", near)
    monkeypatch.setattr(nodes, "greet", greet)
    monkeypatch.setattr(nodes, "RETRY", 0.0)
    monkeypatch.setattr(nodes, "AWAY", 60.0 if comes_back else 0.0)
    if comes_back:
        nodes.check_head()
        assert asked == ["10.0.0.1:6379"] * 3
    else:
        with pytest.raises(
            RunError,
            match=r"^Ray's head at 10\.0\.0\.1:6379 was lost \(Connection refused, for 0 s",
        ):
            nodes.living_nodes()


class Broken:
    """Stands for a worker, which ends of something on some machines."""

    def __init__(self, ends: dict[str, Exception], where: str) -> None:
        self._end = ends.get(where)

    def work(self) -> None:
        """Train, without an end or up to this one."""
        raise self._end or SilenceError


class Crews:
    """A crew on machines that there are not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *nodes: Any, **changes: Any) -> None:
        from mario_a3c.cluster import crew

        self.near = NearRay(lambda kind, *words, **named: self.made())
        self.nodes, self.ends = list(nodes), dict[str, Exception]()
        self.said, self.retired, self.placed = list[str](), list[int](), list[Any]()
        monkeypatch.setattr(crew, "ray", self.near)
        monkeypatch.setattr(crew, "living_nodes", lambda: self.nodes)
        monkeypatch.setattr(
            crew,
            "NodeAffinitySchedulingStrategy",
            lambda place, soft: self.placed.append(place),
        )
        config = small_config(num_processes=100, **changes)
        words = (config, cast(Any, None), cast(Any, None), 1, self.said.append)
        self.crew = crew.Crew(*words, self.retired.append)

    def made(self) -> Broken:
        return Broken(self.ends, self.placed[-1])

    def on(self, place: str) -> int:
        """Return how many workers were started on a machine."""
        return self.placed.count(place)

    def go_on(self, times: int) -> None:
        for _ in range(times):
            self.crew.fill()
            self.crew.check()


def test_a_machine_where_workers_keep_dying_is_left_out_and_the_others_go_on(monkeypatch):
    crews = Crews(monkeypatch, node("a", 1), node("b", 1))
    crews.ends["a" * 56] = task_error(OSError("disk full"))
    crews.go_on(20)
    assert crews.on("a" * 56) == MOST_DEATHS + 1
    assert crews.on("b" * 56) == 1
    assert crews.said[-1].endswith("; host-a gets no more of them.")
    assert "workers on host-a died 6 times within 10 minutes" in crews.said[-1]


def test_a_worker_that_cannot_go_on_ends_the_run_only_where_no_other_machine_is_left(monkeypatch):
    crews = Crews(monkeypatch, node("a", 1), node("b", 1))
    crews.ends["a" * 56] = task_error(RunError("no cartridge."))
    crews.go_on(3)
    assert crews.retired == [0]
    assert crews.said[-1] == (
        "worker 0 on host-a cannot go on: no cartridge; host-a gets no more of them."
    )
    crews.nodes[1] = node("c", 1)
    crews.ends["c" * 56] = task_error(RunError("no cartridge."))
    with pytest.raises(RunError, match=r"^worker 2 on host-c cannot go on: no cartridge$"):
        crews.go_on(1)


@pytest.mark.parametrize(
    ("left", "last"),
    [
        (["a", "b"], "worker 1 on host-b died: ProcessError; another one takes its place."),
        (["a"], "worker 1 was lost with its machine, host-b."),
    ],
)
def test_a_worker_that_does_not_answer_is_judged_only_when_ray_knows_what_became_of_it(
    monkeypatch, left, last
):
    from ray.exceptions import ActorUnavailableError, RayActorError

    crews = Crews(monkeypatch, node("a", 1), node("b", 1))
    unknown = ActorUnavailableError("RpcError", None)
    crews.ends["b" * 56] = unknown
    crews.crew.fill()
    told = len(crews.said)
    crews.near.errors["__ray_ready__"] = unknown
    crews.go_on(5)
    assert crews.said[told:] == ["worker 1 on host-b does not answer."]
    assert crews.retired == []
    crews.near.errors["__ray_ready__"] = RayActorError(error_msg="ProcessError")
    crews.nodes = [node(name, 1) for name in left]
    crews.crew.check()  # asks again
    crews.crew.check()
    assert crews.retired == [1]
    assert crews.said[told + 1 :] == [last]


def test_a_worker_to_which_the_way_was_broken_goes_on(monkeypatch):
    from ray.exceptions import ActorUnavailableError

    crews = Crews(monkeypatch, node("a", 1))
    crews.ends["a" * 56] = ActorUnavailableError("RpcError", None)
    crews.crew.fill()
    crews.near.silent.add("__ray_ready__")
    crews.go_on(5)
    assert crews.on("a" * 56) == 1
    assert crews.retired == []


def test_a_machine_that_leaves_the_cluster_is_named_once(monkeypatch):
    crews = Crews(monkeypatch, node("a", 1), node("b", 1, free=0))
    crews.go_on(1)
    crews.nodes = crews.nodes[:1]
    crews.go_on(3)
    assert crews.said == ["worker 0 starts on host-a.", "host-b has left the cluster."]


def task_error(cause: Exception) -> Exception:
    """Return what Ray raises when a task has raised something."""
    from ray.exceptions import RayTaskError

    return RayTaskError("work", "", cause)


def test_workers_are_started_only_on_cores_that_nobody_uses_and_waiting_is_told_once(monkeypatch):
    crews = Crews(monkeypatch)
    none = "No machine of the cluster has cores to train on; waiting for one that joins."
    busy = "All cores of the cluster are in use by others; waiting until some are free."
    for nodes, placed, said in (
        ([node("h", 0)], 0, [none]),
        ([node("h", 0)], 0, [none]),
        ([node("h", 0), node("a", 4, free=0)], 0, [none, busy]),
        ([node("h", 0), node("a", 4, free=1)], 1, [none, busy, "worker 0 starts on host-a."]),
        ([node("h", 0), node("a", 4, free=0)], 1, [none, busy, "worker 0 starts on host-a."]),
        (
            [node("h", 0), node("a", 4, free=3)],
            4,
            [none, busy, *(f"worker {n} starts on host-a." for n in range(4))],
        ),
    ):
        crews.nodes = nodes
        crews.crew.fill()
        assert len(crews.placed) == placed
        assert crews.said == said


def test_cores_of_workers_that_are_being_started_are_not_given_twice(monkeypatch):
    crews = Crews(monkeypatch, node("a", 4, free=3))
    crews.near.silent.add("__ray_ready__")
    crews.go_on(3)  # Ray has not noticed yet
    assert len(crews.placed) == 3


@pytest.mark.parametrize(
    ("cores", "gpus", "share"),
    [(8, 3, 0.3333), (8, 2, 0.25), (8, 1, 0.125), (2, 4, 1.0), (8, 0, 0.0), (3, 2, 0.5)],
)
def test_gpus_are_shared_so_that_every_worker_has_its_part_on_one(monkeypatch, cores, gpus, share):
    crews = Crews(monkeypatch, node("a", cores, gpus=gpus), device="auto")
    crews.crew.fill()
    assert {actor.options["num_gpus"] for actor in crews.near.actors} == {share}
    assert len(crews.near.actors) == cores
    if gpus:
        assert cores <= gpus * int(1 / share)


def test_a_game_that_hangs_counts_as_a_fault_of_the_environment(monkeypatch):
    from mario_a3c.cluster import worker
    from mario_a3c.cluster.link import OWN, StoreLink
    from mario_a3c.cluster.parameters import Parameters
    from mario_a3c.cluster.state import state_of

    config = small_config(hang_limit=0.001)
    weights = torch.ones(5)
    shared = Shared.begin(weights, make_state(config.optimizer, weights), 1)
    parameters = Parameters(config, state_of(shared))

    class Store:
        join = parameters.join

        def send(self, message: Any) -> Any:
            reply = parameters.exchange(message)
            return lambda: reply

    def end(status: int) -> None:
        raise SystemExit(status)

    monkeypatch.setattr(worker, "WATCH", 0.0)
    monkeypatch.setattr(os, "_exit", end)
    hanging = object.__new__(worker.Worker)
    hanging._config, hanging._link = config, StoreLink(Store(), 0, config)
    hanging._link.shared.inside[OWN] = time.monotonic()
    with pytest.raises(SystemExit):
        hanging._watch()
    look = parameters.look()
    assert look.state["counters"][FAULTS] == 1
    assert "its environment hung" in look.reports[0].text


@pytest.mark.parametrize("there", [[], ["--ray", "local"]])
def test_the_command_that_continues_a_run_names_its_cluster(monkeypatch, capsys, tmp_path, there):
    monkeypatch.setattr(Trainer, "run", lambda *_: None)
    folders = ("--log-path", str(tmp_path), "--run-name", "run", "--saved-path", str(tmp_path))
    assert main(["--env-name", "CartPole-v1", *folders, *there]) == 0
    again = " ".join(["--resume", str(tmp_path / "run"), *there])
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == f"The run is in {tmp_path / 'run'}; continue it with {again}."


START = "start Ray on this machine as docs/cluster.md tells, and give the address that ray start "


def refused(
    tmp_path: Path, address: str, reason: str, *words: str, advice: str = START + "prints"
) -> str:
    """Return what a run that asks for a cluster is to say there, which leaves no folder."""
    where = ["--log-path", str(tmp_path / "logs"), "--saved-path", str(tmp_path), *words]
    assert main(["--ray", address, *where]) == 2
    assert not list(tmp_path.iterdir())
    return f"train.py: --ray {address} is not possible ({reason}); {advice}.\n"


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Take one connection and answer so what is said first; yields the address."""

    def serve() -> None:
        line, _ = server.accept()
        with line:
            line.recv(100)
            line.sendall(answer)

    with socket.create_server(("", 0)) as server:
        server.settimeout(60)
        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("stages", [[], ["--stages", "1-1"]])
def test_where_no_cluster_is_a_run_is_refused_at_once_and_leaves_no_folder(
    monkeypatch, capsys, tmp_path, stages
):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")  # which would be set for good
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    expected = refused(tmp_path, address, "Connection refused", *stages)
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(("port", "named"), [("99999", "99999"), ("0", "0"), ("", "nothing")])
def test_a_port_that_is_none_is_refused_with_those_that_are(
    monkeypatch, capsys, tmp_path, port, named
):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    expected = refused(tmp_path, f"127.0.0.1:{port}", f"{named} is no port: they are 1 to 65535")
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize("answer", [b"HTTP/1.0 400 Bad Request\r\n\r\n", b""])
def test_where_something_else_than_ray_answers_a_run_is_refused_at_once(
    monkeypatch, capsys, tmp_path, answer
):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with answering(answer) as address:
        expected = refused(tmp_path, address, "something else than Ray answers there")
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    ("mode", "advice"),
    [
        ("token", child.TOKEN),
        ("disabled", child.NO_TOKEN),
    ],
)
def test_a_token_is_asked_about_once_and_refused_with_what_to_do(
    monkeypatch, capsys, tmp_path, mode, advice
):
    import ray
    from ray.exceptions import AuthenticationError

    asked = []

    def ask(address: str) -> None:
        asked.append(address)
        raise AuthenticationError("Another token. Long advice.")

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "ab" * 32)
    monkeypatch.setattr(ray._raylet, "GcsClient", ask)
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("It asks again and again."))
    with answering(bytes(3) + b"\4" + bytes(5)) as address:
        expected = refused(tmp_path, address, "Another token", advice=advice)
    assert capsys.readouterr().err == expected
    assert len(asked) == 1


def test_a_cluster_with_other_versions_is_refused_with_both(monkeypatch, capsys, tmp_path):
    import ray

    def init(*_: object, **__: object) -> None:
        # Of ray/_private/utils.py, check_version_info.
        raise RuntimeError(
            "Version mismatch: The cluster was started with:\n    Ray: 2.59.0\n    Python: 3.13.0\n"
            "This process on 10.0.0.2 was started with:\n    Ray: 2.60.0\n    Python: 3.13.0\n"
        )

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setattr(child, "_reach", lambda address: None)
    monkeypatch.setattr(ray, "init", init)
    said = (
        "Version mismatch: The cluster was started with: Ray: 2.59.0 Python: 3.13.0 "
        "This process on 10.0.0.2 was started with: Ray: 2.60.0 Python: 3.13.0"
    )
    expected = refused(tmp_path, "10.0.0.1:6379", said, advice=child.VERSIONS)
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_on_nodes_in_namespaces_is_waited_for_when_it_is_told_to_end(number):
    command = """
import signal, sys
numbers = {signal.SIGINT, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)  # none comes between "begun" and the waiting
print("begun", flush=True)
number = signal.sigwait(numbers)
print("ending", flush=True)
sys.stdin.readline()
print("saved", flush=True)
sys.exit(128 + number)
"""
    program = (
        f"from benchmarks.ray_nodes import *; sys.exit(run([sys.executable, '-c', {command!r}]))"
    )
    runner = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert runner.stdin is not None
    assert runner.stdout is not None
    assert runner.stdout.readline() == "begun\n"
    if number == signal.SIGINT:
        os.killpg(runner.pid, number)  # as a terminal does
    else:
        runner.send_signal(number)
    assert runner.stdout.readline() == "ending\n"
    with pytest.raises(subprocess.TimeoutExpired):
        runner.wait(1.0)
    assert runner.communicate("\n", timeout=60)[0] == "saved\n"
    assert runner.returncode == 128 + number
