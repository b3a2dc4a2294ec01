"""Disks that are full: a limit on the size of files, and a small file system of one's own."""

import contextlib
import os
import resource
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond ``size`` bytes: writing more fails in the middle."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


_shells: dict[Path, subprocess.Popen[str]] = {}
"""Of disks that were mounted by a shell in a namespace of its own: which shell may change them."""


@contextlib.contextmanager
def small_disk(folder: Path, size: int, options: str = "") -> Iterator[Path]:
    """Mount a file system of ``size`` bytes, as root or in a namespace of one's own.

    Yields:
        where it is; for an ordinary user, that is the folder as the namespace sees it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}{options}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        try:
            yield folder
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)
        return
    if shutil.which("unshare") is None:
        pytest.skip("only root may mount a small file system, and there is no unshare")
    shell = subprocess.Popen(
        ["unshare", "--user", "--map-root-user", "--mount", "sh"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    disk = Path(f"/proc/{shell.pid}/root{folder}")
    try:
        if not _done(shell, mount):
            pytest.skip("no small file system can be mounted here")
        _shells[disk] = shell
        yield disk
    finally:
        _shells.pop(disk, None)
        shell.kill()
        shell.communicate()


def _done(shell: subprocess.Popen[str], command: list[str]) -> bool:
    """Let a shell do something and return whether it could."""
    assert shell.stdin is not None
    assert shell.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        print(shlex.join(command), "; echo $?", file=shell.stdin, flush=True)
    return shell.stdout.readline() == "0\n"


@contextlib.contextmanager
def disk_that_may_break(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount an ext4 file system in a file; only root may. `break_disk` breaks it."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("only root may mount a file system, and mkfs.ext4 has to be there")
    folder.mkdir(parents=True, exist_ok=True)
    image = folder.with_suffix(".ext4")
    with image.open("wb") as file:
        file.truncate(megabytes * 2**20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    mount = ["mount", "-o", "loop", str(image), str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file in which a file system is can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def break_disk(disk: Path) -> None:
    """Let ext4 find its disk broken: it is read-only at once, also for those who write to it."""
    subprocess.run(["mount", "-o", "remount,abort", str(disk)], check=True)


def make_read_only(disk: Path) -> None:
    """Let nothing more be written to a disk, as the kernel does when it finds it broken."""
    shell = _shells.get(disk)
    if shell is None:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    else:
        folder = str(disk).partition("/root")[2]
        assert _done(shell, ["mount", "-o", "remount,ro", folder])


def fill(disk: Path) -> Path:
    """Fill a disk to its last byte with a file, and return it."""
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(2**12))
    return filler
