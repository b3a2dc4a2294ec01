"""Learning curves: read from runs and CSV files, averaged over seeds, drawn without a display."""

import csv
import json

import numpy as np
import pytest
from tensorboardX import SummaryWriter

from mario_a3c import plot
from mario_a3c.config import RunConfig
from mario_a3c.plot import Curve, moving_average, on_common_steps, read_curve

SIGNATURES = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.fixture
def run(tmp_path):
    """A run of CartPole that scored 10, 20 and 30."""
    folder = tmp_path / "run"
    with SummaryWriter(str(folder)) as writer:
        for step, value in ((100, 10.0), (200, 20.0), (300, 30.0)):
            writer.add_scalar("episode/return", value, step)
    config = RunConfig(env_name="CartPole-v1").to_dict()
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("step", "value"), (300, 3.0), (100, 1.0)])
    return path


def curve(*points):
    steps, values = np.array(points, dtype=np.float64).T
    return Curve("task", steps, values)


def test_the_moving_average_begins_with_the_first_value_and_forgets_it():
    averages = moving_average(np.array([8.0, 0.0, 0.0, 16.0]), 0.5)
    assert averages.tolist() == [8.0, 4.0, 2.0, 9.0]
    assert moving_average(np.array([3.0, 5.0]), 0.0).tolist() == [3.0, 5.0]


def test_a_run_is_read_with_the_name_of_its_task(run):
    read = read_curve(run, "episode/return")
    assert read.label == "CartPole-v1"
    assert read.steps.tolist() == [100, 200, 300]
    assert read.values.tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({}, "CartPole-v1"),
        ({"preset": "CartPole-v1", "seed": 2, "learning_rate": 0.5}, "CartPole-v1"),
        ({"preset": "gymnasium"}, "CartPole-v1, gymnasium"),
        ({"preset": "CartPole-v1", "algorithm": "random"}, "CartPole-v1, random"),
    ],
)
def test_runs_that_learned_otherwise_are_not_drawn_as_one(run, changes, label):
    config = RunConfig(env_name="CartPole-v1", **changes).to_dict()
    (run / "config.json").write_text(json.dumps(config))
    assert read_curve(run, "episode/return").label == label


def test_a_table_is_read_in_the_order_of_its_steps(table):
    read = read_curve(table, "episode/return")
    assert (read.label, read.steps.tolist(), read.values.tolist()) == ("table", [100, 300], [1, 3])


def test_seeds_are_compared_only_where_all_of_them_have_been():
    steps, averages = on_common_steps([curve((0, 0), (10, 10)), curve((4, 1), (20, 1))], 0.0)
    assert (steps[0], steps[-1]) == (4, 10)
    assert averages[:, 0].tolist() == [4, 1]
    assert averages[:, -1].tolist() == [10, 1]


@pytest.mark.parametrize("suffix", SIGNATURES)
def test_curves_are_drawn_without_a_display(suffix, run, table, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("DISPLAY", raising=False)
    picture = tmp_path / "new" / f"curves{suffix}"
    assert plot.main([str(run), str(run), str(table), "-o", str(picture), "--goal", "475"]) == 0
    assert picture.read_bytes().startswith(SIGNATURES[suffix])
    assert str(picture) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "There is no run nowhere."),
        (["run", "--value", "episode/luck"], "holds no 'episode/luck'"),
        (["run", "-o", "curves.bmp"], "must end in .png, .svg, .pdf"),
        (["run", "--smoothing", "1"], "--smoothing 1.0 is not allowed"),
        (["letters.csv"], "must have numbers in the columns step and value"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(arguments, told, run, capsys, monkeypatch):
    monkeypatch.chdir(run.parent)
    (run.parent / "letters.csv").write_text("step,value\na,b\n")
    assert plot.main(arguments) == 2
    printed = capsys.readouterr()
    assert told in printed.err
    assert printed.err.count("\n") == 1
