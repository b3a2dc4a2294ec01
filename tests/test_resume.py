"""The resume states of a run: the newest good one counts, and a full disk costs none of them."""

from pathlib import Path

import pytest
import torch

from mario_a3c.checkpoint import CheckpointError
from mario_a3c.resume import load_state, save_state, states
from tests.disks import largest_file, small_disk


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
        assert passed_over == []


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
        assert len(passed_over) == 1
        assert str(states(tmp_path)[0]) in passed_over[0]


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
