"""A run that learns from found ways looks for them itself, once, and says what it found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mario_a3c.config import RunConfig
from mario_a3c.envs import ram
from mario_a3c.envs.actions import controller_bytes
from mario_a3c.envs.factory import found_ways
from mario_a3c.envs.native_engine import NativeEngine, new_snapshots, snapshot_ram
from mario_a3c.envs.traces import Trace, read_traces
from mario_a3c.faults import RunError
from mario_a3c.search import ways
from mario_a3c.training.preparation import WAYS, prepare, resumed_settings
from tests.mario import needs_native


def never() -> bool:
    return False


def _config(folder: Path, **changes: object) -> RunConfig:
    settings = {"imitation_coef": 0.1, "log_path": str(folder), "run_name": "run"}
    return RunConfig(**(settings | changes))  # type: ignore[arg-type]


@needs_native
def test_several_ways_are_found_that_finish_the_stage_by_what_the_agent_can_press() -> None:
    allowed = controller_bytes("right")
    found = ways.find_ways(1, 1, 1, allowed.tobytes(), never, print, count=2, shortening=0.1)
    assert [way.seed for way in sorted(found, key=lambda way: way.seed)] == [2, 3]
    assert len(found[0].buttons) <= len(found[1].buttons)
    for way in found:
        assert way.completed
        buttons = np.frombuffer(way.buttons, dtype=np.uint8)
        assert set(buttons) <= set(allowed)
        states = new_snapshots(len(buttons))
        begun, _, ended = NativeEngine(1, 1, 1).play(0, buttons, 1, states)
        assert ended
        assert begun == len(buttons)
        assert ram.completed(snapshot_ram(states[-1:]), 1, 1)[0]


@needs_native
def test_the_random_baseline_looks_for_no_ways_and_begins_at_the_beginning(tmp_path: Path) -> None:
    trainer, _ = prepare(_config(tmp_path, algorithm="random", start_fraction=0.5))
    assert not ways.learns_from_ways(trainer.config)
    assert trainer.config.start_fraction == 0


@needs_native
def test_a_run_finds_its_ways_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    way = Trace(1, 1, 7, 0, True, bytes(8))
    monkeypatch.setattr(ways, "find_ways", lambda *_: [way])
    trainer, _ = prepare(_config(tmp_path))
    said: list[str] = []
    ways.provide_ways(trainer.config, said.append, never)
    assert found_ways(trainer.config) == [way]
    assert (tmp_path / "run" / WAYS / "1-1.jsonl").exists()
    assert said[-1].endswith("of 8 frames.")
    said.clear()
    ways.provide_ways(trainer.config, said.append, never)
    assert said == []


@needs_native
def test_a_run_that_has_been_moved_takes_its_ways_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways, "find_ways", lambda *_: [Trace(1, 1, 7, 0, True, bytes(8))])
    trainer, _ = prepare(_config(tmp_path))
    moved = (tmp_path / "run").rename(tmp_path / "moved")
    asked = RunConfig(resume=str(moved))
    assert resumed_settings(asked).paths == ""  # nothing had been found: it has to look again
    ways.provide_ways(replace(trainer.config, paths=str(moved / WAYS)), print, never)
    assert len(found_ways(resumed_settings(asked))) == 1


def test_the_ways_of_several_files_are_one_a_line_whether_or_not_a_file_ends_with_one(
    tmp_path: Path,
) -> None:
    found = [Trace(1, 1, seed, 0, True, bytes(8)) for seed in (1, 2, 3)]
    (tmp_path / "a").mkdir()
    (tmp_path / "1-1.jsonl").write_text(found[0].to_json() + "\n" + found[1].to_json())
    (tmp_path / "a" / "1-1.jsonl").write_text(found[2].to_json() + "\n")
    one = tmp_path / "one.jsonl"
    one.write_bytes(ways.content_of_ways(_config(tmp_path, paths=str(tmp_path))))
    assert sorted(way.seed for way in read_traces(one)) == [1, 2, 3]


@needs_native
def test_a_search_that_is_interrupted_or_finds_nothing_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways, "find_ways", lambda *_: [])
    config = _config(tmp_path, paths=str(tmp_path / "ways"))
    ways.provide_ways(config, print, lambda: True)
    with pytest.raises(RunError, match="No way through 1-1 was found"):
        ways.provide_ways(config, print, never)
    assert not (tmp_path / "ways").exists()


def test_without_the_native_engine_a_run_learns_from_its_own_games(tmp_path: Path) -> None:
    trainer, sentence = prepare(_config(tmp_path, engine="nes-py", start_fraction=0.5))
    assert trainer.config.imitation_coef == trainer.config.start_fraction == 0.0
    assert "needs the native engine" in sentence
