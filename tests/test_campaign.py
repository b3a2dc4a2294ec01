"""Campaigns: which stages they train, in which order, and that they can be taken up again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mario_a3c.audition import furthest_agent
from mario_a3c.campaign import Campaign
from mario_a3c.config import RunConfig
from mario_a3c.resume import states
from mario_a3c.stages import parse_stages


def test_stages_are_named_one_by_one_by_world_or_all() -> None:
    assert parse_stages("1-1,4-*") == [(1, 1), (4, 1), (4, 2), (4, 3), (4, 4)]
    assert parse_stages("*-4")[:2] == [(1, 4), (2, 4)]
    assert len(parse_stages("all")) == 32
    assert parse_stages("1-2, 1-2") == [(1, 2)]


@pytest.mark.parametrize("text", ["9-1", "1-5", "", "1", "one-one"])
def test_an_unknown_stage_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(ValueError, match="is unknown"):
        parse_stages(text)


def test_unsolved_stages_take_turns_and_solved_ones_rest(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, [(1, 1), (1, 2), (1, 3)], seed=1, options=[])
    first, second, third = campaign.records
    first.turns, second.turns, third.turns = 1, 1, 0
    third.solved = True
    assert campaign.next_record() is first
    first.turns = 2
    assert campaign.next_record() is second
    first.solved = second.solved = True
    assert campaign.next_record() is None


def test_a_campaign_remembers_what_it_did(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, [(1, 1), (1, 2)], seed=1, options=[])
    campaign.records[0].solved = True
    campaign.save()
    again = Campaign(tmp_path, [(1, 2), (1, 1)], seed=1, options=[])
    assert [record.name for record in again.records] == ["1-2", "1-1"]
    assert again.records[1].solved
    other = Campaign(tmp_path, [(2, 1)], seed=1, options=[])
    other.save()
    assert Campaign(tmp_path, [(1, 1)], seed=1, options=[]).records[0].solved


def test_a_run_starts_from_the_agent_that_is_chosen_for_its_stage(tmp_path: Path) -> None:
    chosen = {(1, 2): Path("other.safetensors")}
    campaign = Campaign(
        tmp_path, [(1, 1), (1, 2)], 1, [], lambda world, stage: chosen.get((world, stage))
    )
    first, _ = campaign.command(campaign.records[0], hours=1)
    second, _ = campaign.command(campaign.records[1], hours=1)
    assert "--load-from" not in first
    assert second[second.index("--load-from") + 1] == "other.safetensors"


def test_a_stage_is_auditioned_for_by_the_agents_of_other_stages_that_fit() -> None:
    agents = Path("saved_models")
    chosen = furthest_agent(agents, RunConfig(world=1, stage=2))
    assert chosen is not None
    assert chosen.stem != "mario-1-2"
    assert furthest_agent(agents, RunConfig(world=1, stage=2, action_type="pipes")) != chosen
    assert furthest_agent(agents / "nobody", RunConfig(world=1, stage=2)) is None


@pytest.mark.slow
def test_a_campaign_gives_every_stage_a_turn_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    command = [sys.executable, "train.py", "--stages", "1-1,1-2", "--log-path", str(tmp_path)]
    command += ["--saved_path", str(tmp_path / "agents"), "--stage-hours", "0.003"]
    subprocess.run([*command, "--hours", "0.005"], check=True)
    subprocess.run([*command, "--hours", "0.005"], check=True)
    records = json.loads((tmp_path / "campaign" / "campaign.json").read_text("utf-8"))
    assert [record["turns"] for record in records] == [2, 2]
    assert all(record["status"]["steps"] > 0 for record in records)
    assert states(tmp_path / "campaign" / records[0]["run"])
