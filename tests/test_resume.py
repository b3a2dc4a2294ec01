"""The resume states of a run: the newest good one counts, and a full disk costs none of them."""

import errno
import itertools
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from mario_a3c.benchmark.mario import means_of
from mario_a3c.checkpoint import LARGEST_FILE, CheckpointError, read_tensors, to_bytes
from mario_a3c.config import RunConfig
from mario_a3c.faults import RunError
from mario_a3c.training.preparation import resumed_settings
from mario_a3c.training.resume import BROKEN, changed_settings, load_state, save_state, states
from mario_a3c.training.shared import STEPS
from mario_a3c.training.trainer import Trainer
from tests.disks import largest_file, make_read_only, small_disk
from tests.power_cuts import RecordedDisk
from tests.small import SPEC, small_config


def save(folder: Path, step: int, size: int = 10, keep: int = 3) -> None:
    save_state(folder, step, {"weights": torch.full((size,), float(step))}, {"step": step}, keep)


def saved_steps(folder: Path) -> list[int]:
    return [int(path.stem.partition("-")[2]) for path in states(folder)]


def test_the_newest_state_comes_back(tmp_path):
    for step in (5, 90, 1_000_000_000_000):
        save(tmp_path, step)
        tensors, metadata, passed_over = load_state(tmp_path)
        assert torch.equal(tensors["weights"], torch.full((10,), float(step)))
        assert metadata == {"step": step}
        assert not passed_over


def test_only_the_last_states_are_kept_and_nothing_else_is_touched(tmp_path):
    (tmp_path / "best.safetensors").touch()
    for step in range(10):
        save(tmp_path, step, keep=3)
        assert saved_steps(tmp_path) == list(range(step, max(-1, step - 3), -1))
    save(tmp_path, 10, keep=1)
    assert saved_steps(tmp_path) == [10]
    assert (tmp_path / "best.safetensors").exists()


def test_a_broken_state_is_passed_over_for_the_one_before_and_that_is_said(tmp_path):
    for step in (1, 2):
        save(tmp_path, step)
    content = states(tmp_path)[0].read_bytes()
    for length in (0, 7, 100, len(content) - 1):
        states(tmp_path)[0].write_bytes(content[:length])
        _, metadata, passed_over = load_state(tmp_path)
        assert metadata == {"step": 1}
        assert list(passed_over) == states(tmp_path)[:1]
        assert str(states(tmp_path)[0]) in passed_over[states(tmp_path)[0]]


def test_a_folder_without_a_good_state_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no run to resume"):
        load_state(tmp_path)
    with pytest.raises(CheckpointError, match="no run to resume"):
        load_state(tmp_path / "missing")
    save(tmp_path, 1)
    states(tmp_path)[0].write_bytes(b"")
    with pytest.raises(CheckpointError, match="damaged"):
        load_state(tmp_path)


def test_older_states_make_room_for_a_new_one_on_a_full_disk(tmp_path):
    with small_disk(tmp_path / "disk", 2**20) as disk:
        for step in range(6):  # of 400 kB each: only two have room
            save(disk, step, size=100_000)
            assert load_state(disk)[1] == {"step": step}
        assert saved_steps(disk) == [5, 4]


def test_a_state_that_has_no_room_at_all_leaves_the_newest_one(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 2)
    with largest_file(200), pytest.raises(OSError, match="too large"):
        save(tmp_path, 3)
    assert load_state(tmp_path)[1] == {"step": 2}
    with small_disk(tmp_path / "disk", 2**20) as disk:
        for step in range(3):
            save(disk, step)
        with pytest.raises(OSError, match="No space left"):
            save(disk, 4, size=300_000)
        assert load_state(disk)[1] == {"step": 2}


def test_a_disk_that_becomes_read_only_leaves_the_states_and_is_told_as_such(tmp_path):
    with small_disk(tmp_path / "disk", 2**20) as disk:
        for step in (1, 2):
            save(disk, step)
        make_read_only(disk)
        with pytest.raises(OSError, match="Read-only file system"):
            save(disk, 3, keep=1)
        assert load_state(disk)[1] == {"step": 2}
        assert saved_steps(disk) == [2, 1]


def begin(folder: Path, keep: int) -> Trainer:
    """Return a run that learns from small pictures, begun in a folder."""
    return Trainer(small_config(keep=keep), SPEC, folder)


@pytest.mark.parametrize("asked", ["auto", "cpu"])
def test_a_run_goes_on_where_it_is_told_to_and_not_where_it_was(tmp_path, asked):
    there = small_config(device="cuda", ray="somewhere:6379")
    Trainer(there, SPEC, tmp_path).save()
    resumed = resumed_settings(RunConfig(resume=str(tmp_path), device=asked))
    assert (resumed.device, resumed.ray) == (asked, "")


