"""play.py with any task but Mario: scores, recordings, the random baseline, refusals."""

import json
import os
import subprocess
import sys
from ctypes.util import find_library
from pathlib import Path

import pytest
import torch

from mario_a3c import play_cli
from mario_a3c.checkpoint import save_agent
from mario_a3c.config import RunConfig
from mario_a3c.learning.model import ActorCritic
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.playing.video import read_video

TASK = ("--env-name", "CartPole-v1")


@pytest.fixture
def agent(tmp_path):
    """An agent that leans to one side, and to the other."""
    path = tmp_path / "agent.safetensors"
    torch.manual_seed(0)
    model = ActorCritic(ModelSpec((4,), 2, lstm_size=0, hidden=(8,)))
    config = RunConfig(env_name="CartPole-v1", recurrent=False, hidden=(8,))
    save_agent(path, model, {"task": config.task, "config": config.to_dict()})
    return path


def play(capsys, *arguments):
    status = play_cli.main([str(argument) for argument in (*TASK, *arguments)])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def lengths(out):
    told = [line for line in out.splitlines() if line.startswith("Episode ")]
    return [int(line.split()[-2]) for line in told]


def test_json_sums_up_as_many_episodes_as_were_asked_for(agent, capsys):
    status, out, _ = play(capsys, "--checkpoint", agent, "--episodes", 20, "--json")
    assert status == 0
    summary = json.loads(out.splitlines()[-1])
    assert (summary["env_name"], summary["episodes"], len(lengths(out))) == ("CartPole-v1", 20, 20)
    assert summary["mean_return"] == summary["mean_length"] == sum(lengths(out)) / 20


@pytest.mark.parametrize("stochastic", [False, True])
def test_equal_seeds_play_equal_episodes(agent, capsys, stochastic):
    drawn = ("--stochastic",) if stochastic else ()
    arguments = ("--checkpoint", agent, "--episodes", 5, *drawn)
    first, again, other = (play(capsys, *arguments, "--seed", seed)[1] for seed in (1, 1, 2))
    assert first == again != other


def test_random_play_needs_no_agent_and_lets_the_pole_fall(capsys):
    status, out, _ = play(capsys, "--random", "--episodes", 50, "--json")
    assert status == 0
    assert 15 < json.loads(out.splitlines()[-1])["mean_return"] < 30


def test_a_recording_has_a_picture_of_every_decision(agent, capsys, tmp_path):
    video = tmp_path / "video.mp4"
    arguments = ("--checkpoint", agent, "--episodes", 2, "--record", video)
    status, out, _ = play(capsys, *arguments)
    assert status == 0
    pictures = list(read_video(video))
    assert len(pictures) == sum(lengths(out))
    assert pictures[0].shape == (400, 600, 3)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--env-name", "CartPol-v1", "--random"], "Did you mean CartPole-v1?"),
        (["--env-name", "Acrobot-v1", "--checkpoint", "agent.safetensors"], "not for Acrobot-v1"),
        ([], "There is no agent saved_models/CartPole-v1.safetensors: train one with"),
        (["--random", "--world", "2"], "--world is for SuperMarioBros"),
        (["--random", "--episodes", "0"], "--episodes 0 is not allowed"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(
    agent, arguments, told, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    status, out, error = play(capsys, *arguments)
    assert status == 2
    assert not out
    assert told in error
    assert error.count("\n") == 1


def test_a_module_is_imported_because_the_user_says_so_not_because_a_file_does(tmp_path, capsys):
    path = tmp_path / "agent.safetensors"
    config = RunConfig(env_name="CartPole-v1", env_module="no_such_module", recurrent=False)
    model = ActorCritic(ModelSpec((4,), 2, lstm_size=0))
    save_agent(path, model, {"task": config.task, "config": config.to_dict()})
    assert play(capsys, "--checkpoint", path)[0] == 0
    status, _, error = play(capsys, "--checkpoint", path, "--env-module", "no_such_module")
    assert status == 2
    assert "no_such_module" in error


def test_a_users_task_is_played(capsys):
    arguments = ["--env-name", "tests/Guess-v0", "--env-module", "tests.registered_task"]
    assert play_cli.main([*arguments, "--random", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["mean_length"] == 20


@pytest.mark.skipif(find_library("EGL") is None, reason="nothing here draws without a display")
def test_mujoco_is_recorded_without_a_display(tmp_path):
    video = tmp_path / "reacher.mp4"
    words = ["--env-name", "Reacher-v5", "--random", "--episodes", "1", "--record", str(video)]
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL")
    }
    command = [sys.executable, str(Path(__file__).parent.parent / "play.py"), *words]
    # In a folder of its own, because MuJoCo leaves a log where it is run.
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list(read_video(video))) >= 50
