"""Ways found by search, and what the bare environment says about them."""

import resource

import numpy as np
import pytest

from mario_a3c import explore, replay
from mario_a3c.envs.native_engine import NativeEngine, new_snapshots, snapshot_ram
from mario_a3c.envs.traces import Trace
from mario_a3c.search import searchers
from mario_a3c.search.search import Search, Ways, _place_keys
from mario_a3c.search.searchers import Report, Searchers, Task
from tests.mario import needs_native

pytestmark = needs_native

RIGHT = 0x80


def read_only(array):
    array.flags.writeable = False
    return array


def shifted(array):
    """Return all rows but one, at an odd address."""
    rows, columns = array.shape
    return array.reshape(-1)[1 : 1 + (rows - 1) * columns].reshape(rows - 1, columns)


def processor_time_of_children():
    """Seconds that the processes which were started and have ended were really computing."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(*options):
    return explore.main([str(option) for option in options])


def test_a_way_through_1_1_is_found_and_finishes_in_the_bare_environment(tmp_path, capsys):
    out = tmp_path / "new" / "ways"
    assert run("--stages", "1-1", "--no-shorten", "--processes", 1, "--out", out) == 0
    assert [path.name for path in out.iterdir()] == ["1-1.jsonl"]
    told = capsys.readouterr().out
    assert "1-1: " in told
    assert "Found a way through all 1 stages" in told
    assert replay.main([str(out / "1-1.jsonl")]) == 0
    assert "completes, as recorded" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ways_through_all_32_stages_are_found_and_finish_in_the_bare_environment(tmp_path):
    before = processor_time_of_children()
    assert run("--seconds", 900, "--no-shorten", "--processes", 2, "--out", tmp_path) == 0
    # Two cores for two minutes, on a machine that does much else as well.
    assert processor_time_of_children() - before < 2 * 120
    ways = sorted(tmp_path.iterdir())
    assert len(ways) == 32
    assert [way.name for way in ways if replay.main([str(way)]) != 0] == []


def test_what_was_not_found_in_time_is_told(tmp_path, capsys):
    assert run("--stages", "8-4", "--seconds", 0.2, "--processes", 1, "--out", tmp_path) == 1
    assert "Found 0 stages; no way through 8-4 yet." in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--stages", "9-1"], "Stage '9-1' is unknown"),
        (["--seconds", "0"], "--processes and --seconds must be positive."),
        (["--seconds", "nan"], "--processes and --seconds must be positive."),
        (["--action-type", "fly"], "The action set 'fly' is unknown"),
        (["--processes", "0"], "--processes and --seconds must be positive."),
        (["--out", "/dev/null/ways"], "--out /dev/null/ways cannot be made: Not a directory."),
        (["--second", "9"], "The option --second is unknown; see --help. Did you mean --seconds?"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(options, told, tmp_path, capsys):
    assert run("--out", tmp_path, *options) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_without_the_native_engine_it_says_why_it_cannot_search(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(explore, "available", lambda: (False, "it is not here"))
    assert run("--out", tmp_path) == 2
    assert "needs the native engine: it is not here." in capsys.readouterr().err


def test_searching_processes_that_keep_dying_are_told_in_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(searchers, "MOST_DEATHS", 1)
    give = Searchers._give

    def give_and_kill(all_of_them, pipe, task, end):
        give(all_of_them, pipe, task, end)
        kill(all_of_them)

    monkeypatch.setattr(Searchers, "_give", give_and_kill)
    assert run("--stages", "1-1", "--processes", 1, "--out", tmp_path) == 1
    error = capsys.readouterr().err
    assert error.startswith("Searching processes died 2 times; is there enough memory?")
    assert error.count("\n") == 1


def kill(all_of_them):
    for searcher in all_of_them._searchers.values():
        searcher.process.kill()
        searcher.process.join()


@pytest.mark.parametrize("when", ["idle", "busy"])
def test_another_process_goes_on_with_what_a_dead_one_was_asked(when):
    asked = Task(1, 4, 0, b"", 60.0)
    with Searchers(1) as both:
        if when == "busy":
            both.give(asked)
        kill(both)
        if when == "idle":
            both.give(asked)
        told: list[Report] = []
        while not (told and told[-1].done):
            told += both.reports(timeout=60.0)
        assert both.num_idle == 1
    assert told[-1].best
    assert told[-1].task.seed == asked.seed
    assert 0 < told[-1].task.limit < asked.limit  # in the time that was left


def test_the_same_seed_searches_the_same_way():
    def searched(seed):
        search = Search(1, 1, seed)
        search.run(lambda: search.decisions > 2000)
        return search.decisions, search.num_places

    assert searched(1) == searched(1) != searched(2)


def test_going_on_from_the_newest_places_finds_1_1_soon():
    search = Search(1, 1, seed=0)
    search.run(lambda: search.decisions > 20_000)  # without that it takes 48,000
    assert search.best


@pytest.mark.parametrize(
    ("address", "what"),
    [(0x6D9, "forks taken rightly"), (0x6DA, "forks passed"), (0x75E, "coins"), (0x760, "area")],
)
def test_what_cannot_be_seen_on_the_map_makes_another_place(address, what):
    memory = np.zeros((2, 2048), np.uint8)
    memory[1, address] = 1
    assert len(set(_place_keys(memory))) == 2, what


def test_a_known_way_becomes_shorter_and_still_finishes():
    first = Search(1, 4, seed=0)
    first.run(lambda: False)
    second = Search(1, 4, seed=1, known=first.best)
    second.run(lambda: len(second.best) < len(first.best), until_found=False)
    assert replay.completes(Trace(1, 4, 0, 0, True, second.best))


def test_a_way_stays_what_it_was_when_a_shorter_one_leads_to_the_same_place():
    ways = Ways()
    slow = ways.add(ways.add(ways.START, 1), 2)
    beyond = ways.add(slow, 3)
    quick = ways.add(ways.START, 4)
    assert ways.buttons(beyond) == [1, 2, 3]
    assert ways.buttons(quick) == [4]
    assert ways.buttons(ways.START) == []


class TestPlay:
    def test_it_plays_as_step_does_and_keeps_every_state(self):
        stepped, played = (NativeEngine(1, 1, 2) for _ in range(2))
        buttons = np.random.default_rng(0).integers(256, size=30, dtype=np.uint8)
        snapshots = new_snapshots(30)
        assert played.play(1, buttons, 4, snapshots) == (30, 120, False)
        picture = np.zeros((2, 84, 84), np.uint8)
        for byte, snapshot in zip(buttons, snapshots, strict=True):
            stepped.step(np.full(2, byte), np.array([0, 4], np.int32), picture)
            assert stepped.save(1) == snapshot.tobytes()
        assert (snapshot_ram(snapshots)[-1] == stepped.ram[1]).all()
        assert played.save(0) == stepped.save(0)

    def test_it_stops_where_the_game_ends(self):
        engine = NativeEngine(1, 1, 1)
        snapshots = new_snapshots(200)
        begun, frames, ended = engine.play(0, np.full(200, RIGHT, np.uint8), 7, snapshots)
        assert ended
        assert begun == -(-frames // 7) < 200
        assert snapshots[begun - 1].tobytes() == engine.save(0)
        assert not snapshots[begun:].any()

    @pytest.mark.parametrize(
        ("changed", "error", "told"),
        [
            ({"game": 1}, IndexError, "there is no console"),
            ({"frames": 0}, ValueError, "frames is 0; it must be positive"),
            ({"buttons": np.zeros((2, 1), np.uint8)}, ValueError, "one dimension"),
            ({"buttons": np.zeros(2, np.int32)}, TypeError, "buttons has dtype int32"),
            ({"snapshots": new_snapshots(3)}, ValueError, "snapshots has shape"),
            ({"snapshots": new_snapshots(2)[:, 1:]}, ValueError, "snapshots has shape"),
            ({"snapshots": new_snapshots(4)[::2]}, ValueError, "C-contiguous"),
            ({"snapshots": read_only(new_snapshots(2))}, ValueError, "snapshots is read-only"),
            ({"snapshots": shifted(new_snapshots(3))}, ValueError, "multiple of 8 bytes"),
        ],
    )
    def test_wrong_arguments_are_refused(self, changed, error, told):
        engine = NativeEngine(1, 1, 1)
        arguments = {
            "game": 0,
            "buttons": np.zeros(2, np.uint8),
            "frames": 4,
            "snapshots": new_snapshots(2),
        }
        with pytest.raises(error, match=told):
            engine.play(**(arguments | changed))
