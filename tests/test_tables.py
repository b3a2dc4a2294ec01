"""Tables in the documentation are renewed by commands, and nothing else on the page changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mario_a3c.tables import markdown_table, renew_table


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
