"""Installing works with a C++ compiler and without one, and no engine is missing unseen."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mario_a3c.envs import native_source
from mario_a3c.envs.engines import choose_engine, native_available
from tests.mario import needs_native

ROOT = Path(__file__).parent.parent


@pytest.fixture
def project(tmp_path):
    """What is compiled when the package is installed, but for the engine's source."""
    for name in ("setup.py", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "native").mkdir()
    (tmp_path / "mario_a3c" / "envs").mkdir(parents=True)
    shutil.copy(native_source.__file__, tmp_path / "mario_a3c" / "envs")
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


@needs_native
def test_the_engine_that_is_tested_was_built_from_the_source_beside_it():
    assert choose_engine("native")[1] == "The native engine runs, as asked."


@needs_native
@pytest.mark.parametrize("name", ["auto", "native"])
def test_a_run_on_an_engine_of_another_source_says_so(name, monkeypatch):
    monkeypatch.setattr("mario_a3c.envs.native_engine.source_digest", lambda: "another")
    chosen, sentence = choose_engine(name)
    assert chosen == "native"
    assert "not built from what native/ holds now: run 'pip install -e .' again." in sentence


def test_the_digest_changes_with_the_source(tmp_path):
    (tmp_path / "cpu.cpp").write_text("int a;")
    (tmp_path / "README").write_text("words")
    before = native_source.source_digest(tmp_path)
    (tmp_path / "README").write_text("other words")
    assert native_source.source_digest(tmp_path) == before
    (tmp_path / "cpu.cpp").write_text("int b;")
    assert native_source.source_digest(tmp_path) != before