def begin_with_a_broken_state(folder: Path, steps: tuple[int, ...]) -> Path:
    """Save a run's states at rising steps, break the last one, and return that one's path."""
    trainer = begin(folder, keep=len(steps))
    for step in steps:
        trainer.shared.counters[0, STEPS] = step
        trainer.save()
    newest = states(folder)[0]
    newest.write_bytes(b"lost")
    return newest


def test_a_run_resumed_from_before_a_broken_state_keeps_what_it_saves(tmp_path):
    broken = begin_with_a_broken_state(tmp_path, (2000, 3000))
    trainer = begin(tmp_path, keep=1)
    trainer.restore()
    assert trainer.shared.steps == 2000
    trainer.save()
    assert saved_steps(tmp_path) == [2000]
    assert broken.with_name(broken.name + BROKEN).read_bytes() == b"lost"
    trainer.shared.counters[0, STEPS] = 2500
    trainer.save()
    assert saved_steps(tmp_path) == [2500]


def test_a_run_resumed_from_before_a_broken_state_keeps_the_good_one_on_a_full_disk(
    tmp_path, monkeypatch
):
    begin_with_a_broken_state(tmp_path, (1000, 2000, 3000))
    trainer = begin(tmp_path, keep=3)
    trainer.restore()

    def no_room(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mario_a3c.training.resume.write_atomically", no_room)
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            trainer.save()
    assert saved_steps(tmp_path) == [2000]
    begin(tmp_path, keep=3).restore()


def test_a_broken_state_that_cannot_be_renamed_does_not_end_the_resume(tmp_path):
    broken = begin_with_a_broken_state(tmp_path, (2000, 3000))
    (broken.with_name(broken.name + BROKEN) / "in the way").mkdir(parents=True)
    trainer = begin(tmp_path, keep=1)
    trainer.restore()
    trainer.save()
    assert saved_steps(tmp_path) == [3000, 2000]
    begin(tmp_path, keep=1).restore()


@pytest.mark.parametrize(
    ("optimizer", "name", "number"),
    [
        ("adam", "counters", -1),
        ("adam", "statistics", -1),
        ("adam", "statistics", 1e308),  # finite in each row, but not what they come to
        ("adam", "mastered", 1.5),
        ("adam", "mastered", -0.5),
        ("adam", "optimizer.step", -1),
        ("adam", "optimizer.exp_avg_sq", -1),
        ("rmsprop", "optimizer.step", -1),
        ("rmsprop", "optimizer.square_avg", -1),
    ],
)
def test_numbers_in_a_state_that_no_run_can_come_to_are_refused(tmp_path, optimizer, name, number):
    config = small_config(optimizer=optimizer)
    Trainer(config, SPEC, tmp_path).save()
    (path,) = states(tmp_path)
    tensors, metadata = read_tensors(path)
    tensors[name].fill_(number)
    path.write_bytes(to_bytes(tensors, metadata))
    trainer = Trainer(config, SPEC, tmp_path)
    before = trainer.shared.weights.clone()
    with pytest.raises(CheckpointError, match="counts what cannot be counted"):
        trainer.restore()
    assert torch.equal(trainer.shared.weights, before)


def test_what_was_mastered_comes_back_to_every_worker_as_their_mean(tmp_path):
    trainer = Trainer(small_config(num_processes=2), SPEC, tmp_path)
    trainer.shared.mastered[0, 3], trainer.shared.mastered[1, 3] = 1.0, 0.5
    trainer.save()
    resumed = Trainer(small_config(num_processes=3), SPEC, tmp_path)
    resumed.restore()
    assert resumed.shared.mastered[:, 3].tolist() == [0.75] * 3
    assert resumed.shared.mastered.sum() == 3 * 0.75


def test_what_was_mastered_with_other_no_op_frames_is_forgotten(tmp_path):
    trainer = Trainer(small_config(noop_max=30), SPEC, tmp_path)
    trainer.shared.mastered[:] = 1
    trainer.save()
    resumed = Trainer(small_config(noop_max=10), SPEC, tmp_path)
    resumed.restore()
    assert not resumed.shared.mastered.any()


@pytest.mark.parametrize("name", ["weights", "statistics", "exp_avg", "exp_avg_sq"])
def test_what_is_not_finite_is_not_saved(tmp_path, name):
    trainer = begin(tmp_path, keep=1)
    trainer.save()
    parts = {"weights": trainer.shared.weights, "statistics": trainer.shared.statistics}
    (parts | trainer.shared.optimizer_state)[name].view(-1)[0] = torch.inf
    trainer.shared.counters[0, STEPS] = 1
    with pytest.raises(RunError, match=f"The shared {name} are not all finite"):
        trainer._try_to_save()
    assert saved_steps(tmp_path) == [0]


def save_until_call(number: int, folder: Path) -> None:
    """Save a state, and be gone right before so many calls of the operating system were made."""
    calls = itertools.count()

    def note(_frame: object, event: str, function: Any) -> None:
        if event == "c_call" and function.__module__ == "posix" and next(calls) == number:
            os._exit(1)

    sys.setprofile(note)
    save(folder, 3, keep=2)
    os._exit(0)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_run_that_is_gone_before_any_call_of_a_save_leaves_the_last_state_or_the_new(tmp_path):
    found = []
    for call in itertools.count():
        folder = tmp_path / str(call)
        folder.mkdir()
        for step in (1, 2):
            save(folder, step)
        child = os.fork()
        if child == 0:
            save_until_call(call, folder)
        _, status = os.waitpid(child, 0)
        _, metadata, passed_over = load_state(folder)
        assert not passed_over
        assert len(states(folder)) >= 2
        found.append(metadata["step"])
        if status == 0:
            break
    assert found == sorted(found)
    assert set(found) == {2, 3}
    assert len(found) >= 10


@pytest.mark.parametrize(("before", "full"), [(1, 0), (3, 0), (3, 1)])
def test_a_power_cut_at_any_byte_and_call_of_a_save_leaves_the_last_state_or_the_new(
    tmp_path, monkeypatch, before, full
):
    folder = tmp_path / "run"
    folder.mkdir()
    for step in range(before):
        save(folder, step, keep=before)
    disk = RecordedDisk(folder, full)
    disk.watch(monkeypatch)
    save(folder, before, keep=1)
    monkeypatch.undo()
    assert saved_steps(folder) == [before]
    content = len(states(folder)[0].read_bytes())
    # The file's sync, its name, the folder's sync; and on a full disk what made room, twice.
    assert len(disk.moments) == 1 + content + 3 + before + full
    found = set()
    for moment in disk.moments:
        for names in moment.possible_folders():
            found.add(tuple(sorted(names.items())))
    steps = set()
    for index, names_and_contents in enumerate(found):
        left = tmp_path / str(index)
        left.mkdir()
        for name, held in names_and_contents:
            (left / name).write_bytes(held)
        _, metadata, passed_over = load_state(left)
        assert not passed_over
        steps.add(metadata["step"])
    assert steps == {before - 1, before}
    for names in disk.moments[-1].possible_folders():
        assert max(names) == states(folder)[0].name


class Bomb:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (3,)


def test_a_state_from_elsewhere_is_believed_no_more_than_an_agent(tmp_path):
    save(tmp_path, 1)
    newer = tmp_path / "resume-000000000002.safetensors"

    def reason() -> str:
        _, metadata, passed_over = load_state(tmp_path)
        assert metadata == {"step": 1}
        return passed_over[newer]

    newer.write_bytes(pickle.dumps(Bomb()))
    assert "no header of ours" in reason()
    newer.write_bytes(to_bytes({"weights": torch.tensor([1.0, torch.nan])}, {}))
    assert "not all finite" in reason()
    with newer.open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    assert "has more than 1024 MiB" in reason()
    newer.unlink()
    (tmp_path / "elsewhere").mkdir()
    save(tmp_path / "elsewhere", 2)
    newer.symlink_to(tmp_path / "elsewhere" / newer.name)
    assert "link out of its folder" in reason()


def test_what_a_resume_changes_is_told_but_not_when_a_run_ends_or_where_it_lies():
    then = RunConfig(imitation_coef=0.2, gamma=0.9, hours=1.0, log_path="there")
    now = RunConfig(imitation_coef=0.0, gamma=0.9, hours=2.0, log_path="here")
    assert changed_settings(then, now) == {"imitation_coef": 0.2}
    assert changed_settings(then, then) == {}


def test_an_agents_means_are_those_of_all_its_times():
    config = RunConfig(epochs=3, start_fraction=0.5).to_dict()
    earlier = [
        {"steps": 10, "settings": {"imitation_coef": 0.2, "epochs": 1, "minibatches": 1}},
        {"steps": 20, "settings": {"retry_fraction": 0.1, "imitation_coef": 0.0}},
    ]
    assert means_of([{"task": "x", "config": config}]) == "gamma 0.9, reuse, starts on found ways"
    told = set(means_of([{"task": "x", "config": config, "earlier": earlier}]).split(", "))
    assert told == {
        "gamma 0.9",
        "reuse",
        "starts on found ways",
        "retries",
        "imitation of found ways",
    }
