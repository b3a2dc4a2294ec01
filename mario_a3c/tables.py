"""Markdown tables, and their places in the documentation that commands renew."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from mario_a3c.files import write_atomically


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def renew_table(page: Path, name: str, table: str) -> None:
    """Put a table between its markers in a page; see `renewed`.

    Raises:
        ValueError: the page has no such markers.
        OSError: it cannot be read or written.
    """
    write_atomically(page, renewed(page, name, table).encode())


def renewed(page: Path, name: str, table: str) -> str:
    """Return a page with another table between its markers.

    Args:
        page: has the lines ``<!-- table:NAME -->`` and ``<!-- end of table:NAME -->``.
        name: of the table.
        table: the text between them.

    Raises:
        ValueError: the page has no such markers.
        OSError: it cannot be read.
    """
    begin, end = f"<!-- table:{name} -->", f"<!-- end of table:{name} -->"
    text = page.read_text("utf-8")
    pattern = f"{re.escape(begin)}.*?{re.escape(end)}"
    text, count = re.subn(pattern, lambda _: f"{begin}\n{table}\n{end}", text, flags=re.DOTALL)
    if not count:
        raise ValueError(f"{page} has no place for the table {name}: {begin} and {end} mark it.")
    return text
