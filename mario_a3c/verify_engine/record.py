"""What `mario_a3c.verify_engine` has compared, kept in a file from one run to the next.

The whole comparison takes nes-py half an hour of one core. A case that was compared before, with
the same C++ source, is not compared again.
"""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path

from mario_a3c.files import write_atomically
from mario_a3c.tables import markdown_table

COLUMNS = (
    "engine",
    "game",
    "stage",
    "player",
    "seed",
    "frames",
    "screens",
    "episodes",
    "furthest_x",
    "differences",
)
NATIVE = Path(__file__).parents[2] / "native"

Row = dict[str, str]
"""One case that was compared, by column but the first."""


def engine_digest(source: Path = NATIVE) -> str:
    """Return 12 hexadecimal digits that stand for the source of the engine.

    Raises:
        OSError: if there is no source, as where the package was installed from a wheel.
    """
    digest = hashlib.sha256()
    files = sorted(path for path in source.iterdir() if path.suffix in (".cpp", ".hpp", ".inc"))
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


class Record:
    """A file of cases that were compared, with the engine they were compared with.

    Args:
        path: the file; it begins without rows if it is not there, or is of another engine.

    Raises:
        OSError: if it, or the source of the engine, cannot be read.
        ValueError: if it is something else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine = engine_digest()
        self._rows: dict[tuple[str, ...], Row] = {}
        if not path.exists():
            return
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise ValueError(f"{path} is no record of compared cases; name another file.")
            for row in reader:
                if row.pop("engine") == self._engine:
                    self._rows[_case(row)] = row

    def has(self, row: Row) -> bool:
        """Return whether a case was compared with its seed and frames, and was equal."""
        known = self._rows.get(_case(row), {"differences": "unknown"})
        return known["differences"] == "0" and all(
            known[column] == row[column] for column in ("seed", "frames")
        )

    def add(self, row: Row) -> None:
        """Write the outcome of a case, in place of an older one.

        Raises:
            OSError: if it cannot be written.
        """
        self._rows[_case(row)] = row
        rows = [{"engine": self._engine, **known} for _, known in sorted(self._rows.items())]
        with io.StringIO(newline="") as text:
            writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            write_atomically(self._path, text.getvalue().encode())

    def table(self) -> str:
        """Return a Markdown table with a line for each game and player, and the engine's digest."""
        lines = []
        for game, title in (("smb1", "Super Mario Bros"), ("lost-levels", "The Lost Levels")):
            for player in ("random", "scripted"):
                cases = [
                    row
                    for row in self._rows.values()
                    if (row["game"], row["player"]) == (game, player)
                ]
                counts = [
                    sum(int(row[column]) for row in cases)
                    for column in ("frames", "screens", "episodes", "differences")
                ]
                lines.append([title, player, *(f"{count:,}" for count in (len(cases), *counts))])
        columns = ("game", "buttons", "stages", "frames", "screens", "episodes", "differences")
        return (
            f"{markdown_table(columns, lines)}\n\n"
            f"These are the cases compared so far of the engine whose source has the digest "
            f"`{self._engine}`."
        )


def _case(row: Row) -> tuple[str, ...]:
    return row["game"], row["stage"], row["player"]
