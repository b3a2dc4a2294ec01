"""play.py with any task but Mario: scores, windows, recordings, the random baseline, refusals."""

import json
import os
import subprocess
import sys
from ctypes.util import find_library
from pathlib import Path

import numpy as np
import pygame
import pytest
import torch

from mario_a3c import play_cli
from mario_a3c.checkpoint import save_agent
from mario_a3c.config import RunConfig
from mario_a3c.learning.model import ActorCritic
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.playing.video import read_video
from mario_a3c.playing.window import Window, WindowClosedError

TASK = ("--env-name", "CartPole-v1")
GUESS = ("--env-name", "tests/Guess-v0", "--env-module", "tests.registered_task", "--random")


@pytest.fixture
def agent(tmp_path):
    """An agent that leans to one side, and to the other."""
    path = tmp_path / "agent.safetensors"
    torch.manual_seed(0)
    model = ActorCritic(ModelSpec((4,), 2, lstm_size=0, hidden=(8,)))
    config = RunConfig(env_name="CartPole-v1", recurrent=False, hidden=(8,))
    save_agent(path, model, {"task": config.task, "config": config.to_dict()})
    return path


def play(capsys, *arguments, window=False):
    words = [*TASK, *arguments, *([] if window else ["--no-window"])]
    status = play_cli.main([str(word) for word in words])
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


class Screen:
    """What a window shows, and how fast, without waiting for it."""

    def __init__(self, monkeypatch):
        """Look on."""
        self.pictures: list[np.ndarray] = []
        self.speeds: set[int] = set()
        show, screen = Window.show, self

        def look_on(window, picture):
            screen.pictures.append(picture)
            show(window, picture)

        class Clock:
            def tick(self, frames_per_second):
                screen.speeds.add(frames_per_second)

        monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
        monkeypatch.setattr(Window, "show", look_on)
        monkeypatch.setattr(pygame.time, "Clock", Clock)


