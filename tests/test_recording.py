"""Which episodes of a run are recorded, and how many videos stay."""

import dataclasses
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mario_a3c.cli import parse
from mario_a3c.envs.gymnasium_tasks import TaskError
from mario_a3c.faults import GameError
from mario_a3c.files import remove_temporaries
from mario_a3c.learning.model import ActorCritic
from mario_a3c.learning.rollout import Episode
from mario_a3c.monitoring.monitor import Monitor
from mario_a3c.playing import tasks
from mario_a3c.playing.video import frames_per_second, read_video
from mario_a3c.training import recording
from mario_a3c.training.evaluation import Evaluation
from mario_a3c.training.preparation import network_for
from mario_a3c.training.recording import KEEP, Recorder
from tests.disks import fill, make_read_only, small_disk
from tests.small import SPEC, small_config

BUTTONS = bytes(20)
PLAYER = ActorCritic(SPEC)


def evaluation(steps: int, x: float = 300.0, completed: float = 0.0) -> Evaluation:
    episode = Episode(1.0, 5, {"max_x": x, "completed": completed}, BUTTONS)
    return Evaluation(steps, episode, [episode], 1.0, False)


def of_a_task(folder: Path, name: str) -> tuple[Recorder, ActorCritic]:
    """Return a recorder of a run of a task, and an agent that has learned nothing."""
    torch.manual_seed(0)
    config = parse(["--env-name", name, "--device", "cpu"])
    return Recorder(config, folder), ActorCritic(network_for(config))


def found(steps: int, score: float, good: bool = False) -> Evaluation:
    """Return what an evaluation of a task finds."""
    episode = Episode(score, 5)
    return Evaluation(steps, episode, [episode], 1.0, good)


@pytest.fixture
def recorder(tmp_path):
    return Recorder(small_config(engine="nes-py"), tmp_path)


def names(folder):
    return sorted(path.name for path in (folder / "videos").iterdir())


def test_a_first_completion_is_recorded_and_later_ones_only_if_they_are_better(recorder, tmp_path):
    assert recorder.record(evaluation(10, 3161, 1.0), PLAYER).endswith(
        "first-greedy-completion.mp4"
    )
    assert recorder.record(evaluation(20, 3161, 1.0), PLAYER) == ""
    assert recorder.record(evaluation(30, 3170, 1.0), PLAYER).endswith("000000030-best.mp4")
    assert recorder.record(evaluation(40, 3180, 1.0), PLAYER).endswith("000000040-best.mp4")
    assert len(names(tmp_path)) == 6


def test_a_game_that_fails_in_a_replay_leaves_no_video_and_is_told_as_such(
    recorder, tmp_path, monkeypatch
):
    def broken(*_: object) -> Iterator[object]:
        raise RuntimeError("the cartridge fell out")
        yield

    monkeypatch.setattr(recording, "replay_pictures", broken)
    with pytest.raises(GameError, match="failed in a replay for a video: RuntimeError: the cart"):
        recorder.record(evaluation(10), PLAYER)
    assert names(tmp_path) == []
    assert recorder.record(evaluation(20), PLAYER) == ""  # the same would fail again


def test_what_was_seen_before_a_resume_is_not_recorded_as_the_first_or_the_best(recorder, tmp_path):
    assert recorder.record(evaluation(10, 3161, 1.0), PLAYER).endswith(
        "first-greedy-completion.mp4"
    )
    best = evaluation(10, 3161, 1.0).score
    resumed = Recorder(small_config(engine="nes-py"), tmp_path, best_score=best)
    assert resumed.record(evaluation(20, 3161, 1.0), PLAYER).endswith("periodic.mp4")
    assert resumed.record(evaluation(30, 3170, 1.0), PLAYER).endswith("000000030-best.mp4")


def test_a_replay_shows_that_it_hangs(tmp_path, monkeypatch):
    inside, seen = np.zeros(1), []

    def watched(*_: object) -> Iterator[NDArray[np.uint8]]:
        seen.append(inside[0])
        yield np.zeros((240, 256, 3), dtype=np.uint8)

    monkeypatch.setattr(recording, "replay_pictures", watched)
    began = time.monotonic()
    Recorder(small_config(engine="nes-py"), tmp_path, inside).record(evaluation(10), PLAYER)
    assert began <= seen[0] <= time.monotonic()
    assert inside[0] == 0


