"""play.py: what it plays, prints, records and refuses."""

import json
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mario_a3c import play_cli
from mario_a3c.checkpoint import CheckpointError, load_agent, save_agent
from mario_a3c.config import RunConfig
from mario_a3c.envs.engines import make_engine
from mario_a3c.envs.traces import read_traces
from mario_a3c.learning.model import ActorCritic
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.playing.episodes import AgentPlayer, RandomPlayer, play_episodes
from mario_a3c.playing.mario import agent_game
from mario_a3c.playing.video import read_video
from mario_a3c.replay import completes
from tests.disks import small_disk
from tests.mario import needs_native, on_both_engines
from tests.pipes import unread

QUICK: dict[str, Any] = {"engine": "nes-py", "stall_limit": 8, "max_episode_steps": 14}


@pytest.fixture
def agent(tmp_path):
    """An agent that has learned nothing, but has opinions."""
    return make_agent(tmp_path / "agent.safetensors")


def make_agent(path, num_actions=7, channels=4, **changes):
    config = {**RunConfig(engine="nes-py", max_actions=8, stall_limit=12).to_dict(), **changes}
    torch.manual_seed(0)
    model = ActorCritic(ModelSpec((channels, 84, 84), num_actions, lstm_size=16))
    with torch.no_grad():
        model.get_parameter("policy.weight").mul_(200)
    save_agent(path, model, {"task": "mario-1-1", "config": config})
    return path


def play(capsys, *arguments):
    """Run the command line; return its exit status and what it printed and complained of."""
    words = [str(argument) for argument in arguments]
    status = play_cli.main([*words, "--engine", "nes-py"])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@pytest.mark.parametrize("stochastic", [False, True])
@on_both_engines
def test_episodes_do_not_depend_on_how_many_are_played_side_by_side(agent, engine, stochastic):
    model = load_agent(agent).model
    settings = {**QUICK, "engine": engine, "episodes": 5, "seed": 3, "noops": 10}

    def episodes(games):
        player = AgentPlayer(model, stochastic)
        played = play_episodes(player, 1, 1, games=games, **settings)
        return sorted(played, key=lambda episode: episode.number)

    alone = episodes(1)
    assert len({episode.trace.buttons for episode in alone}) > 1
    assert episodes(3) == episodes(5) == alone


def test_a_player_that_may_have_played_before_begins_every_game_anew():
    told = []

    class Listening(RandomPlayer):
        def begin(self, game):
            told.append(game)

        def act(self, observations, generators):
            told.append("act")
            return super().act(observations, generators)

    list(play_episodes(Listening(7), 1, 1, episodes=4, games=3, **QUICK))
    assert told[:4] == [0, 1, 2, "act"]


@pytest.mark.parametrize("changes", [{}, {"view": "screen"}, {"view": "close"}])
def test_an_agent_sees_the_game_as_in_its_training(tmp_path, changes):
    path = make_agent(tmp_path / "agent.safetensors", **changes)
    if not changes:  # an agent of before there was a choice
        agent = load_agent(path)
        del agent.metadata["config"]["view"]
        save_agent(path, agent.model, agent.metadata)
    game = agent_game(path, engine="nes-py")
    seen = []

    class Watching(RandomPlayer):
        def act(self, observations, generators):
            seen.append(observations[0, -1].copy())
            return super().act(observations, generators)

    list(replace(game, player=Watching(7)).play(1))
    engine = make_engine("nes-py", 1, 1, 1, changes.get("view", "screen"))
    assert np.array_equal(seen[0], engine.observe(0))


def test_an_agents_returns_are_counted_with_the_cost_of_dying_that_it_learned_with(tmp_path):
    path = make_agent(tmp_path / "agent.safetensors", death_cost=6.0)
    assert agent_game(path).settings["reward"].death == -6.0
    agent = load_agent(path)
    del agent.metadata["config"]["death_cost"]  # an agent of before there was a choice
    save_agent(path, agent.model, agent.metadata)
    assert agent_game(path).settings["reward"].death == -1.5
    agent.metadata["config"]["death_cost"] = "much"
    save_agent(path, agent.model, agent.metadata)
    with pytest.raises(CheckpointError, match="cannot be played"):
        agent_game(path)