@pytest.fixture
def screen(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return Screen(monkeypatch)


VARIANT = ("--env-name", "Pendulum-v1", "--hide", "2", "--no-window", "--json")


@pytest.mark.parametrize(("words", "least", "most"), [([], -400, -50), (["--random"], -1700, -800)])
def test_a_variant_of_a_task_is_played_by_its_agent_and_at_random(capsys, words, least, most):
    assert play_cli.main([*VARIANT, "--episodes", "16", *words]) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert "Pendulum-v1 --hide 2" in first
    assert least < json.loads(last)["mean_return"] < most


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            "--hide 0 1",
            "There is no agent saved_models/Pendulum-v1-hide-0-1.safetensors: train one with "
            "python train.py --env-name Pendulum-v1 --hide 0 1, or name another",
        ),
        ("--hide 7 --random", "--hide 7 is not possible: Pendulum-v1 shows 3 numbers"),
        (
            "--hide 1 --checkpoint saved_models/Pendulum-v1-hide-2.safetensors",
            "was trained without 2 of what Pendulum-v1 shows: --hide 1 does not fit it.",
        ),
        (
            "--hide 1 --checkpoint saved_models/Pendulum-v1.safetensors",
            "was trained with all of what Pendulum-v1 shows: --hide 1 does not fit it.",
        ),
        ("--hide 1 --env-name SuperMarioBros", "--hide is for tasks whose observations are"),
    ],
)
def test_a_variant_that_is_not_there_is_refused(capsys, words, told):
    assert play_cli.main(["--env-name", "Pendulum-v1", *words.split()]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert told in printed.err
    assert printed.err.count("\n") == 1


def test_a_window_shows_every_decision_at_the_tasks_own_speed(agent, capsys, screen):
    arguments = ("--checkpoint", agent, "--episodes", 2, "--json")
    status, out, _ = play(capsys, *arguments, window=True)
    assert status == 0
    assert json.loads(out.splitlines()[-1])["episodes"] == 2
    assert len(screen.pictures) == sum(lengths(out))
    assert screen.pictures[0].shape == (400, 600, 3)
    assert (screen.pictures[0] != screen.pictures[5]).any()
    assert screen.speeds == {50}
    assert not Path("videos").exists()


def test_a_window_and_a_recording_show_the_same(agent, capsys, screen):
    arguments = ("--checkpoint", agent, "--record", "video.mp4")
    status, out, _ = play(capsys, *arguments, window=True)
    assert status == 0
    assert "Recorded video.mp4." in out
    assert len(list(read_video("video.mp4"))) == len(screen.pictures) == sum(lengths(out))


def test_closing_the_window_ends_playing_and_keeps_what_was_recorded(
    agent, capsys, screen, monkeypatch
):
    def close(window, picture):
        screen.pictures.append(picture)
        if len(screen.pictures) == 12:
            raise WindowClosedError

    monkeypatch.setattr(Window, "show", close)
    arguments = ("--checkpoint", agent, "--episodes", 9, "--record", "video.mp4", "--json")
    status, out, _ = play(capsys, *arguments, window=True)
    assert status == 0
    assert "The window was closed.\nRecorded video.mp4.\n" in out
    assert json.loads(out.splitlines()[-1])["episodes"] == len(lengths(out)) == 1
    assert len(list(read_video("video.mp4"))) == 12


def test_without_a_display_it_says_so_and_records(agent, capsys, tmp_path, monkeypatch):
    for variable in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.chdir(tmp_path)
    status, out, _ = play(capsys, "--checkpoint", agent, window=True)
    assert status == 0
    assert "There is no display: recording instead, to videos/CartPole-v1.mp4." in out
    assert len(list(read_video("videos/CartPole-v1.mp4"))) == sum(lengths(out))


def test_without_a_window_nothing_is_shown_or_recorded(agent, capsys, screen):
    status, out, _ = play(capsys, "--checkpoint", agent)
    assert status == 0
    assert len(out.splitlines()) == 2
    assert not screen.pictures
    assert not Path("videos").exists()


def test_a_task_without_pictures_is_scored_and_says_so(capsys, screen):
    assert play_cli.main([*GUESS, "--json"]) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert "tests/Guess-v0 has no pictures to show: NotImplementedError." in first
    assert json.loads(last)["mean_length"] == 20
    assert not Path("videos").exists()


def test_a_task_without_pictures_cannot_be_recorded(capsys, screen):
    assert play_cli.main([*GUESS, "--record", "video.mp4"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    told = "play.py: --record is not possible: tests/Guess-v0 has no pictures to show: "
    assert printed.err.startswith(told)
    assert printed.err.count("\n") == 1
    assert not Path("video.mp4").exists()


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


@pytest.mark.parametrize(
    ("game", "status", "told"),
    [
        ("RaisesInFirstReset", 2, "cannot be begun: RuntimeError"),
        ("RaisesAtOnce", 1, "the environment failed in step: RuntimeError: no cartridge."),
        ("NanReward", 1, "the environment gave reward nan."),
    ],
)
def test_a_game_that_fails_is_told_in_one_sentence(game, status, told, capsys):
    name = f"tests.broken_games:{game}-v0"
    words = ["--env-name", name, "--random", "--no-window", "--episodes", "40"]
    assert play_cli.main(words) == status
    error = capsys.readouterr().err
    assert error.startswith(f"play.py: {name}")
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


def test_a_module_in_front_of_the_id_is_the_same_as_the_option(tmp_path, capsys):
    config = RunConfig(env_name="tests.registered_task:tests/Guess-v0", recurrent=False)
    assert config.task == "tests-Guess-v0"
    path = tmp_path / "agent.safetensors"
    save_agent(
        path, ActorCritic(ModelSpec((2,), 2, lstm_size=0)), {"config": config.to_dict(), "steps": 1}
    )
    for words in (
        ["--env-name", config.env_name],
        ["--env-name", "tests/Guess-v0", "--env-module", "tests.registered_task"],
    ):
        assert play_cli.main([*words, "--checkpoint", str(path), "--no-window"]) == 0
        assert "20 decisions" in capsys.readouterr().out


def test_a_users_task_is_played(capsys):
    assert play_cli.main([*GUESS, "--no-window", "--json"]) == 0
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