def test_the_last_videos_stay_and_the_newest_is_one_of_them(recorder, tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    for index in range(KEEP):  # as a run leaves them that was killed after its last state
        for ending in ("mp4", "gif"):
            path = folder / f"step-{900 + index:09d}-best.{ending}"
            path.touch()
            os.utime(path, (index, index))
    assert recorder.record(evaluation(10), PLAYER)
    found = names(tmp_path)
    assert len(found) == 2 * KEEP
    assert {"step-000000010-best.mp4", "step-000000010-best.gif"} <= set(found)
    assert "step-000000900-best.mp4" not in found


def test_videos_of_first_completions_stay_so_that_no_later_one_is_called_the_first(
    recorder, tmp_path, monkeypatch
):
    monkeypatch.setattr(recording, "KEEP", 2)
    for step in range(1, 4):
        assert recorder.record(evaluation(step, 3160 + step, 1.0), PLAYER)
    assert {name.partition(".")[0] for name in names(tmp_path)} == {
        "step-000000001-first-greedy-completion",
        "step-000000003-best",
    }
    resumed = Recorder(small_config(engine="nes-py"), tmp_path, best_score=1e9)
    assert resumed.record(evaluation(20, 3161, 1.0), PLAYER).endswith("periodic.mp4")


def test_a_full_disk_leaves_no_broken_video(tmp_path):
    with small_disk(tmp_path / "disk", 2**20) as disk:
        recorder = Recorder(small_config(engine="nes-py"), disk)
        (disk / "videos").mkdir()
        filler = fill(disk)
        with pytest.raises(OSError, match="No space left"):
            recorder.record(evaluation(10), PLAYER)
        assert names(disk) == []
        filler.unlink()
        assert recorder.record(evaluation(20, 400), PLAYER)
        assert names(disk) == ["step-000000020-best.gif", "step-000000020-best.mp4"]


def test_a_disk_that_becomes_read_only_leaves_the_videos_before(tmp_path):
    with small_disk(tmp_path / "disk", 2**20) as disk:
        recorder = Recorder(small_config(engine="nes-py"), disk)
        assert recorder.record(evaluation(10), PLAYER)
        make_read_only(disk)
        with pytest.raises(OSError, match="Read-only file system"):
            recorder.record(evaluation(20, 400), PLAYER)
        assert names(disk) == ["step-000000010-best.gif", "step-000000010-best.mp4"]


def test_a_video_that_is_gone_when_its_curve_is_written_is_left_out(tmp_path):
    monitor = Monitor(tmp_path, 0)
    video = str(tmp_path / "videos" / "gone.mp4")
    monitor.take_evaluation(dataclasses.replace(evaluation(10), video=video))
    monitor.close()


def test_an_agent_of_any_task_is_filmed_when_it_is_good_for_the_first_time(tmp_path):
    recorder, player = of_a_task(tmp_path, "CartPole-v1")
    assert recorder.record(found(10, 100.0), player) == ""  # it has hardly begun
    path = recorder.record(found(20, 500.0, good=True), player)
    assert path.endswith("step-000000020-first-good.mp4")
    assert 8 < len(list(read_video(path))) < 120  # as long as a pole stands by chance
    assert names(tmp_path) == ["step-000000020-first-good.gif", "step-000000020-first-good.mp4"]
    assert recorder.record(found(30, 500.0, good=True), player) == ""
    resumed, player = of_a_task(tmp_path, "CartPole-v1")
    assert resumed.record(found(40, 500.0, good=True), player) == ""


def test_new_bests_of_any_task_are_filmed_with_a_lull_between_them(tmp_path, monkeypatch):
    recorder, player = of_a_task(tmp_path, "CartPole-v1")
    assert recorder.record(found(10, 100.0), player) == ""
    monkeypatch.setattr(recorder, "_lull", 0.0)
    assert recorder.record(found(20, 90.0), player) == ""
    assert recorder.record(found(30, 110.0), player).endswith("step-000000030-best.mp4")


def test_a_long_episode_is_filmed_in_part_and_nobody_elses_chance_is_touched(tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "LONGEST_FILM", 2)
    recorder, player = of_a_task(tmp_path, "Pendulum-v1")
    chance = torch.random.get_rng_state()
    path = recorder.record(found(20, 0.0, good=True), player)
    assert torch.equal(torch.random.get_rng_state(), chance)
    assert frames_per_second(path) == 30
    assert len(list(read_video(path))) == 60  # of 201


def test_a_film_that_was_the_end_of_its_process_is_not_tried_again(tmp_path, monkeypatch):
    recorder, player = of_a_task(tmp_path, "CartPole-v1")

    def die(*_: object) -> None:
        assert list((tmp_path / "videos").iterdir())
        raise OSError("No film today")

    monkeypatch.setattr(recording, "film", die)
    with pytest.raises(OSError, match="No film"):
        recorder.record(found(20, 0.0, good=True), player)
    assert names(tmp_path) == []
    (tmp_path / "videos" / recording.FILMING).touch()  # as a process leaves it that is killed
    monkeypatch.setattr(recording, "film", None)
    again, player = of_a_task(tmp_path, "CartPole-v1")
    assert again.record(found(20, 0.0, good=True), player) == ""
    remove_temporaries(tmp_path)
    resumed, player = of_a_task(tmp_path, "CartPole-v1")
    with pytest.raises(TypeError):
        resumed.record(found(20, 0.0, good=True), player)


def test_a_task_without_pictures_is_told_once(tmp_path):
    recorder, player = of_a_task(tmp_path, "tests.broken_games:Game-v0")
    with pytest.raises(TaskError, match="Game-v0 has no pictures to show"):
        recorder.record(found(20, 0.0, good=True), player)
    recorder._good = False
    assert recorder.record(found(30, 0.0, good=True), player) == ""
