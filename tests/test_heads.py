"""What stands at the head of a cluster, and starts and ends things on it: no Ray is started."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from mario_a3c.cluster.stage_turn import StageTurn
from mario_a3c.learning.optim import make_state
from mario_a3c.training.campaign import Campaign
from mario_a3c.training.shared import Shared
from tests.near_ray import NearActor, NearRay
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
    from mario_a3c.cluster.crew import Node

    near = NearRay(lambda kind, *words, **named: kind(*words, **named))
    monkeypatch.setattr(stages, "ray", near)
    monkeypatch.setattr(stages, "living_nodes", lambda: [Node(ID, "host-a", 1, 0.0)])
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
