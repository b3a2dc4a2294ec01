"""The C++ core under AddressSanitizer and UndefinedBehaviorSanitizer, with hostile input."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from gym_super_mario_bros._roms import smb1_rom_path, smb2jp_rom_path

NATIVE = Path(__file__).parent.parent / "native"
COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
FLAGS = ["-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
FRAMES = "1000"
COMPILING = 800
"""Seconds. Half a minute is enough, but for a machine that does much else."""


@pytest.fixture(scope="module")
def check(tmp_path_factory):
    if COMPILER is None:
        pytest.skip("there is no C++ compiler")
    program = tmp_path_factory.mktemp("native") / "check"
    sources = [str(path) for path in NATIVE.glob("*.cpp") if path.name != "binding.cpp"]
    sources.append(str(NATIVE / "tests" / "check.cpp"))
    command = [COMPILER, *FLAGS, *SANITIZERS, *sources, "-o", str(program)]
    subprocess.run(command, check=True, timeout=COMPILING)
    return program


@pytest.mark.timeout(COMPILING + 200)
@pytest.mark.parametrize("rom", [smb1_rom_path(), smb2jp_rom_path()])
def test_play_snapshots_and_roms_under_the_sanitizers(check, rom):
    outcome = subprocess.run([check, rom, FRAMES], capture_output=True, text=True, timeout=200)
    assert (outcome.returncode, outcome.stdout) == (0, "ok\n"), outcome.stdout + outcome.stderr
