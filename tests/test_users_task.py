"""A task that the user's own module registers: trained until it is solved, then played."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mario_a3c import play_cli
from tests.runs import ROOT, SOON, busy

MODULE = """
import gymnasium
import numpy as np
from gymnasium import Env, spaces


class Follow(Env):
    observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = spaces.Discrete(3)

    def _show(self):
        self.place = int(self.np_random.integers(3))
        return np.array([self.place - 1], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 20
        return self._show(), {}

    def step(self, action):
        reward = float(action == self.place)
        self.left -= 1
        return self._show(), reward, False, self.left == 0, {}


gymnasium.register("Follow-v0", entry_point=Follow)
"""
SCORE = 18.0
"""Of 20; chance is 6.7."""
TASK = ("--env-name", "Follow-v0", "--env-module", "my_own_tasks")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder in which the user works."""
    (tmp_path / "my_own_tasks.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def score(capsys, *words):
    assert play_cli.main([*TASK, *words, "--episodes", "20", "--no-window", "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])["mean_return"]


def test_a_users_task_is_trained_to_its_score_and_played(folder, capsys):
    words = (
        *TASK,
        *("--solved-score", str(SCORE), "--total-steps", "60000", "--num-processes", "1"),
        *("--lr", "3e-3", "--eval-interval", "0.3", "--device", "cpu"),
    )
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SOON * busy(),
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "Solved after" in done.stdout
    agent = Path("saved_models/Follow-v0.safetensors")
    assert f"Its best agent is in {agent}." in done.stdout
    assert agent.exists()
    assert score(capsys) >= SCORE
    assert score(capsys, "--random") < 10
