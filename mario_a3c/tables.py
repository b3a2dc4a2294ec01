"""Tables that commands write: CSV rows of what was measured, and Markdown on a page."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mario_a3c.files import write_atomically


def append_row(path: Path, columns: Sequence[str], row: Mapping[str, Any]) -> None:
    """Append a row to a CSV file, which begins with its columns' names.

    Args:
        path: the file; made if it is not there.
        columns: their names, in order.
        row: a value for each.

    Raises:
        OSError: it cannot be written.
        ValueError: the row has a column that is none of these.
    """
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file by its columns' names, none if it is not there.

    Raises:
        OSError: it cannot be read.
    """
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace a CSV file; see `append_row` for the arguments and errors."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())


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
