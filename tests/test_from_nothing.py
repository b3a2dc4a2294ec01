"""The table of what a campaign from nothing took: what is noted, and what replaces what."""

from pathlib import Path

import pytest

from benchmarks import from_nothing
from benchmarks.from_nothing import Row, in_all, merged, row_of, table_of

RECORD = {
    "world": 7,
    "stage": 2,
    "run_seed": 3,
    "solved": True,
    "seconds": 754.4,
    "status": {"steps": 912_345},
}


def _row(stage: str, seconds: int, sampled: int, *, replayed: bool = True) -> Row:
    return {
        "stage": stage,
        "seconds": str(seconds),
        "steps": "1000000",
        "greedy": "1",
        "replayed": str(int(replayed)),
        "sampled": str(sampled),
    }


def test_a_stage_is_noted_with_all_its_turns_and_what_its_agent_plays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mario-7-2.safetensors").touch()
    played = {"greedy": True, "replayed": False, "sampled": 171}
    monkeypatch.setattr(from_nothing, "measure_mario", lambda _: played)
    assert row_of(RECORD, tmp_path, {}) == {
        "stage": "7-2",
        "seed": "3",
        "solved": "1",
        "seconds": "754",
        "steps": "912345",
        "greedy": "1",
        "replayed": "0",
        "sampled": "171",
    }


def test_only_a_stage_that_has_had_a_turn_since_is_played_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mario-7-2.safetensors").touch()
    monkeypatch.setattr(from_nothing, "measure_mario", lambda _: {"sampled": 171})
    noted = {"7-2": row_of(RECORD, tmp_path, {})}
    monkeypatch.setattr(from_nothing, "measure_mario", lambda _: {"sampled": 180})
    assert row_of(RECORD, tmp_path, noted) == noted["7-2"]
    assert row_of(RECORD | {"seconds": 800.0}, tmp_path, noted)["sampled"] == "180"


def test_a_stage_without_an_agent_finishes_nothing(tmp_path: Path) -> None:
    row = row_of(RECORD | {"solved": False}, tmp_path, {})
    assert (row["solved"], row["greedy"], row["sampled"]) == ("0", "0", "0")


def test_a_later_campaign_replaces_the_rows_of_its_stages_alone() -> None:
    old, other, new = _row("1-2", 60, 10), _row("1-1", 60, 20), _row("1-2", 120, 30)
    assert merged([old, other], [new]) == [other, new]


def test_the_table_and_its_sum_tell_minutes_and_who_finishes() -> None:
    rows = [_row("1-1", 5400, 190), _row("3-4", 1800, 160), _row("8-4", 3600, 159, replayed=False)]
    lines = table_of(rows).splitlines()
    assert lines[0] == "| world | stage 1 | stage 2 | stage 3 | stage 4 |"
    assert lines[2] == "| 1 | 90.0: 190 | - | - | - |"
    assert lines[4] == "| 3 | - | - | - | 30.0: 160 |"
    assert lines[9] == "| 8 | - | - | - | 60.0: 159* |"
    assert in_all(rows) == (
        "3 stages took 3.0 hours and 3,000,000 steps; 2 are finished by the likeliest actions, "
        "2 in at least 80% of 200 sampled episodes and 1 in 95%."
    )
