"""Tables that commands write: rows are added, places on pages renewed, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mario_a3c.tables import append_row, markdown_table, renew_table


def test_rows_are_appended_below_one_line_of_names(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    append_row(table, ["x", "y"], {"y": "a, b", "x": 1})
    append_row(table, ["x", "y"], {"x": 2, "y": ""})
    assert table.read_text() == 'x,y\n1,"a, b"\n2,\n'
    with pytest.raises(ValueError, match="z"):
        append_row(table, ["x", "y"], {"z": 3})


def test_a_table_is_renewed_between_its_markers_and_the_rest_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "before\n<!-- table:a -->\nold\n<!-- end of table:a -->\nafter\n"
        "<!-- table:b -->\nother\n<!-- end of table:b -->\n"
    )
    table = markdown_table(["x", "y"], [["1", r"\2"]])
    renew_table(page, "a", table)
    assert page.read_text() == (
        "before\n<!-- table:a -->\n| x | y |\n| --- | --- |\n| 1 | \\2 |\n<!-- end of table:a -->\n"
        "after\n<!-- table:b -->\nother\n<!-- end of table:b -->\n"
    )


def test_a_page_without_a_place_for_the_table_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing here\n")
    with pytest.raises(ValueError, match="no place for the table speed"):
        renew_table(page, "speed", "| x |")
    assert page.read_text() == "nothing here\n"
