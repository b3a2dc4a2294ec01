"""What stands at the head of a cluster, and starts and ends things on it: no Ray is started."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from mario_a3c.cluster.stage_turn import StageTurn
from mario_a3c.faults import RunError
from mario_a3c.learning.optim import make_state
from mario_a3c.training.campaign import Campaign
from mario_a3c.training.children import MOST_DEATHS
from mario_a3c.training.shared import Shared
from tests.near_ray import NearActor, NearRay, SilenceError
from tests.small import small_config

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: pip install '.[ray]'")
ID = "a" * 56
"""What Ray calls a machine."""


class Process:
    """Stands for the process of a turn: it saves when it begins and, once more, when it ends."""

    def __init__(self, words: list[str], cwd: Path, **settings: Any) -> None:
        self.words, self.home, self.status = words, cwd, None
        self.folder = cwd / words[words.index("--run-name") + 1]
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


@pytest.fixture
def near(monkeypatch: pytest.MonkeyPatch) -> NearRay:
    """Turns in this process, on a machine with one core."""
    from mario_a3c.cluster import stage_turn, stages
    from mario_a3c.cluster.nodes import Node

    near = NearRay(lambda kind, *words, **named: kind(*words, **named))
    monkeypatch.setattr(stages, "ray", near)
    monkeypatch.setattr(stages, "living_nodes", lambda: [Node(ID, "host-a", 1, 0.0, 1)])
    monkeypatch.setattr(stages, "LOOK", 0.0)
    monkeypatch.setattr(stage_turn.subprocess, "Popen", Process)
    return near


def campaign_of(folder: Path, *options: str) -> Campaign:
    return Campaign(folder, [(1, 1)], range(1, 2), options)


def after(looks: int) -> Callable[[], bool]:
    """Return what turns true when it was asked so often."""
    asked = iter(range(10_000))
    return lambda: next(asked) >= looks


@pytest.mark.parametrize("looks", [1, 2, 3])
def test_a_campaign_that_is_interrupted_has_the_last_state_of_every_turn(near, tmp_path, looks):
    from mario_a3c.cluster.stages import StageCrew

    campaign, published = campaign_of(tmp_path), list[str]()
    crew = StageCrew(
        campaign, 1, lambda best, stage: published.append(best.read_text()), lambda text: None
    )
    crew.run(0.0, 1.0, after(looks), lambda current: None)
    folder = tmp_path / "1-1-seed1"
    assert [path.name for path in folder.glob("resume-*")] == ["resume-2.safetensors"]
    assert campaign.records[0].status == {"steps": 2}
    assert published == ["best of 2"]
    assert isinstance(near.actors[0].made, StageTurn)
    assert near.killed == near.actors


def test_parameters_that_were_lost_begin_again_without_the_workers_that_were_retired(monkeypatch):
    from ray.exceptions import RayActorError

    from mario_a3c.cluster import head
    from mario_a3c.cluster.parameters import Parameters

    config = small_config()
    weights = torch.ones(5)
    shared = Shared.begin(weights, make_state(config.optimizer, weights), 1)
    near, sent = NearRay(), list[Any]()

    def start(address: object, *words: Any) -> NearActor:
        return NearActor(near, Parameters(*words), {})

    class Connection:
        send = sent.append

    monkeypatch.setattr(head, "ray", near)
    monkeypatch.setattr(head, "start_parameters", start)
    one = head.Head(config, cast(Any, None), shared, 1, cast(Any, Connection))
    one.crew._retire(3)
    one._actor.made.look = lambda: (_ for _ in ()).throw(RayActorError)
    one._level()
    assert "begin again as of step 0" in sent[0].text
    assert one._actor.made.join(3).stop
    assert not one._actor.made.join(4).stop


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
            lambda place, soft: self.placed.append(place) or place,
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


def node(name: str, cores: int, free: int | None = None, gpus: float = 0.0) -> Any:
    from mario_a3c.cluster.nodes import Node

    return Node(name * 56, f"host-{name}", cores, gpus, cores if free is None else free)


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
        ([node("a", 4, free=0)], 0, [none, busy]),
        ([node("a", 4, free=1)], 1, [none, busy, "worker 0 starts on host-a."]),
        ([node("a", 4, free=0)], 1, [none, busy, "worker 0 starts on host-a."]),
        (
            [node("a", 4, free=3)],
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
