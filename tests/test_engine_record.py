"""What `mario_a3c.verify_engine` has compared is kept, and not compared again."""

import subprocess
import sys
from pathlib import Path

import pytest

from mario_a3c.envs.native_source import source_digest
from mario_a3c.tables import read_rows
from mario_a3c.verify_engine import __main__ as verify_engine
from mario_a3c.verify_engine.record import Record
from tests.mario import needs_native

CASES = ("--stages", "1-1", "--no-lost-levels", "--processes", "1")


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("before\n<!-- table:equality -->\n<!-- end of table:equality -->\nafter\n")
    return path


def outcome(**changed):
    row = {
        "game": "smb1",
        "stage": "1-1",
        "player": "random",
        "seed": "0",
        "frames": "100",
        "screens": "11",
        "episodes": "1",
        "furthest_x": "50",
        "differences": "0",
    }
    return row | changed


def test_the_equality_that_the_docs_tell_of_is_this_engines():
    """After a change of ``native/`` all of it is to be compared again: docs/engine.md says how."""
    root = Path(__file__).parent.parent
    rows = read_rows(root / "docs" / "equality.csv")
    assert {row["engine"] for row in rows} == {source_digest(root / "native")}
    assert len(rows) == 2 * (32 + 4)
    assert {(row["frames"], row["differences"]) for row in rows} == {("20000", "0")}


def test_a_case_is_known_with_its_seed_frames_and_engine_and_only_if_it_was_equal(tmp_path):
    path = tmp_path / "equality.csv"
    record = Record(path, "engine")
    record.add(outcome())
    record.add(outcome(player="scripted", differences="1"))
    again = Record(path, "engine")
    assert again.has(outcome())
    assert not again.has(outcome(player="scripted"))
    assert not again.has(outcome(stage="1-2"))
    assert not again.has(outcome(seed="1"))
    assert not again.has(outcome(frames="200"))
    assert not Record(path, "another").has(outcome())


@needs_native
def test_a_shorter_comparison_does_not_replace_a_longer_one(tmp_path, capsys):
    path = tmp_path / "equality.csv"
    Record(path, "older").add(outcome(frames="30"))
    before = path.read_text()
    assert verify_engine.main((*CASES, "--frames", "20", "--record", str(path))) == 2
    assert "equal over 30 frames, and 20 would replace it" in capsys.readouterr().err
    assert path.read_text() == before


@needs_native
def test_a_build_of_another_source_is_not_recorded(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("mario_a3c.envs.native_engine.source_digest", lambda: "another")
    path = tmp_path / "equality.csv"
    assert verify_engine.main((*CASES, "--frames", "20", "--record", str(path))) == 2
    assert "run 'pip install -e .' again." in capsys.readouterr().err
    assert not path.exists()


@needs_native
def test_a_comparison_fills_the_record_and_the_page_and_goes_on_from_the_record(
    tmp_path, page, capsys
):
    record = tmp_path / "equality.csv"
    command = (*CASES, "--frames", "20", "--record", str(record), "--page", str(page))
    assert verify_engine.main(command) == 0
    assert "| Super Mario Bros | random | 1 | 20 |" in page.read_text()
    written = record.read_text()
    assert len(written.splitlines()) == 3
    capsys.readouterr()
    assert verify_engine.main(command) == 0
    assert "has 2 of these cases" in capsys.readouterr().out
    assert record.read_text() == written


@needs_native
def test_the_command_compares_in_processes_of_its_own():
    words = ("--stages", "1-1", "--no-lost-levels", "--frames", "20")
    command = [sys.executable, "-m", "mario_a3c.verify_engine", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("0 cases with differences.\n")


@needs_native
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--stages", "9-1"), "Stage '9-1' is unknown"),
        (("--frame", "9"), "The option --frame is unknown; see --help. Did you mean --frames?"),
        (("--frames", "0"), "--processes and --frames must be positive."),
        (("--processes", "0"), "--processes and --frames must be positive."),
        (("--page", "page.md"), "name a record as well"),
        (("--record", __file__), "is no record of compared cases"),
        (("--seed", "-1"), "--seed -1 is not allowed: give 0 or more."),
        (("--stages", "none", "--no-lost-levels"), "Nothing is left to compare"),
        (("--record", "no/a.csv"), "--record no/a.csv cannot be used: No such file or directory."),
        (("--record", "."), "--record . cannot be used: it is a folder."),
        (("--record", "/proc/a.csv"), "--record /proc/a.csv cannot be used: "),
        (("--record", "a", "--page", "b"), "--page b cannot be used: No such file or directory."),
        (("--record", "a", "--page", "empty"), "empty has no place for the table equality"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(options, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("empty").touch()
    assert verify_engine.main(options) == 2
    printed, error = capsys.readouterr()
    assert printed == ""
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    assert told in error
    assert error.count("\n") == 1
