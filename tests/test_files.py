"""Files are written completely or not at all, and a folder belongs to one run."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mario_a3c.files import FolderInUseError, FolderLock, remove_temporaries, write_atomically
from tests.disks import largest_file, small_disk
from tests.power_cuts import RecordedDisk

OLD, NEW = b"old " * 20, b"the new content " * 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with old content."""
    (tmp_path / "file").write_bytes(OLD)
    return tmp_path / "file"


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def test_a_file_gets_all_of_its_new_content_and_can_be_read_by_all(path):
    write_atomically(path, NEW)
    assert path.read_bytes() == NEW
    assert path.stat().st_mode & 0o777 == 0o644
    assert names(path) == ["file"]


def test_a_disk_that_is_full_after_any_byte_leaves_the_old_file(path):
    for size in range(len(NEW)):
        with largest_file(size), pytest.raises(OSError, match="File too large"):
            write_atomically(path, NEW)
        assert path.read_bytes() == OLD
        assert names(path) == ["file"]
    with largest_file(len(NEW)):
        write_atomically(path, NEW)
    assert path.read_bytes() == NEW


def test_a_small_disk_that_is_full_leaves_the_old_file(tmp_path):
    with small_disk(tmp_path / "disk", 2**20) as disk:
        (disk / "file").write_bytes(OLD)
        with pytest.raises(OSError, match="No space left") as full:
            write_atomically(disk / "file", bytes(2**20))
        assert full.value.errno == errno.ENOSPC
        assert (disk / "file").read_bytes() == OLD
        assert names(disk / "file") == ["file"]
        write_atomically(disk / "file", NEW)
        assert (disk / "file").read_bytes() == NEW


def test_a_disk_that_cannot_be_written_to_is_told_as_such(tmp_path):
    with (
        small_disk(tmp_path / "disk", 2**20, ",ro") as disk,
        pytest.raises(OSError, match="Read-only file system"),
    ):
        write_atomically(disk / "file", NEW)


def test_a_power_cut_at_any_byte_and_call_leaves_the_old_file_or_all_of_the_new(path, monkeypatch):
    disk = RecordedDisk(path.parent)
    disk.watch(monkeypatch)
    write_atomically(path, NEW)
    monkeypatch.undo()
    assert len(disk.moments) == 1 + len(NEW) + 3
    for moment in disk.moments:
        for folder in moment.possible_folders():
            assert folder["file"] in (OLD, NEW)
    assert [folder["file"] for folder in disk.moments[-1].possible_folders()] == [NEW]


def test_a_call_that_fails_leaves_the_old_file_and_nothing_else(path, monkeypatch):
    for name in ("write", "fchmod", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, lambda *_: (_ for _ in ()).throw(OSError(5, "broken")))
            with pytest.raises(OSError, match="broken"):
                write_atomically(path, NEW)
        assert path.read_bytes() == OLD
        assert names(path) == ["file"]


def test_a_writer_that_is_killed_at_any_moment_leaves_the_old_file_or_all_of_the_new(tmp_path):
    path = tmp_path / "file"
    contents = [bytes([i]) * 200_000 for i in range(256)]
    path.write_bytes(contents[0])
    for attempt in range(20):
        process = os.fork()
        if process == 0:
            while True:
                for content in contents:
                    write_atomically(path, content)
        time.sleep(0.002 * attempt)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        found = path.read_bytes()
        assert found == contents[found[0]]
    remove_temporaries(tmp_path)
    assert names(path) == ["file"]


def test_what_interrupted_writers_left_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "videos").mkdir()
    for name in (".file.abc.partial", "videos/.x.mp4.partial", "file", ".lock", "a.partial"):
        (tmp_path / name).touch()
    remove_temporaries(tmp_path)
    left = {str(entry.relative_to(tmp_path)) for entry in tmp_path.rglob("*")}
    assert left == {"videos", "file", ".lock", "a.partial"}


LOCKER = "import sys; from pathlib import Path; from mario_a3c.files import FolderLock;"
LOCKER += "lock = FolderLock(Path(sys.argv[1])); print('locked', flush=True); sys.stdin.read()"


def test_a_folder_is_locked_for_others_until_its_holder_dies_however_it_does(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", LOCKER, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"locked\n"
    with pytest.raises(FolderInUseError, match="in use by another run"):
        FolderLock(tmp_path)
    holder.kill()
    holder.communicate()
    lock = FolderLock(tmp_path)
    lock.release()
    FolderLock(tmp_path).release()


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"\.lock"):
        FolderLock(tmp_path)
    assert not (tmp_path / "elsewhere").exists()
