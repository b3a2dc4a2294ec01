"""What `mario_a3c.verify_engine` has compared, kept in a file from one run to the next.

The whole comparison takes nes-py half an hour of one core. A case that was compared before, with
the same C++ source, is not compared again.
"""

from __future__ import annotations

import csv
from pathlib import Path

from mario_a3c.tables import markdown_table, write_rows

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

Row = dict[str, str]
"""One case that was compared, by column but the first."""


class Record:
    """A file of cases that were compared, with the engine they were compared with.

    Args:
        path: the file; it begins without rows if it is not there, or is of another engine.
        engine: the digest of the source that the engine was built from.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is something else.
    """

    def __init__(self, path: Path, engine: str) -> None:
        self._path = path
        self._engine = engine
        self._rows: dict[tuple[str, ...], Row] = {}
        self._equal_frames: dict[tuple[str, ...], int] = {}
        if not path.exists():
            return
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise ValueError(f"{path} is no record of compared cases; name another file.")
            for row in reader:
                if row["differences"] == "0":
                    self._equal_frames[_case(row)] = int(row["frames"])
                if row.pop("engine") == self._engine:
                    self._rows[_case(row)] = row

    def has(self, row: Row) -> bool:
        """Return whether a case was compared with its seed and frames, and was equal."""
        known = self._rows.get(_case(row), {"differences": "unknown"})
        return known["differences"] == "0" and all(
            known[column] == row[column] for column in ("seed", "frames")
        )

    def check_replaceable(self, row: Row) -> None:
        """Raise ``ValueError`` if a case was equal over more frames, on whatever engine."""
        frames = self._equal_frames.get(_case(row), 0)
        if frames > int(row["frames"]):
            raise ValueError(
                f"{self._path} holds {row['game']} {row['stage']} {row['player']}, equal over "
                f"{frames} frames, and {row['frames']} would replace it: name another record."
            )

    def add(self, row: Row) -> None:
        """Write the outcome of a case, in place of an older one.

        Raises:
            OSError: if it cannot be written.
        """
        self._rows[_case(row)] = row
        rows = [{"engine": self._engine, **known} for _, known in sorted(self._rows.items())]
        write_rows(self._path, COLUMNS, rows)

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
