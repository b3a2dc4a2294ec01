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
    assert publish(agents("new", score), target) == "the one that is there was measured better"
    assert score_in(target) == 2.0


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"noop_max": 0}, "--noop-max 0"),
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


def test_what_stands_there_and_is_no_agent_is_replaced(agents, tmp_path):
    target = tmp_path / "mario-1-1.safetensors"
    target.write_bytes(b"half a file")
    assert publish(agents("new", -5.0), target) == ""
    assert score_in(target) == -5.0