@needs_native
def test_an_agent_that_comes_with_the_project_plays_alike_on_both_engines(tmp_path, capsys):
    played = []
    for engine in ("nes-py", "native"):
        trace = tmp_path / f"{engine}.jsonl"
        options = ("--world", "1", "--stage", "4", "--no-window", "--json", "--trace", str(trace))
        assert play_cli.main([*options, "--engine", engine]) == 0
        outcome = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert outcome["completions"] == 1
        played.append((read_traces(trace), outcome))
    assert played[0] == played[1]


def test_random_episodes_follow_from_the_seed():
    def buttons(seed):
        played = play_episodes(RandomPlayer(7), 1, 1, episodes=2, seed=seed, **QUICK)
        return {episode.number: episode.trace.buttons for episode in played}

    assert buttons(1) == buttons(1) != buttons(2)


def test_numbers_of_noop_frames_can_come_in_turn():
    def waited(noops):
        played = play_episodes(RandomPlayer(7), 1, 1, episodes=6, noops=noops, **QUICK)
        return [e.trace.noops for e in sorted(played, key=lambda episode: episode.number)]

    assert waited(range(3)) == [0, 1, 2, 0, 1, 2] != waited(2)
    assert waited([7]) == [7] * 6


def test_sampled_actions_follow_the_policy():
    class Fixed(ActorCritic):
        def __init__(self):
            super().__init__(ModelSpec((4, 84, 84), 3))

        def initial_state(self, batch):
            return (torch.zeros(batch, 1),)

        def act(self, observations, state):
            chances = torch.tensor([0.2, 0.0, 0.8]).expand(len(observations), 3)
            return torch.distributions.Categorical(chances), torch.zeros(1), state

    player = AgentPlayer(Fixed(), stochastic=True)
    generators = [np.random.default_rng(game) for game in range(16)]
    observations = np.zeros((16, 4, 84, 84), dtype=np.uint8)
    drawn = np.concatenate([player.act(observations, generators) for _ in range(100)])
    counts = np.bincount(drawn, minlength=3) / len(drawn)
    assert counts[1] == 0
    assert counts[2] == pytest.approx(0.8, abs=0.03)
    assert (AgentPlayer(Fixed(), stochastic=False).act(observations, generators) == 2).all()


def test_json_is_the_last_line_and_sums_up_the_episodes(agent, capsys, tmp_path):
    trace = tmp_path / "trace.jsonl"
    status, out, _ = play(
        capsys, "--checkpoint", agent, "--no-window", "--episodes", 3, "--json", "--trace", trace,
        "--noops", 9, "--seed", 4, "--stochastic",
    )  # fmt: skip
    assert status == 0
    *lines, last = out.splitlines()
    summary = json.loads(last)
    assert list(summary) == [
        "world", "stage", "episodes", "completions", "completion_rate", "mean_return",
        "mean_length", "max_x",
    ]  # fmt: skip
    assert (summary["world"], summary["stage"], summary["episodes"]) == (1, 1, 3)
    assert summary["completions"] == summary["completion_rate"] == 0
    told = [line for line in lines if line.startswith("Episode ")]
    assert summary["max_x"] == max(int(line.split("x ")[1].split(",")[0]) for line in told)
    lengths = [int(line.split()[-2]) for line in told]
    assert summary["mean_length"] == pytest.approx(sum(lengths) / 3)
    traces = read_traces(trace)
    assert [set(json.loads(line)) for line in trace.read_text().splitlines()] == 3 * [
        {"world", "stage", "seed", "noops", "completed", "buttons"}
    ]
    for one in traces:
        assert one.seed == 4
        assert 0 <= one.noops <= 9
        assert not any(one.buttons[: one.noops])
        assert not completes(one)
    assert sum(len(one.buttons) - one.noops for one in traces) <= 4 * sum(lengths)


def test_a_recording_has_every_frame_of_every_episode(agent, capsys, tmp_path):
    video, trace = tmp_path / "video.mp4", tmp_path / "trace.jsonl"
    play(
        capsys, "--checkpoint", agent, "--no-window", "--episodes", 2, "--stochastic",
        "--record", video, "--trace", trace,
    )  # fmt: skip
    frames = sum(len(one.buttons) for one in read_traces(trace))
    assert sum(1 for _ in read_video(video)) == frames


