"""Traces, and what the bare environment says about them."""

import dataclasses
import json

import pytest

from mario_a3c.envs.engines import make_engine
from mario_a3c.envs.traces import Trace, replay_pictures
from mario_a3c.replay import completes, main
from tests.mario import DATA, on_both_engines, recorded


def write(path, *traces):
    path.write_text("".join(trace.to_json() + "\n" for trace in traces))
    return str(path)


def test_a_recorded_completion_completes_in_the_bare_environment(capsys):
    assert main([str(DATA / "mario-1-4.jsonl")]) == 0
    assert "1-4" in (out := capsys.readouterr().out)
    assert "completes, as recorded" in out


def test_a_trace_that_does_not_do_what_it_says_is_told(tmp_path, capsys):
    true = dataclasses.replace(recorded("1-4"), completed=False, buttons=bytes([0x80] * 60))
    cut = dataclasses.replace(recorded("1-4"), buttons=recorded("1-4").buttons[:-4])
    into_the_enemy = dataclasses.replace(true, stage=1, buttons=bytes([0x80] * 400))
    denied = dataclasses.replace(recorded("1-4"), completed=False)
    assert main([write(tmp_path / "t.jsonl", true, cut, into_the_enemy, denied)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("does not complete, as recorded")
    assert "DIFFERS: does not complete" in lines[1]
    assert "DIFFERS: the episode ends after" in lines[2]
    assert "DIFFERS: completes" in lines[3]


def test_a_flag_behind_a_warp_zone_is_no_completion(monkeypatch):
    class FlagOfAnotherWorld:
        world = 4

        def __init__(self, target):
            self.target = target

        def reset(self):
            pass

        def step(self, byte):
            return None, 0.0, True, False, {"flag_get": True, "world": self.world, "stage": 2}

        def close(self):
            pass

    monkeypatch.setattr("mario_a3c.replay.SuperMarioBrosEnv", FlagOfAnotherWorld)
    trace = Trace(1, 2, 0, 0, True, bytes(1))
    assert not completes(trace)
    FlagOfAnotherWorld.world = 1
    assert completes(trace)


@on_both_engines
def test_a_replay_shows_one_picture_a_frame(engine):
    trace = recorded("1-4")
    pictures = [
        picture.copy()
        for picture in replay_pictures(make_engine(engine, 1, 4, 1), trace.buttons + bytes(9))
    ]
    assert len(pictures) == len(trace.buttons)
    assert pictures[0].shape == (240, 256, 3)
    assert not (pictures[0] == pictures[-1]).all()


def test_a_trace_survives_its_file():
    trace = Trace(8, 4, 3, 2, True, bytes([0, 0, 0x81, 0xFF]))
    assert Trace.from_json(trace.to_json()) == trace
    assert json.loads(trace.to_json())["buttons"] == [0, 0, 129, 255]


GOOD = {"world": 1, "stage": 1, "seed": 0, "noops": 0, "completed": False, "buttons": [1]}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("no json", "it is not JSON"),
        ("[1]", "it is not a JSON object"),
        (json.dumps({**GOOD, "world": "1"}), "its 'world' is missing or not of type int"),
        (json.dumps({**GOOD, "world": 9}), "There is no world 9"),
        (json.dumps({**GOOD, "buttons": [300]}), "its 'buttons' are not numbers from 0 to 255"),
    ],
)
def test_a_line_that_is_no_trace_is_refused_in_one_sentence(line, told, tmp_path, capsys):
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + line + "\n")
    assert main([str(path)]) == 2
    error = capsys.readouterr().err
    assert f"Line 2 of {path} is not a trace: {told}" in error
    assert error.count("\n") == 1
    assert main([str(tmp_path / "none.jsonl")]) == 2
