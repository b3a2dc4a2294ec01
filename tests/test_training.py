"""Whole runs of train.py, in processes of their own: they learn, stop, go on, and survive."""

import os
import pty
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mario_a3c.checkpoint import load_agent
from mario_a3c.playing.video import read_video
from mario_a3c.search.ways import NUM_SEARCHES
from mario_a3c.training.shared import STEPS, UPDATES
from tests.disks import break_disk, disk_that_may_break, fill, small_disk
from tests.mario import needs_native, recorded
from tests.pipes import read_by_somebody
from tests.runs import VECTORS, TrainRun

ROLLOUT = 32  # steps: 2 games, 16 each
ENDS_WITHIN, NOTICED_WITHIN, GONE_WITHIN = 10.0, 5.0, 10.0

type Start = Callable[..., TrainRun]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start runs that are gone when the test is over."""
    runs: list[TrainRun] = []

    def begin(*words: str, folder: Path = tmp_path, **settings: Any) -> TrainRun:
        runs.append(TrainRun(folder, *words, **settings))
        return runs[-1]

    yield begin
    for run in runs:
        run.clear()


UNSAVED = ("--save-interval", "1000")
"""Saves the state before the first step and, when the run ends, the last one; none between."""


def assert_one_clean_save(run: TrainRun, before: tuple[int, ...] = (0,)) -> None:
    """Check that a run which was stopped has saved all its steps, as the only state it saved.

    Args:
        run: it has ended, and was begun as `UNSAVED`.
        before: the steps of the states that were there when it began to train, the newest first.
    """
    assert "Traceback" not in run.output
    run.until(lambda: not run.children(), GONE_WITHIN)
    tensors, _ = run.state()
    newest = int(tensors["counters"][:, STEPS].sum())
    assert run.saved_steps() == [newest, *before]
    assert run.status()["steps"] == newest > before[0]
    updates = int(tensors["counters"][:, UPDATES].sum())
    assert updates == tensors["optimizer.step"] == newest // ROLLOUT
    assert not list(run.folder.rglob("*.partial"))


def test_sigterm_ends_a_run_within_seconds_with_one_clean_save(start):
    run = start(*UNSAVED)
    run.until_it_counts_steps()
    assert run.end(signal.SIGTERM) < ENDS_WITHIN
    assert run.process.returncode == 128 + signal.SIGTERM
    assert_one_clean_save(run)


SEARCHERS = min(NUM_SEARCHES, os.cpu_count() or 1)
SEARCH = ("--world", "3", "--stage", "4", "--imitation-coef", "0.1")


@needs_native
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_run_that_looks_for_a_way(start, number):
    run = start(*SEARCH, game="")
    run.until_it_says("Looking for a way")
    run.until(lambda: len(run.spawned()) == SEARCHERS)  # which are still being started
    assert run.end(number) < ENDS_WITHIN
    assert run.process.returncode == 128 + number
    assert "Traceback" not in run.output
    run.until(lambda: not run.children(), GONE_WITHIN)


@needs_native
def test_a_run_that_looks_for_a_way_goes_on_when_a_searching_process_is_killed(start):
    run = start(*SEARCH, game="")
    run.until(lambda: len(run.spawned()) == SEARCHERS)
    before = set(run.spawned())
    os.kill(min(before), signal.SIGKILL)
    run.until(lambda: run.ended or set(run.spawned()) - before)
    assert not run.ended, run.output
    told = "A searching process was killed by SIGKILL; another one takes its place."
    run.until_it_says(told)
    assert told in (run.folder / "run.log").read_text()
    assert "Traceback" not in run.output
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.wait()
    assert run.until(lambda: not run.children()) < GONE_WITHIN


def test_closing_the_terminal_ends_a_run_with_one_clean_save(start, tmp_path):
    ours, theirs = pty.openpty()
    # The shell makes the terminal its own, so that the run's processes get SIGHUP when it closes.
    with (tmp_path / "errors").open("w") as errors:  # a traceback would not reach the terminal
        run = start(
            *UNSAVED,
            stdin=theirs,
            stdout=theirs,
            stderr=errors,
            environment={"TERM": "xterm"},
            terminal=theirs,
        )
    os.close(theirs)
    with read_by_somebody(ours):
        run.until_it_counts_steps()
    os.close(ours)
    assert run.end() < ENDS_WITHIN
    assert run.process.returncode == 128 + signal.SIGHUP
    assert (tmp_path / "errors").read_text() == ""
    assert_one_clean_save(run)


def test_a_reader_that_goes_away_does_not_end_a_run(start):
    reader, writer = os.pipe()
    run = start(*UNSAVED, stdout=writer, stderr=writer)
    os.close(writer)
    os.close(reader)
    run.until_it_counts_steps()
    assert run.end(signal.SIGINT) < ENDS_WITHIN
    assert run.process.returncode == 128 + signal.SIGINT
    assert_one_clean_save(run)


PATIENT = (
    "-c",
    "from mario_a3c.training import trainer; trainer.GRACE = 250.0\n"
    "from mario_a3c.cli import main; raise SystemExit(main())",
)
"""Instead of train.py: when it is interrupted, it gives its processes minutes to finish."""


def test_a_second_ctrl_c_does_not_wait_for_who_does_not_finish(start, tmp_path):
    (tmp_path / "hang").touch()
    run = start(
        *(*UNSAVED, "--hang-limit", "1000"),
        game="Hangs",
        environment={"BROKEN_GAMES": str(tmp_path / "hang")},
        program=PATIENT,
    )
    run.until_it_counts_steps()  # those of the only rollout before the one in which it hangs
    run.signal(signal.SIGINT)
    run.until_it_says("Ending: the processes get 250 s to finish")
    run.signal(signal.SIGINT)
    run.process.wait(60.0)  # on however busy a machine: it would be 250
    assert run.process.returncode == 128 + signal.SIGINT
    assert_one_clean_save(run)


def test_a_killed_worker_and_evaluation_are_replaced_and_a_killed_parent_leaves_nothing(start):
    shared_memory = set(os.listdir("/dev/shm"))
    run = start()
    run.until_it_trains()
    worker, evaluation = run.spawned()

    for process in (worker, evaluation):
        os.kill(process, signal.SIGKILL)
    for name in ("worker 0", "evaluation"):
        text = f"{name} was killed by SIGKILL; another one takes its place."
        assert run.until_it_says(text) < NOTICED_WITHIN
    before = run.saved_steps()[0]
    run.until(lambda: run.saved_steps()[0] > before)
    assert len(run.spawned()) == 2
    assert text in (run.folder / "run.log").read_text()

    os.kill(run.process.pid, signal.SIGKILL)
    run.process.wait()
    assert run.until(lambda: not run.children()) < GONE_WITHIN
    run.until(lambda: set(os.listdir("/dev/shm")) <= shared_memory, GONE_WITHIN)
    tensors, metadata = run.state()
    steps = int(tensors["counters"][:, STEPS].sum())
    assert steps == run.saved_steps()[0] > before
    assert len(run.saved_steps()) == 3
    assert all(part.isfinite().all() for part in tensors.values())
    updates = int(tensors["counters"][:, UPDATES].sum())
    # One rollout was lost with the killed worker, and one may be on its way to an update.
    assert 0 <= steps // ROLLOUT - updates <= 2
    assert abs(int(tensors["optimizer.step"]) - updates) <= 1

    total = steps + 100 * ROLLOUT
    resumed = start(
        *("--resume", str(run.folder), "--total-steps", str(total)),
        *("--env-name", "tests.broken_games:Game-v0"),
    )
    resumed.end()
    assert resumed.process.returncode == 0
    assert f"Continuing {run.folder} at step {steps:,}." in resumed.output
    after, metadata_after = resumed.state()
    assert after["counters"][:, STEPS].sum() == total
    updates = after["counters"][:, UPDATES].sum() - tensors["counters"][:, UPDATES].sum()
    assert updates == 100
    assert after["optimizer.step"] - tensors["optimizer.step"] == 100
    assert metadata_after["seconds"] > metadata["seconds"]


def test_one_worker_and_one_seed_give_the_same_weights_to_the_last_bit(start, tmp_path):
    words = ("--total-steps", str(200 * ROLLOUT), "--seed", "7")
    runs = [start(*words, folder=tmp_path / name) for name in ("a", "b")]
    for run in runs:
        run.end()
        assert run.process.returncode == 0
    first, second = (run.state()[0] for run in runs)
    assert first["counters"][0, UPDATES] == 200
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.mark.parametrize(
    "engine",
    [pytest.param("native", marks=needs_native), pytest.param("nes-py", marks=pytest.mark.slow)],
)
def test_so_it_is_with_mario_along_given_ways(start, tmp_path, engine):
    ways = tmp_path / "ways"
    ways.mkdir()
    (ways / "1-1.jsonl").write_text(recorded("1-1").to_json())
    words = (
        *("--engine", engine, "--paths", str(ways), "--lstm-size", "8", "--seed", "7"),
        *("--imitation-coef", "0.2", "--start-fraction", "0.5", "--retry-fraction", "0.2"),
        *("--gradual-noops", "--max-episode-length", "12", "--total-steps", str(20 * ROLLOUT)),
    )
    runs = [start(*words, game="", folder=tmp_path / name) for name in ("a", "b")]
    for run in runs:
        run.end()
        assert run.process.returncode == 0, run.output
    first, second = (run.state()[0] for run in runs)
    assert first["counters"][0, UPDATES] == 20
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_a_run_goes_on_when_the_disk_is_full_and_saves_when_it_is_not(start, tmp_path):
    with small_disk(tmp_path / "disk", 2**22) as disk:
        # One state only: a run that keeps several deletes the older ones to make room.
        run = start("--keep", "1", folder=disk)
        run.until_it_trains()
        filler = fill(disk)
        run.until_it_says("could not be saved: No space left on device; the one before it is")
        run.until_it_says("Curves could not be written to")
        run.state()
        steps = run.saved_steps()[0]
        filler.unlink()
        run.until(lambda: run.saved_steps()[0] > steps)
        run.end(signal.SIGINT)
        assert run.process.returncode == 128 + signal.SIGINT
        assert "Traceback" not in run.output
        run.state()
        load_agent(run.folder / "best.safetensors")


def test_a_run_whose_disk_becomes_read_only_says_what_is_lost_and_ends_with_what_it_had(
    start, tmp_path
):
    with disk_that_may_break(tmp_path / "disk", 64) as disk:
        run = start(
            *("--engine", "nes-py", "--max-episode-length", "4", "--lstm-size", "8"),
            *("--video-interval", "0.002"),
            folder=disk,
            game="",
        )
        run.until_it_trains()
        run.until(lambda: list(run.folder.glob("videos/*.mp4")))
        break_disk(disk)
        for lost in ("could not be saved", "No video could be written"):
            run.until_it_says(f"{lost}: Read-only file system")
        run.until_it_says(f"Curves could not be written to {run.folder}")
        run.end(signal.SIGTERM)
        assert run.process.returncode == 1
        assert "The last state could not be saved; the one before it still stands." in run.output
        assert "Traceback" not in run.output
        run.state()
        load_agent(run.folder / "best.safetensors")
        for video in run.folder.glob("videos/*.mp4"):
            assert len(list(read_video(video))) > 0


def test_a_game_that_hangs_is_ended_counted_and_replaced_until_it_does_not(start, tmp_path):
    hang = tmp_path / "hang"
    hang.touch()
    run = start(
        *("--hang-limit", "0.5", "--total-steps", "2000"),
        game="Hangs",
        environment={"BROKEN_GAMES": str(hang)},
    )
    for name in ("worker 0", "evaluation"):
        run.until_it_says(f"{name} was ended: its environment hung for more than 0.5 s; another")
    hang.unlink()
    run.end()
    assert run.process.returncode == 0
    told = sum("was ended: its environment hung" in line for line in run.lines)
    assert run.status()["environment_faults"] == told
    assert run.saved_steps()[0] >= 2000


def test_a_separate_critic_is_trained_and_saved(start):
    run = start("--separate", "--total-steps", str(10 * ROLLOUT), *UNSAVED)
    run.end()
    assert run.process.returncode == 0, run.output
    assert_one_clean_save(run)
    tensors, metadata = run.state()
    assert metadata["spec"]["separate"]
    assert tensors["counters"][:, UPDATES].sum() == 10


def test_the_random_baseline_plays_as_many_episodes_as_asked_for_and_learns_nothing(
    start, tmp_path
):
    words = ("--env-name", "CartPole-v1", *VECTORS, "--algorithm", "random", "--max-eps", "300")
    run = start(*words, game="")
    run.end()
    assert run.process.returncode == 0, run.output
    tensors, metadata = run.state()
    assert metadata["episodes"] >= 300
    assert tensors["counters"][:, UPDATES].sum() == tensors["optimizer.step"] == 0
    assert 15 < run.status()["recent"]["return"] < 30
    assert not (run.folder / "best.safetensors").exists()
    assert not (tmp_path / "agents").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_game_that_hangs_in_being_made_does_not_keep_a_run_from_being_ended(
    start, tmp_path, number
):
    hang = tmp_path / "hang"
    hang.touch()
    run = start(game="HangsInBeingMade", environment={"BROKEN_GAMES": str(hang)})
    run.until(lambda: hang.read_text() == "hangs" or run.ended)
    assert run.end(number) < ENDS_WITHIN
    assert run.process.returncode == -number  # which a shell tells as 128 + number
    assert run.output == ""
    assert not run.folder.exists()


def test_a_game_that_never_works_ends_the_run_with_its_message_and_no_trace(start):
    run = start(game="RaisesAtOnce")
    run.end()
    assert run.process.returncode == 1
    failure = "the environment failed in step: RuntimeError: no cartridge, 5 times in a row."
    (sentence,) = (line for line in run.lines if line.startswith("train.py: "))
    assert sentence.endswith(failure)
    assert "Traceback" not in run.output
    run.until(lambda: not run.children(), GONE_WITHIN)


def test_ctrl_c_ends_a_run_with_one_clean_save_from_which_it_goes_on_as_if_nothing_had_been(start):
    run = start("--lstm-size", "8", "--max-episode-length", "20", *UNSAVED, game="")
    run.until(lambda: (run.folder / "best.safetensors").exists() or run.ended)
    run.until_it_counts_steps()
    assert run.end(signal.SIGINT) < ENDS_WITHIN
    assert run.process.returncode == 128 + signal.SIGINT
    assert_one_clean_save(run)
    steps, config = run.saved_steps()[0], run.state()[1]["config"]
    resumed = start(
        *("--resume", str(run.folder), "--total-steps", str(steps + ROLLOUT), "--gamma", "0.5")
    )
    resumed.end()
    assert resumed.process.returncode == 0
    assert_one_clean_save(resumed, before=(steps, 0))
    assert resumed.saved_steps()[0] == steps + ROLLOUT
    new_config = resumed.state()[1]["config"]
    different = {name for name in config if config[name] != new_config[name]}
    assert different <= {"num_global_steps", "resume", "gamma"}
    (earlier,) = resumed.state()[1]["earlier"]
    assert earlier["steps"] == steps
    assert earlier["settings"]["gamma"] == config["gamma"]
    agent = load_agent(resumed.folder / "best.safetensors")
    assert agent.metadata["task"] == "mario-1-1"
