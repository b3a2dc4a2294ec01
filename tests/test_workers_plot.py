"""What more workers bring: drawn from the trainings in which nothing else was changed."""

import csv
import runpy
from pathlib import Path

SCRIPT = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "workers.py"))
TASK = "CartPole-v1"


def row(workers: int, **changes: str) -> dict[str, str]:
    figures = dict.fromkeys(SCRIPT["PANELS"], "7")
    row = {"task": TASK, "options": "", "workers": str(workers), "solved": "yes"}
    return row | figures | changes


def test_only_solved_trainings_with_nothing_else_changed_are_compared(tmp_path):
    four = row(4, options="--num-processes 4")
    rows = [four, row(2), row(2, seconds="9")]
    others = [
        row(2, solved="no"),
        row(2, task="Acrobot-v1"),
        row(3, options="--num-processes 3 --lr 1"),
    ]
    table = tmp_path / "trainings.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(four))
        writer.writeheader()
        writer.writerows(rows + others)
    by_workers = SCRIPT["read_trainings"](table, TASK)
    assert by_workers == {2: rows[1:], 4: [four]}
    assert list(by_workers) == [2, 4]
    SCRIPT["draw"](by_workers, TASK, tmp_path / "workers.png")
    assert (tmp_path / "workers.png").read_bytes().startswith(b"\x89PNG")
