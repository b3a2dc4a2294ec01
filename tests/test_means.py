"""What each means of training is worth: that it is left out, and the table of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.means import COLUMNS, MEANS, means_table
from mario_a3c.cli import parse
from mario_a3c.tables import append_row, read_rows


@pytest.mark.parametrize("means", list(MEANS)[1:-1])
def test_what_is_left_out_is_a_default_and_nothing_else_changes(means):
    everything, without = parse([]), parse(MEANS[means])
    names = [
        word[2:].removeprefix("no-").replace("-", "_") for word in MEANS[means] if "--" in word
    ]
    assert all(getattr(everything, name) != getattr(without, name) for name in names)
    assert replace(without, **{name: getattr(everything, name) for name in names}) == everything


def test_textbook_a3c_is_a_preset():
    assert parse(MEANS[list(MEANS)[-1]]).preset == "reference"


def test_seeds_stand_beside_each_other_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    table = tmp_path / "means.csv"
    assert read_rows(table) == []
    first, second = list(MEANS)[:2]
    for row in (
        _row("3-3", first, "2", "812", "0.125"),
        _row("3-3", first, "1", "1408", "0.081"),
        _row("1-1", second, "1", "40", "0.000"),
    ):
        append_row(table, COLUMNS, {"steps": "9", "seconds": "1", **row})
    lines = means_table(read_rows(table)).splitlines()
    assert lines[0] == "| left out | 1-1 | 3-3 |"
    assert lines[2:4] == [f"| {first} | - | 1,408 (8%), 812 (12%) |", f"| {second} | 40 (0%) | - |"]
    assert len(lines) == 4


def _row(stage: str, means: str, seed: str, mean_x: str, finish: str) -> dict[str, str]:
    return {"stage": stage, "means": means, "seed": seed, "mean_x": mean_x, "finish": finish}
