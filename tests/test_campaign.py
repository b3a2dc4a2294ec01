"""Campaigns: which stages they train, in which order, and that they can be taken up again."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mario_a3c.checkpoint import load_agent
from mario_a3c.cli import main
from mario_a3c.config import RunConfig
from mario_a3c.faults import RunError
from mario_a3c.files import FolderLock
from mario_a3c.stages import parse_stages
from mario_a3c.training.audition import furthest_agent
from mario_a3c.training.campaign import TURNS_PER_SEED, Campaign, run_campaign
from mario_a3c.training.resume import states
from mario_a3c.training.trainer import Trainer
from tests.runs import become_ordinary
from tests.small import SPEC, small_config

ONE_SEED = range(1, 2)


def test_stages_are_named_one_by_one_by_world_or_all() -> None:
    assert parse_stages("1-1,4-*") == [(1, 1), (4, 1), (4, 2), (4, 3), (4, 4)]
    assert parse_stages("*-4")[:2] == [(1, 4), (2, 4)]
    assert len(parse_stages("all")) == 32
    assert parse_stages("1-2, 1-2") == [(1, 2)]


@pytest.mark.parametrize("text", ["9-1", "1-5", "", "1", "one-one"])
def test_an_unknown_stage_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(ValueError, match="is unknown"):
        parse_stages(text)


def test_a_run_that_is_resumed_is_no_campaign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    Trainer(small_config(), SPEC, folder).save()
    assert main(["--resume", str(folder), "--stages", "1-1"]) == 2
    assert capsys.readouterr().err == (
        f"train.py: --resume {folder} continues one run, and the command of a campaign the whole "
        "campaign: leave --resume out, or --stages.\n"
    )


def test_unsolved_stages_take_turns_and_solved_ones_rest(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, [(1, 1), (1, 2), (1, 3)], seeds=ONE_SEED, options=[])
    first, second, third = campaign.records
    first.turns, second.turns, third.turns = 1, 1, 0
    third.solved = True
    assert campaign.next_record() is first
    first.turns = 2
    assert campaign.next_record() is second
    first.solved = second.solved = True
    assert campaign.next_record() is None


def test_a_stage_gets_no_more_turns_than_it_may(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, [(1, 1), (1, 2)], seeds=ONE_SEED, options=[], most_turns=2)
    first, second = campaign.records
    first.turns, second.turns = 1.999, 1  # of parts of turns, which are rounded
    assert campaign.next_record() is second
    second.turns = 1.2
    assert campaign.share_left(second, 1.0) == pytest.approx(0.8)
    assert campaign.share_left(second, 0.5) == 0.5
    second.turns = 2
    assert campaign.next_record() is None
    more = Campaign(tmp_path, [(1, 1)], seeds=ONE_SEED, options=[])
    more.records[0].turns = 100
    assert more.next_record() is more.records[0]
    assert more.share_left(more.records[0], 1.0) == 1.0


def test_a_campaign_ends_where_all_turns_are_used_up_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "campaign"
    folder.mkdir()
    had = [{"world": 1, "stage": stage, "seed": 1, "turns": 2.0, "began": 0} for stage in (1, 2)]
    (folder / "campaign.json").write_text(json.dumps(had))
    words = ["--stages", "1-1,1-2", "--engine", "nes-py", "--log-path", str(tmp_path)]
    assert main([*words, "--stage-turns", "2"]) == 0
    told = capsys.readouterr().out
    assert "1-1-seed1, 1-2-seed1 had all of --stage-turns 2 unsolved" in told


def test_stages_that_have_their_turn_are_not_given_another_beside_it(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, [(1, 1), (1, 2)], seeds=ONE_SEED, options=[])
    assert campaign.next_record({"1-1-seed1"}) is campaign.records[1]
    assert campaign.next_record({"1-1-seed1", "1-2-seed1"}) is None


def test_several_seeds_of_a_stage_are_trained_like_several_stages(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, [(1, 1), (1, 2)], range(5, 7), [])
    names = ["1-1-seed5", "1-2-seed5", "1-1-seed6", "1-2-seed6"]
    folders = [campaign.command(record, hours=1)[1].name for record in campaign.records]
    assert [record.key for record in campaign.records] == folders == names
    first, *_, last = campaign.records
    assert campaign.next_record(set(names[:3])) is last
    first.solved = True
    assert campaign.next_record({"1-2-seed5"}) is campaign.records[2]
    first.turns = TURNS_PER_SEED
    assert campaign.command(first, hours=1)[1].name == "1-1-seed7"  # not what others have
    first.turns += 1
    (tmp_path / "1-1-seed7").mkdir()
    assert campaign.command(first, hours=1)[1].name == "1-1-seed7-again"  # it left no state
    campaign.save()
    again = Campaign(tmp_path, [(1, 1)], range(5, 8), [])
    assert [record.solved for record in again.records] == [True, False, False]


def test_another_seed_does_not_take_over_the_run_that_a_record_has_come_to(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, [(1, 1)], ONE_SEED, [])
    (record,) = campaign.records
    campaign.command(record, hours=1)
    record.turns = TURNS_PER_SEED
    _, folder = campaign.command(record, hours=1)
    assert folder.name == "1-1-seed2"
    folder.mkdir()
    (folder / "resume-000000000001.safetensors").touch()
    both = Campaign(tmp_path, [(1, 1)], range(1, 3), [])
    words, other = both.command(both.records[1], hours=1)
    assert "--resume" not in words
    assert other != folder
    words, same = both.command(both.records[0], hours=1)
    assert same == folder
    assert "--resume" in words


def test_another_seed_follows_a_run_that_has_had_all_its_steps(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, [(1, 1)], ONE_SEED, [])
    (record,) = campaign.records
    _, folder = campaign.command(record, hours=1)
    folder.mkdir()
    (folder / "resume-000000000001.safetensors").touch()
    for used_up, begins in ((False, "1-1-seed1"), (True, "1-1-seed2")):
        (folder / "status.json").write_text(json.dumps({"out_of_steps": used_up}))
        campaign.end_turn(record, folder, status=0)
        assert campaign.command(record, hours=1)[1].name == begins


def test_a_run_that_has_had_all_its_steps_goes_on_where_there_are_more(tmp_path: Path) -> None:
    few = Campaign(tmp_path, [(1, 1)], ONE_SEED, ["--num-global-steps", "1000"])
    (record,) = few.records
    _, folder = few.command(record, hours=1)
    folder.mkdir()
    (folder / "resume-000000000001.safetensors").touch()
    (folder / "status.json").write_text(json.dumps({"out_of_steps": True}))
    few.end_turn(record, folder, status=0)
    more = Campaign(tmp_path, [(1, 1)], ONE_SEED, ["--num-global-steps", "2000"])
    assert more.command(more.records[0], hours=1)[1] == folder


def test_a_record_of_before_goes_on_with_its_run(tmp_path: Path) -> None:
    folder = tmp_path / "1-1-seed2"
    folder.mkdir()
    (folder / "resume-000000000001.safetensors").touch()
    old = {"world": 1, "stage": 1, "seed": 1, "turns": TURNS_PER_SEED + 1, "run": folder.name}
    (tmp_path / "campaign.json").write_text(json.dumps([old]))
    campaign = Campaign(tmp_path, [(1, 1)], ONE_SEED, [])
    assert campaign.command(campaign.records[0], hours=1)[1] == folder


@pytest.mark.parametrize("words", ["--saved-path /proc/agents", "--load-from nowhere"])
def test_what_no_stage_could_do_is_refused_before_the_first(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--log-path", str(tmp_path / "logs")]
    assert main(["--stages", "1-1", "--engine", "nes-py", *words.split(), *places]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "logs").exists()


def test_a_turn_elsewhere_finds_there_what_the_campaign_has_here(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, [(1, 1)], seeds=ONE_SEED, options=[])
    there = Path("there")
    words, folder = campaign.command(campaign.records[0], 1, there)
    assert folder == tmp_path / "1-1-seed1"
    assert words[words.index("--log-path") + 1] == "there"
    folder.mkdir()
    (folder / "resume-000000000001.safetensors").touch()
    words, _ = campaign.command(campaign.records[0], 1, there)
    assert words[words.index("--resume") + 1] == "there/1-1-seed1"


def test_a_run_that_goes_on_is_not_told_again_what_it_began_with(tmp_path: Path) -> None:
    options = ["--preset=mario", "--load-from", "a.safetensors", "--load-from-previous-stage"]
    options += ["--entropy-coef", "-0.03"]
    campaign = Campaign(tmp_path, [(1, 1)], seeds=ONE_SEED, options=options)
    words, folder = campaign.command(campaign.records[0], 1)
    assert words[3:9] == options
    folder.mkdir()
    (folder / "resume-000000000001.safetensors").touch()
    words, _ = campaign.command(campaign.records[0], 1)
    assert words[3:6] == ["--entropy-coef", "-0.03", "--world"]


def test_a_campaign_remembers_what_it_did(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, [(1, 1), (1, 2)], seeds=ONE_SEED, options=[])
    campaign.records[0].solved = True
    campaign.save()
    again = Campaign(tmp_path, [(1, 2), (1, 1)], seeds=ONE_SEED, options=[])
    assert [record.name for record in again.records] == ["1-2", "1-1"]
    assert again.records[1].solved
    other = Campaign(tmp_path, [(2, 1)], seeds=ONE_SEED, options=[])
    other.save()
    assert Campaign(tmp_path, [(1, 1)], seeds=ONE_SEED, options=[]).records[0].solved


def test_a_stage_that_was_solved_by_other_options_gets_another_turn(tmp_path: Path) -> None:
    easy, hard = ["--solved-share", "0"], ["--solved-share", "0.9"]
    campaign = Campaign(tmp_path, [(1, 1)], seeds=ONE_SEED, options=easy)
    record = campaign.records[0]
    record.status = {"solved": True}
    campaign.end_turn(record, tmp_path, 0)
    assert Campaign(tmp_path, [(1, 1)], seeds=ONE_SEED, options=easy).next_record() is None
    again = Campaign(tmp_path, [(1, 1)], seeds=ONE_SEED, options=hard)
    assert again.next_record() is again.records[0]


def test_a_run_that_fails_or_is_broken_off_is_not_solved_by_what_an_earlier_one_has_left(
    tmp_path: Path,
) -> None:
    campaign = Campaign(tmp_path, [(1, 1)], ONE_SEED, [])
    record = campaign.records[0]
    (tmp_path / "status.json").write_text('{"solved": true}', "utf-8")
    campaign.end_turn(record, tmp_path, 2)
    assert (record.failed, record.solved, record.turns) == (True, False, 1)
    campaign.end_turn(record, tmp_path, None)
    assert (record.failed, record.solved, record.turns) == (False, False, 1)
    campaign.end_turn(record, tmp_path, 0)
    assert (record.failed, record.solved, record.turns) == (False, True, 1)


def test_a_run_starts_from_the_agent_that_is_chosen_for_its_stage(tmp_path: Path) -> None:
    chosen = {(1, 2): Path("other.safetensors")}
    campaign = Campaign(
        tmp_path, [(1, 1), (1, 2)], ONE_SEED, [], lambda world, stage: chosen.get((world, stage))
    )
    first, _ = campaign.command(campaign.records[0], hours=1)
    second, _ = campaign.command(campaign.records[1], hours=1)
    assert "--load-from" not in first
    assert second[second.index("--load-from") + 1] == "other.safetensors"


def test_a_stage_starts_from_the_agent_that_gets_furthest_in_it(tmp_path: Path) -> None:
    names = ("mario-1-3", "mario-1-4")
    for name in names:
        shutil.copy(f"saved_models/{name}.safetensors", tmp_path)
    (tmp_path / "mario-2-1.safetensors").write_text("not an agent")
    chosen = furthest_agent(tmp_path, _config_of("mario-1-4"))
    assert chosen is not None
    assert chosen.stem == "mario-1-4"
    assert furthest_agent(tmp_path, RunConfig(world=1, stage=4, action_type="pipes")) is None
    closer = replace(_config_of("mario-1-4"), view="close")
    assert furthest_agent(tmp_path, closer) is None
    assert furthest_agent(tmp_path / "nobody", RunConfig(world=1, stage=4)) is None


def _config_of(agent: str) -> RunConfig:
    path = Path("saved_models") / f"{agent}.safetensors"
    return RunConfig.from_dict(load_agent(path).metadata["config"])


def with_command(campaign: Campaign, program: str) -> Campaign:
    """Let all runs of a campaign be a few lines of Python instead of training."""
    command = [sys.executable, "-c", program]
    replaced: Any = campaign
    replaced.command = lambda record, hours, home=None: (command, campaign.folder)
    return campaign


def test_a_campaign_whose_runs_keep_failing_ends_with_their_last_words(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, [(1, 1), (1, 2)], seeds=ONE_SEED, options=[])
    with_command(campaign, "print('out of order'); raise SystemExit(1)")
    with pytest.raises(RunError, match="3 runs in a row failed; the last one said: out of order"):
        run_campaign(campaign, 0, 1, lambda: False)
    assert sum(record.turns for record in campaign.records) == 3


def test_a_turn_that_the_end_of_a_campaign_cuts_short_counts_as_the_part_that_there_was(
    tmp_path: Path,
) -> None:
    campaign = Campaign(tmp_path, [(1, 1), (1, 2)], seeds=ONE_SEED, options=[])
    asked: list[float] = []

    def command(record, hours, home=None):
        asked.append(hours)
        return [sys.executable, "-c", ""], campaign.folder

    replaced: Any = campaign
    replaced.command = command
    run_campaign(campaign, 0.5, 2, lambda: len(asked) >= 2)
    assert asked[0] == pytest.approx(0.5, abs=0.01)
    first, second = campaign.records
    assert first.turns == pytest.approx(0.25, abs=0.01)
    assert campaign.next_record() is second
    run_campaign(campaign, 0, 2, lambda: len(asked) >= 4)
    assert asked[2] == 2
    assert second.turns == 1


def test_a_failure_now_and_then_does_not_end_a_campaign(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, [(1, 1)], seeds=ONE_SEED, options=[])
    trace = tmp_path / "failed"
    program = f"from pathlib import Path; p = Path({str(trace)!r}); f = p.exists(); "
    with_command(campaign, program + "p.unlink() if f else p.touch(); raise SystemExit(f)")
    turns = campaign.records[0]
    run_campaign(campaign, 0, 1, lambda: turns.turns >= 8)
    assert turns.turns >= 8


def test_two_campaigns_in_one_folder_are_refused(tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "campaign"
    folder.mkdir()
    lock = FolderLock(folder)
    words = ["--stages", "1-1", "--engine", "nes-py", "--log-path", str(tmp_path)]
    assert main(words) == 2
    sentence = f"train.py: {folder} is in use by another run; end that one first.\n"
    assert capsys.readouterr().err == sentence
    lock.release()
    (folder / "campaign.json").write_text("{")
    assert main(words) == 2
    assert "is not the record of a campaign" in capsys.readouterr().err
    assert main([*words, "--run-name", "x", "--log-path", "/proc/logs"]) == 2
    assert capsys.readouterr().err.startswith("train.py: /proc/logs/x cannot be written to: ")


CAMPAIGN = """
import sys, pathlib
sys.path.insert(0, ".")
from tests.test_campaign import TURNS_PER_SEED, Campaign, run_campaign, with_command
program = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
campaign = Campaign(pathlib.Path(sys.argv[1]), [(1, 1)], range(1, 2), [])
run_campaign(with_command(campaign, program), 0, 1, lambda: False)
"""


def pid_in(log: Path, campaign: subprocess.Popen[Any]) -> str:
    """Return what the run of a campaign writes into its log: the number of its process."""
    while not (log.exists() and log.read_text().endswith("\n")):
        assert campaign.poll() is None
        time.sleep(0.05)
    return log.read_text().strip()


def test_a_killed_campaign_leaves_no_run_behind(tmp_path: Path) -> None:
    campaign = subprocess.Popen([sys.executable, "-c", CAMPAIGN, str(tmp_path)])
    run = Path("/proc", pid_in(tmp_path / "1-1-seed1.log", campaign))
    assert run.exists()
    campaign.kill()
    campaign.wait()
    begun = time.monotonic()
    while run.exists() and "State:\tZ" not in (run / "status").read_text():
        assert time.monotonic() - begun < 10
        time.sleep(0.05)


STAND_IN = """#!/bin/sh
trap '%s' TERM
echo $$
while true; do sleep 0.1; done
"""
"""Stands for the runs of a campaign."""
WITH_A_STAND_IN = """
import sys
from mario_a3c.cli import main
from mario_a3c.training import campaign
campaign.PATIENCE = 1.0
sys.executable = sys.argv[1]
raise SystemExit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("number", "deed"),
    [(signal.SIGINT, "exit 143"), (signal.SIGTERM, ":")],
    ids=["ends", "does not listen"],
)
def test_a_signal_ends_a_campaign_and_its_run_even_if_that_does_not_listen(
    number: signal.Signals, deed: str, tmp_path: Path
) -> None:
    program = tmp_path / "program"
    program.write_text(STAND_IN % deed)
    program.chmod(0o755)
    words = ["--stages", "1-1", "--engine", "nes-py", "--log-path", str(tmp_path / "logs")]
    campaign = subprocess.Popen(
        [sys.executable, "-c", WITH_A_STAND_IN, str(program), *words],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(become_ordinary, None),
    )
    run = Path("/proc", pid_in(tmp_path / "logs" / "campaign" / "1-1-seed1.log", campaign))
    campaign.send_signal(number)
    assert campaign.communicate(timeout=60)[1] == ""
    assert campaign.returncode == 128 + number
    assert not run.exists()
    (record,) = json.loads((tmp_path / "logs" / "campaign" / "campaign.json").read_text())
    assert record["turns"] == 0  # one that was broken off does not count


@pytest.mark.slow
def test_a_campaign_gives_every_stage_a_turn_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    command = [sys.executable, "train.py", "--stages", "1-1,1-2", "--log-path", str(tmp_path)]
    command += ["--saved_path", str(tmp_path / "agents"), "--stage-hours", "0.003"]
    command += ["--start-fraction", "0", "--imitation-coef", "0", "--hours", "0.015"]
    turns = 0
    for _ in range(2):
        subprocess.run(command, check=True)
        records = json.loads((tmp_path / "campaign" / "campaign.json").read_text("utf-8"))
        before, turns = turns, sum(record["turns"] for record in records)
        assert turns > before
    assert [(record["world"], record["stage"]) for record in records] == [(1, 1), (1, 2)]
    for record in records:
        assert record["turns"]
        newest = states(tmp_path / "campaign" / f"1-{record['stage']}-seed1")[0]
        assert int(newest.stem.removeprefix("resume-")) > 0
