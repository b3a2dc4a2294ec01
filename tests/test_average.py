"""The mean of a run's checkpoints is an agent like any other."""

from __future__ import annotations

import pytest
import torch

from benchmarks.averaging import save_mean
from mario_a3c.average import main
from mario_a3c.benchmark.mario import training_of
from mario_a3c.checkpoint import load_agent, read_tensors
from mario_a3c.cli import parse
from mario_a3c.learning.flat import FlatParameters
from mario_a3c.learning.model import ActorCritic
from mario_a3c.training.preparation import network_for
from mario_a3c.training.resume import save_state, states
from mario_a3c.training.shared import STEPS

PLACE = "/somewhere/of/mine"


@pytest.fixture(autouse=True)
def threads():
    """Leave other tests the threads that an evaluation does without."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def run(tmp_path):
    """A run's folder with three checkpoints; returns it and their weights, the newest first."""
    config = parse(["--env-name", "CartPole-v1", "--device", "cpu", "--log-path", PLACE])
    spec = network_for(config)
    folder = tmp_path / "run"
    folder.mkdir()
    told = {"seconds": 7.0, "earlier": [], "ancestors": [], "spec": spec.to_dict()}
    told["config"] = config.to_dict()
    all_weights: list[torch.Tensor] = []
    for steps in (100, 200, 300):
        torch.manual_seed(steps)
        weights = FlatParameters(ActorCritic(spec)).values.clone()
        counters = torch.zeros(2, 4, dtype=torch.int64)
        counters[:, STEPS] = steps // 2
        statistics = torch.zeros(1, 3, 2, dtype=torch.float64)
        tensors = {"weights": weights, "counters": counters, "statistics": statistics}
        save_state(folder, steps, tensors, told, keep=3)
        all_weights.insert(0, weights)
    return folder, all_weights


@pytest.mark.parametrize(("options", "count"), [([], 3), (["--last", "2"], 2)])
def test_an_agent_has_the_mean_of_the_weights_and_tells_so(run, tmp_path, options, count):
    folder, weights = run
    path = tmp_path / "mean.safetensors"
    assert main([str(folder), str(path), "--episodes", "3", *options]) == 0
    agent = load_agent(path)
    values = FlatParameters(agent.model).values
    expected = torch.stack(weights[:count]).mean(dim=0)
    torch.testing.assert_close(values, expected, rtol=1e-3, atol=1e-6)  # saved in half precision
    told = agent.metadata
    assert (told["task"], told["steps"], told["averaged"]) == ("CartPole-v1", 300, count)
    assert told["evaluation"]["score"] > 0
    assert PLACE not in str(told)  # an agent is for others, too
    assert f"mean of {count} checkpoints" in training_of(told)["means"]


def test_one_checkpoint_has_no_mean(run, tmp_path, capsys):
    assert main([str(run[0]), str(tmp_path / "agent"), "--last", "1"]) == 2
    assert "at least 2" in capsys.readouterr().err


def test_where_it_cannot_be_written_it_says_where_before_it_plays(
    run, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("mario_a3c.average.Evaluator", None)
    path = tmp_path / "no" / "agent"
    assert main([str(run[0]), str(path), "--episodes", "1"]) == 2
    assert str(path) in capsys.readouterr().err


def test_checkpoints_of_different_networks_have_no_mean(run, tmp_path, capsys):
    folder, weights = run
    tensors, told = read_tensors(states(folder)[0])
    save_state(folder, 400, {**tensors, "weights": weights[0][1:]}, told, keep=4)
    path = tmp_path / "agent"
    assert main([str(folder), str(path)]) == 2
    assert "different networks" in capsys.readouterr().err
    assert not path.exists()


def test_a_run_that_would_import_code_is_not_played(run, tmp_path, capsys):
    folder, _ = run
    tensors, told = read_tensors(states(folder)[0])
    told = {**told, "config": {**told["config"], "env_name": "some_module:CartPole-v1"}}
    save_state(folder, 400, tensors, told, keep=4)
    assert main([str(folder), str(tmp_path / "agent")]) == 2
    assert "imports Python code, some_module:CartPole-v1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("missing", "sentence"), [("counters", "or of no run."), ("config", "another version")]
)
def test_checkpoints_that_are_no_states_of_a_run_are_refused(
    run, tmp_path, capsys, missing, sentence
):
    folder, _ = run
    for path in states(folder):
        tensors, told = read_tensors(path)
        tensors.pop(missing, None)
        told.pop(missing, None)
        save_state(folder, int(path.stem[-12:]), tensors, told, keep=4)
    assert main([str(folder), str(tmp_path / "agent")]) == 2
    assert sentence in capsys.readouterr().err


def test_the_mean_over_the_last_part_of_a_run_counts_later_checkpoints_more(run, tmp_path):
    folder, (newest, middle, oldest) = run
    path = tmp_path / "mean.safetensors"
    save_mean(folder, 0.5, path)  # weights count by the steps that they belong to: 1, 3 and 5 parts
    values = FlatParameters(load_agent(path).model).values
    expected = (1 * oldest + 3 * middle + 5 * newest) / 9
    torch.testing.assert_close(values, expected, rtol=1e-3, atol=1e-6)
