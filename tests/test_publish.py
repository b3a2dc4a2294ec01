"""Which agent stands in ``saved_models/``: nothing better is lost, and only like is compared."""

import pytest

from mario_a3c.checkpoint import load_agent, save_agent
from mario_a3c.config import RunConfig
from mario_a3c.learning.model import ActorCritic
from mario_a3c.training.publish import publish
from tests.small import SPEC


@pytest.fixture
def agents(tmp_path):
    """Return a function that saves an agent of 1-1 with a score, measured with some settings."""

    def saved(name, score, **settings):
        config = RunConfig(**settings).to_dict()
        path = tmp_path / name
        save_agent(path, ActorCritic(SPEC), {"config": config, "evaluation": {"score": score}})
        return path

    return saved


def score_in(path):
    return load_agent(path).metadata["evaluation"]["score"]


def test_an_agent_is_put_where_none_is_and_replaces_a_worse_one(agents, tmp_path):
    target = tmp_path / "saved" / "mario-1-1.safetensors"
    assert publish(agents("first", 1.0), target) == ""
    assert publish(agents("better", 2.0), target) == ""
    assert score_in(target) == 2.0


@pytest.mark.parametrize("score", [1.0, 2.0])
def test_a_better_agent_or_one_as_good_is_kept(agents, score):
    target = agents("there", 2.0)
    assert "was measured as well or better" in publish(agents("new", score), target)
    assert score_in(target) == 2.0


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"noop_max": 0}, "--noop-max 0"),
        ({"stall_limit": 0}, "--stall-limit 0"),
        ({"eval_greedy": True}, "--eval-greedy True"),
        ({"max_episode_length": 50, "env_name": "Acrobot-v1"}, "--max-episode-length 50"),
    ],
)
def test_a_high_score_under_easier_conditions_replaces_no_agent_of_the_usual_ones(
    agents, settings, told
):
    usual = {name: value for name, value in settings.items() if name == "env_name"}
    target = agents("there", 2.0, **usual)
    assert told in publish(agents("easy", 9.0, **settings), target)
    assert score_in(target) == 2.0


def test_under_the_same_odd_conditions_the_better_one_stays_and_a_usual_one_replaces_both(agents):
    target = agents("there", 2.0, noop_max=0)
    assert publish(agents("worse", 1.0, noop_max=0), target)
    assert publish(agents("better", 3.0, noop_max=0), target) == ""
    assert publish(agents("usual", 1.0), target) == ""
    assert score_in(target) == 1.0


def test_odd_conditions_of_two_kinds_do_not_compare_and_what_is_not_played_with_is_none(agents):
    target = agents("there", 2.0, noop_max=0)
    assert "--noop-max 5" in publish(agents("odder", 9.0, noop_max=5), target)
    target = agents("there", 2.0, env_name="Acrobot-v1", eval_greedy=True)
    better = agents("better", 3.0, env_name="Acrobot-v1", eval_greedy=True, noop_max=0)
    assert publish(better, target) == ""


def test_a_run_that_found_nothing_better_since_says_where_its_agent_is(agents):
    target = agents("there", 2.0)
    assert publish(agents("same", 2.0), target) != ""
    (best := target.with_name("best")).write_bytes(target.read_bytes())
    assert publish(best, target) == ""


def test_an_agent_that_cannot_be_read_is_put_nowhere(tmp_path):
    (best := tmp_path / "best.safetensors").write_bytes(b"half a file")
    assert "cannot be read" in publish(best, tmp_path / "mario-1-1.safetensors")
    assert not (tmp_path / "mario-1-1.safetensors").exists()


def test_what_stands_there_and_is_no_agent_is_replaced(agents, tmp_path):
    target = tmp_path / "mario-1-1.safetensors"
    target.write_bytes(b"half a file")
    assert publish(agents("new", -5.0), target) == ""
    assert score_in(target) == -5.0
