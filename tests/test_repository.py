"""What a fresh clone relies on before any of our code runs."""

import dataclasses
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from benchmarks.ray_nodes import PORT, PORTS, WALL
from mario_a3c.checkpoint import load_agent
from mario_a3c.cli import parse
from mario_a3c.config import RunConfig

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DECLARED = [
    Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
]


def pins() -> dict[str, Requirement]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith(("#", "-e"))]
    return {canonicalize_name(requirement.name): requirement for requirement in pinned}


@pytest.mark.parametrize("declared", DECLARED, ids=lambda requirement: requirement.name)
def test_tested_version_lies_in_the_declared_range(declared):
    pinned = pins()[canonicalize_name(declared.name)]
    (pin,) = pinned.specifier
    assert pin.operator == "=="
    assert declared.specifier.contains(pin.version)
    assert pinned.extras == declared.extras


def test_requirements_install_the_project_itself():
    assert (ROOT / "requirements.txt").read_text().splitlines()[-1] == "-e ."


def test_python_version_file_names_a_supported_python():
    version = (ROOT / ".python-version").read_text().strip()
    assert SpecifierSet(PROJECT["requires-python"]).contains(version)


@pytest.fixture
def bare_clone(tmp_path):
    """A folder with our set-up files, and a PATH on which every Python is too old."""
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    commands = tmp_path / "commands"
    commands.mkdir()
    for name in ("python3.13", "python3", "python"):
        write_command(commands / name, "exit 1")
    return tmp_path


def write_command(path, line):
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def make_install(clone, **environment):
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        [make, "install"],
        cwd=clone,
        env=kept | {"PATH": str(clone / "commands"), "PYENV_ROOT": str(clone)} | environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_make_says_in_one_sentence_that_python_is_too_old(bare_clone):
    result = make_install(bare_clone)
    assert result.returncode != 0
    sentence, *rest = result.stderr.splitlines()
    assert sentence.startswith("mario_a3c needs Python 3.13 or newer, and none was found:")
    assert all(line.startswith("make: ***") for line in rest)
    assert not (bare_clone / ".venv").exists()


def test_make_finds_a_python_of_pyenv_that_is_not_on_the_path(bare_clone):
    python = bare_clone / "versions" / "3.13.0" / "bin" / "python"
    python.parent.mkdir(parents=True)
    write_command(python, f'echo "$@" >> "{bare_clone}/calls"')
    make_install(bare_clone)
    assert "-m venv --clear .venv" in (bare_clone / "calls").read_text()


def test_the_readme_tells_how_its_agent_was_trained():
    """If this fails, settings have changed or another agent is shipped: say what made that one."""
    text = (ROOT / "README.md").read_text("utf-8")
    _, told = text.split("It was trained from nothing in ", 1)
    steps, _, rest = told.partition(" steps, ")
    command = re.search(r"^python train.py (.+)$", rest, re.M)
    assert command is not None
    agent = load_agent(ROOT / "saved_models" / "mario-1-1.safetensors").metadata
    assert int(steps.replace(",", "")) == agent["steps"]
    assert int(rest.split()[0]) == round(agent["seconds"] / 60)
    config = parse(command[1].split())
    chosen = {name: agent["config"][name] for name in ("engine", "device")}
    assert dataclasses.replace(config, **chosen) == RunConfig.from_dict(agent["config"])


@pytest.mark.parametrize(("page", "least"), [("reliability.md", 50), ("cluster.md", 7)])
def test_every_promise_names_tests_that_exist(page, least):
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / page).read_text("utf-8")))
    texts = [path.read_text("utf-8") for path in (ROOT / "tests").glob("test_*.py")]
    there = {name for text in texts for name in re.findall(r"^ *def (test_\w+)", text, re.M)}
    assert len(named) > least
    assert named <= there


def test_the_ports_that_a_firewall_leaves_open_are_those_of_the_page():
    """`ray_nodes.py --shut` shows that they are enough; the page tells people to open no others."""
    text = (ROOT / "docs" / "cluster.md").read_text("utf-8")
    starts = re.findall(r"^ *ray start ((?:.*\\\n)*.*)$", text, re.M)
    of_head, of_others = (
        {option: int(port) for option, port in re.findall(r"(--\S*port) (\d+)", start)}
        for start in starts
    )
    assert of_head == {"--port": PORT} | PORTS
    assert of_others == PORTS
    assert set(re.findall(r"HEAD:(\d+)", text)) == {str(PORT)}
    *single, least, most = PORTS.values()
    opened = {str(PORT), *map(str, single), f"{least}-{most}"}
    assert set(re.findall(r"dport (\S+) accept", WALL)) == opened
