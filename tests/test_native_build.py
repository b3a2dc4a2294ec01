"""Installing works with a C++ compiler and without one, and no engine is missing unseen."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mario_a3c.envs.engines import native_available

ROOT = Path(__file__).parent.parent


@pytest.fixture
def project(tmp_path):
    """What is compiled when the package is installed, but for the engine's source."""
    for name in ("setup.py", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "native").mkdir()
    (tmp_path / "mario_a3c").mkdir()
    return tmp_path


def build(project, **variables):
    """Compile as the install does; return whether there is an extension now, and what was said."""
    built = subprocess.run(
        [sys.executable, "setup.py", "build_ext", "--inplace"],
        cwd=project,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert built.returncode == 0, built.stderr
    return bool(list(project.rglob("*.so"))), built.stdout + built.stderr


def test_without_a_compiler_the_build_succeeds_and_leaves_the_extension_out(project):
    shutil.copytree(ROOT / "native", project / "native", dirs_exist_ok=True)
    is_there, said = build(project, CC="/nonexistent/cc", CXX="/nonexistent/c++")
    assert 'building extension "mario_a3c._native" failed' in said
    assert not is_there


def test_where_the_install_finds_a_compiler_the_engine_is_there(project):
    is_there, reason = native_available()
    if is_there:
        return
    (project / "native" / "one.cpp").write_text("int one = 1;")
    can_compile, _ = build(project)
    assert not can_compile, (
        f"There is a C++ compiler, but {reason}; the tests of the engine were skipped. "
        "Run 'pip install -v -e .' here and read why the engine was not built."
    )