def test_without_a_display_it_says_so_and_records(agent, capsys, tmp_path, monkeypatch):
    for variable in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.chdir(tmp_path)
    status, out, _ = play(capsys, "--checkpoint", agent)
    assert status == 0
    assert "There is no display: recording instead, to videos/mario-1-1.mp4." in out
    assert next(iter(read_video("videos/mario-1-1.mp4"))).shape == (480, 512, 3)


def test_a_window_shows_the_same_episode(agent, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setattr("mario_a3c.play_cli.FRAMES_PER_SECOND", 10_000)
    monkeypatch.chdir(tmp_path)
    seen = []
    for window in ("--window", "--no-window"):
        arguments = ("--checkpoint", agent, window, "--trace", "trace.jsonl", "--noops", 5)
        assert play(capsys, *arguments)[0] == 0
        seen.append(read_traces("trace.jsonl"))
    assert seen[0] == seen[1]
    assert not (tmp_path / "videos").exists()


def test_underscores_are_taken_for_dashes(agent, capsys):
    assert play(capsys, "--checkpoint", agent, "--no_window")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--world", "9"], "--world 9 is not allowed: give 1 to 8"),
        (["--stage", "0"], "--stage 0 is not allowed: give 1 to 4"),
        (["--episodes", "0"], "--episodes 0 is not allowed: give 1 or more"),
        (["--noops", "-1"], "--noops -1 is not allowed: give 0 to 255"),
        (["--seed", "-1"], "--seed -1 is not allowed"),
        (["--checkpoint", "none.safetensors"], "no checkpoint none.safetensors"),
        (["--world", "7"], "There is no agent saved_models/mario-7-1.safetensors: train one with"),
        (["--checkpoint", "cut.safetensors"], "cut.safetensors is damaged"),
        (["--checkpoint", "foreign.safetensors"], "foreign.safetensors is damaged or not"),
        (["--checkpoint", "pole.safetensors"], "an agent for CartPole-v1, not for Super Mario"),
        (["--checkpoint", "wide.safetensors"], "12 actions, but its action set 'simple' has 7"),
        (["--checkpoint", "deep.safetensors"], "Mario's observations are (4, 84, 84)"),
        (["--checkpoint", "flying.safetensors"], "played: --action-type 'fly' is unknown"),
        (["--checkpoint", "agent.safetensors", "--record", "."], "cannot be written"),
        (["--checkpoint", "agent.safetensors", "--trace", "agent.safetensors/t"], "cannot be"),
        (["--random", "--checkpoint", "agent.safetensors"], "leave --checkpoint out"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(
    agent, arguments, told, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cut.safetensors").write_bytes(agent.read_bytes()[:-100])
    (tmp_path / "foreign.safetensors").write_bytes(b"PK" + bytes(1000))
    make_agent(tmp_path / "pole.safetensors", env_name="CartPole-v1")
    make_agent(tmp_path / "wide.safetensors", num_actions=12)
    make_agent(tmp_path / "deep.safetensors", channels=3)
    make_agent(tmp_path / "flying.safetensors", action_type="fly")
    before = sorted(tmp_path.iterdir())
    status, out, error = play(capsys, *arguments)
    assert status == 2
    assert not out
    assert told in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            "--gallery none --engine snes",
            "The engine 'snes' is unknown; choose one of auto, native, nes-py.",
        ),
        ("--episodes many", "--episodes 'many' is not allowed: give a whole number."),
        ("--epsiodes 3", "The option --epsiodes is unknown; see --help. Did you mean --episodes?"),
        ("--window=no", "--window takes no value; --no-window is the opposite."),
        ("--checkpoint", "--checkpoint needs a value; see --help."),
        ("1-1", "'1-1' belongs to no option: options begin with --."),
    ],
)
def test_words_that_cannot_be_meant_are_refused_in_a_sentence(capsys, words, sentence):
    assert play_cli.main(words.split()) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"play.py: {sentence}\n")


def test_a_gallery_that_finds_the_disk_full_says_so(capsys, tmp_path):
    with small_disk(tmp_path / "disk", 2**17) as disk:
        assert play_cli.main(["--gallery", str(disk / "gallery"), "--engine", "nes-py"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("play.py: a file could not be written: ")
    assert told.count("\n") == 1


def test_playing_ends_when_nobody_reads_what_it_says(monkeypatch):
    with unread() as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert play_cli.main(["--random", "--no-window", "--episodes", "1000"]) == 128 + 13
