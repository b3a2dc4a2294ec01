"""Installing works with a C++ compiler and without one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_without_a_compiler_the_build_succeeds_and_leaves_the_extension_out(tmp_path):
    for name in ("setup.py", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "native", tmp_path / "native")
    (tmp_path / "mario_a3c").mkdir()
    nowhere = {"CC": "/nonexistent/cc", "CXX": "/nonexistent/c++"}
    built = subprocess.run(
        [sys.executable, "setup.py", "build_ext", "--inplace"],
        cwd=tmp_path,
        env=os.environ | nowhere,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert built.returncode == 0, built.stderr
    assert 'building extension "mario_a3c._native" failed' in built.stdout + built.stderr
    assert not list(tmp_path.rglob("*.so"))
