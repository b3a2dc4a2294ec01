"""The command line of train.py: what it understands, and what it refuses in one sentence."""

import dataclasses
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save as serialize
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mario_a3c import cli
from mario_a3c.checkpoint import read_tensors, save_agent, to_bytes
from mario_a3c.cli import main, parse
from mario_a3c.config import ConfigError, RunConfig
from mario_a3c.envs import engines
from mario_a3c.files import FolderLock
from mario_a3c.learning.model import ActorCritic
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.presets import presets
from mario_a3c.training.preparation import network_for, prepare
from mario_a3c.training.resume import states
from mario_a3c.training.shared import STEPS
from tests.disks import small_disk
from tests.odd_spaces import SPACES
from tests.pipes import unread

ROOT = Path(__file__).parent.parent
ELSEWHERE = "name a folder in which you may write."
SMALL = ("--lstm-size", "8", "--engine", "nes-py", "--num-processes", "1")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path / "logs"


def refusal(capsys: pytest.CaptureFixture[str], logs: Path, *words: str) -> str:
    """Return the sentence with which a command line is refused, before anything was made."""
    assert main([*words, "--log-path", str(logs)] if "--log-path" not in words else words) == 2
    output = capsys.readouterr()
    assert output.out == ""
    (sentence,) = output.err.splitlines()
    assert sentence.isprintable()
    assert len(sentence) < 1100
    assert sentence.startswith("train.py: ")
    assert sentence.endswith((".", "?"))
    assert not logs.exists() or not any(logs.iterdir())
    return sentence.removeprefix("train.py: ")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--world 9", "--world 9 is not allowed: give 1 to 8."),
        ("--stage 0", "--stage 0 is not allowed: give 1 to 4."),
        ("--world nine", "--world 'nine' is not allowed: give a whole number."),
        ("--world 1.5", "--world '1.5' is not allowed: give a whole number."),
        ("--lr=fast", "--lr 'fast' is not allowed: give a number."),
        (
            "--action-type fast",
            "--action-type 'fast' is unknown: choose from right, simple, complex, pipes.",
        ),
        (
            "--learning-rate -0.1",
            "--learning-rate -0.1 is not allowed: give a number above 0.",
        ),
        ("--learning-rate nan", "--learning-rate nan is not allowed: give a number above 0."),
        ("--learning-rate inf", "--learning-rate inf is not allowed: give a number above 0."),
        ("--lr 0", "--learning-rate 0.0 is not allowed: give a number above 0."),
        ("--gamma 1.5", "--gamma 1.5 is not allowed: give 0.0 to 1.0."),
        ("--tau -1", "--gae-lambda -1.0 is not allowed: give 0.0 to 1.0."),
        ("--beta -1", "--entropy-coef -1.0 is not allowed: give -0.1 to 1.0."),
        ("--num-processes 0", "--num-processes 0 is not allowed: give a number above 0."),
        ("--keep 0", "--keep 0 is not allowed: give a number above 0."),
        ("--engine snes", "--engine 'snes' is unknown: choose from auto, native, nes-py."),
        ("--death-cost -1", "--death-cost -1.0 is not allowed: give 0 or more."),
        ("--death-cost nan", "--death-cost nan is not allowed: give 0 or more."),
        ("--imitation-priority 11", "--imitation-priority 11.0 is not allowed: give 10 at most."),
        ("--env-name CartPole-v1 --death-cost 6", "--death-cost is for SuperMarioBros, and this"),
        (
            "--env-name CartPole-v1 --imitation-priority 1",
            "--imitation-priority is for SuperMarioBros, and this",
        ),
        ("--view near", "--view 'near' is unknown: choose from screen, close."),
        ("--optimizer sgd", "--optimizer 'sgd' is unknown: choose from adam, rmsprop."),
        ("--wrold 1", "The option --wrold is unknown; see --help. Did you mean --world?"),
        ("--shared=no", "--shared takes no value; --no-shared is the opposite."),
        ("--lr None", "--lr 'None' is not allowed: give a number."),
        ("--world", "--world needs a value; see --help."),
        ("1-1", "'1-1' belongs to no option: options begin with --."),
        ("--preset none --minibatches 5", "--minibatches 5 does not divide the 32 sequences of a"),
        (
            "--preset none --sequence-length 7",
            "--sequence-length 7 does not divide --num-local-steps 64",
        ),
        ("--preset refrence", "--preset 'refrence' is unknown: choose from"),
        ("--env-name CartPol-v1", "--env-name 'CartPol-v1' is unknown. Did you mean CartPole-v1?"),
        ("--lstm-size 1000000000", "--lstm-size 1000000000 and --hidden 64 64 make a network"),
        ("--start-from 0.7 --start-fraction 0", "--start-from 0.7 says where episodes begin"),
        ("--stages 1-1 --stage-hours 0", "--stage-hours 0.0 is not allowed: give a number above"),
        (
            "--preset none --num-games 1 --num-local-steps 1 --minibatches 1 --sequence-length 1",
            "--num-games 1 with --num-local-steps 1 leaves one advantage in a rollout",
        ),
        (
            "--env-name CartPole-v1 --imitation-coef 0.1",
            "--imitation-coef is for SuperMarioBros, and this is CartPole-v1: leave it out, or the "
            "preset that sets it.",
        ),
        (
            "--env-name CartPole-v1 --retry-fraction 0.5",
            "--retry-fraction is for SuperMarioBros, and this is CartPole-v1: leave it out",
        ),
        (
            "--retry-noise 0.1",
            "--retry-noise 0.1 is for episodes that begin before a failure, and --retry-fraction 0",
        ),
        (
            "--env-name CartPole-v1 --view close",
            "--view is for SuperMarioBros, and this is CartPole",
        ),
        ("--env-name CartPole-v1 --world 2", "--world is for SuperMarioBros, and this is CartPole"),
        (
            "--env-name CartPole-v1 --all-stages",
            "--all-stages is for SuperMarioBros, and this is CartPole-v1",
        ),
        (
            "--env-name CartPole-v1 --noop-max 5",
            "--noop-max is for SuperMarioBros, and this is CartPole-v1: leave it out.",
        ),
        (
            "--env-name CartPole-v1 --preset reference --reward ground",
            "--reward is for SuperMarioBros, and this is CartPole-v1",
        ),
        ("--env-name CartPole-v1 --frame-stack 4", "--frame-stack is for Atari, and this is Cart"),
        ("--picture-size 42", "--picture-size is for Atari, and this is SuperMarioBros"),
        (
            "--env-name PongDeterministic-v4 --action-repeat 2",
            "--action-repeat is for Gymnasium's other tasks, and this is PongDeterministic-v4",
        ),
        ("--num-seeds 3", "--num-seeds 3 is for campaigns: give --stages"),
        ("--stage-turns 3", "--stage-turns 3 is for campaigns: give --stages"),
        ("--stage-hours 1", "--stage-hours 1.0 is for campaigns: give --stages"),
        ("--warm-start", "--warm-start is for campaigns: give --stages"),
        ("--noop-max 256", "--noop-max 256 is not allowed: give 255 at most."),
        (
            "--imitation-coef 0 --imitation-coef-final 0.1",
            "--imitation-coef-final 0.1 is for the imitation of ways, and --imitation-coef 0",
        ),
        (
            "--imitation-coef 0 --imitation-priority 1",
            "--imitation-priority 1.0 is for the imitation of ways, and --imitation-coef 0",
        ),
        (
            "--env-name PongDeterministic-v4 --hide 2",
            "--hide is not possible with PongDeterministic-v4: its observations are pictures.",
        ),
        ("--load-from nowhere", "There is no checkpoint nowhere."),
        ("--load-from-previous-stage", "--load-from-previous-stage is not possible: 1-1 has"),
        (
            "--env-name CartPole-v1 --load-from-previous-stage",
            "--load-from-previous-stage is for SuperMarioBros: leave it out with CartPole-v1.",
        ),
        (
            "--world 1 --stage 2 --saved-path nowhere --load-from-previous-stage",
            "There is no checkpoint nowhere/mario-1-1.safetensors.",
        ),
        (
            "--saved-path /dev/null/agents",
            "--saved-path /dev/null/agents cannot be written to: Not a directory; name a folder",
        ),
        ("--saved-path /proc/agents", "--saved-path /proc/agents cannot be written to: "),
        ("--no-train", "--no-train is not possible: train.py trains, and play.py plays."),
        ("--hide 1", "--hide is for tasks whose observations are numbers: leave it out with"),
        ("--resume nowhere", "There is no run to resume in nowhere"),
        ("--resume last", "--resume last: there is no run of mario-1-1 in"),
    ],
)
def test_bad_values_are_refused_in_a_sentence_that_names_them(capsys, logs, words, sentence):
    assert refusal(capsys, logs, *words.split()).startswith(sentence)


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        (
            "tests.odd_spaces:TinyPictures-v0",
            "tests.odd_spaces:TinyPictures-v0 shows pictures of 7x7 pixels, and the convolutions "
            "of --network paper need 20x20 at least: give --network reference, which takes any "
            "size, or wrap the environment in gymnasium.wrappers.ResizeObservation.",
        ),
        (
            "tests.odd_spaces:StackedPictures-v0",
            "tests.odd_spaces:StackedPictures-v0 shows bytes of shape 4x84x84x3, and pictures must "
            "be HxWxC, CxHxW or, if they are grey, HxW: wrap it in "
            "gymnasium.wrappers.GrayscaleObservation before its pictures are stacked, or in "
            "FlattenObservation to have numbers.",
        ),
        (
            "PongDeterministic-v4 --picture-size 10",
            "PongDeterministic-v4 shows pictures of 10x10 pixels, and the convolutions of "
            "--network paper need 20x20 at least: give --network reference, which takes any size, "
            "or --picture-size 20 or more.",
        ),
    ],
)
def test_pictures_that_no_network_takes_are_refused(capsys, logs, task, sentence):
    assert refusal(capsys, logs, "--env-name", *task.split()) == sentence


@pytest.mark.parametrize(
    ("words", "shape"),
    [("TinyPictures-v0 --network reference", (3, 7, 7)), ("GreyPictures-v0", (1, 84, 84))],
)
def test_pictures_of_unusual_shape_get_convolutions(words, shape):
    spec = network_for(parse(f"--env-name tests.odd_spaces:{words}".split()))
    assert spec.pictures
    assert spec.observation_shape == shape


@pytest.mark.parametrize("kind", ["Observations", "Actions"])
@pytest.mark.parametrize("space", SPACES)
def test_spaces_that_are_not_supported_are_refused(capsys, logs, space, kind):
    sentence = refusal(capsys, logs, "--env-name", f"tests.odd_spaces:{space}{kind}-v0")
    verb = "shows" if kind == "Observations" else "takes"
    assert f"{verb} {space} {kind.lower()}, which are not supported: they must be" in sentence


def test_a_device_that_is_not_there_is_refused(capsys, logs, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    sentence = refusal(capsys, logs, "--device", "cuda")
    assert sentence == (
        "--device cuda is not possible: PyTorch finds no CUDA device here; give cpu or auto."
    )


@pytest.mark.parametrize("folder", ["/dev/null/logs", "/proc/logs"])
def test_a_log_folder_that_cannot_be_written_to_is_refused(capsys, logs, folder):
    sentence = refusal(capsys, logs, "--log-path", folder, *SMALL)
    assert sentence.startswith(f"--log-path {folder} cannot be written to: ")


def test_a_full_or_read_only_disk_is_refused_and_no_run_folder_stays(capsys, tmp_path):
    with small_disk(tmp_path / "full", 2**17) as disk:
        sentence = refusal(capsys, disk, "--run-name", "run", *SMALL)
        assert (
            sentence == f"{disk / 'run'} cannot be written to: No space left on device; {ELSEWHERE}"
        )
    with small_disk(tmp_path / "sealed", 2**20, ",ro") as disk:
        sentences = [refusal(capsys, disk, *SMALL)]
        sentences.append(refusal(capsys, tmp_path / "logs", "--saved-path", str(disk), *SMALL))
        for option, sentence in zip(("log", "saved"), sentences, strict=True):
            assert sentence == (
                f"--{option}-path {disk} cannot be written to: Read-only file system; {ELSEWHERE}"
            )


def test_broken_and_foreign_agents_are_refused(capsys, logs, tmp_path):
    path = tmp_path / "agent.safetensors"
    spec = ModelSpec((4, 84, 84), 7, "paper", 8)
    save_agent(path, ActorCritic(spec), {})
    whole = path.read_bytes()
    words = ("--load-from", str(path), *SMALL)
    for content, reason in (
        (whole[: len(whole) // 2], "is damaged"),
        (b"", "is damaged"),
        (serialize({"x": torch.ones(1)}, {"format": "pt"}), "not a checkpoint of this program"),
    ):
        path.write_bytes(content)
        assert reason in refusal(capsys, logs, *words)
    for changed, reason in (
        ({"num_actions": 12}, "its num_actions is 12, this run's 7"),
        ({"network": "wide"}, "its network is wide, this run's paper"),
        ({"lstm_size": 16}, "its lstm_size is 16, this run's 8"),
    ):
        save_agent(path, ActorCritic(dataclasses.replace(spec, **changed)), {})
        sentence = refusal(capsys, logs, *words)
        assert sentence.startswith(f"{path} holds another network or action set")
        assert reason in sentence


def test_an_agent_that_learned_with_another_view_is_refused(capsys, logs, tmp_path):
    path = tmp_path / "agent.safetensors"
    save_agent(path, ActorCritic(ModelSpec((4, 84, 84), 7, "paper", 8)), {})  # says nothing of it
    assert refusal(capsys, logs, "--load-from", str(path), "--view", "close", *SMALL) == (
        f"{path} holds an agent that learned with --view screen, and this run has --view close: "
        "give the same, or another agent."
    )


def test_an_agent_goes_on_with_the_view_that_it_learned_with(capsys, logs, tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "_run", lambda trainer, interruption: 0)
    path = tmp_path / "agent.safetensors"
    save_agent(
        path, ActorCritic(ModelSpec((4, 84, 84), 7, "paper", 8)), {"config": {"view": "close"}}
    )
    words = ("--load-from", str(path), *SMALL)
    folders = ("--log-path", str(logs), "--saved-path", str(tmp_path / "agents"))
    assert "learned with --view close" in refusal(capsys, logs, *words)
    assert main([*words, "--view", "close", *folders]) == 0


def test_what_was_fitted_to_the_rollouts_is_said_and_written_down(
    capsys, logs, tmp_path, monkeypatch
):
    monkeypatch.setattr(cli, "_run", lambda trainer, interruption: 0)
    words = ("--env-name", "CartPole-v1", "--recurrent", "--num-local-steps", "20")
    folders = ("--log-path", str(logs), "--saved-path", str(tmp_path / "agents"))
    assert main([*words, "--run-name", "run", *folders]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1:] == [
        "To divide a rollout of 8 games x 20 steps: --sequence-length 10 instead of 16."
    ]
    written = json.loads((logs / "run" / "config.json").read_text())
    assert (written["num_local_steps"], written["sequence_length"]) == (20, 10)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run that was begun and ended at once."""
    words = ("--log-path", str(tmp_path / "runs"), "--run-name", "run", "--num-games", "2")
    trainer, _ = prepare(parse([*SMALL, *words, "--minibatches", "2"]))
    assert trainer._lock is not None
    trainer._lock.release()
    return trainer.folder


def test_a_resumed_run_keeps_its_settings_but_for_those_asked_for(run):
    config = parse(["--resume", str(run), "--lr", "0.1", "--no-until-solved"])
    assert (config.num_games, config.minibatches, config.lstm_size) == (2, 2, 8)
    assert (config.learning_rate, config.until_solved) == (0.1, False)
    assert config.resume == str(run)


@pytest.mark.parametrize(
    ("limit", "had"),
    [
        (("--hours", "0.5"), {"seconds": 1800.0}),
        (("--max-episodes", "9"), {"episodes": 9}),
        (("--num-global-steps", "2000"), {"steps": 2000}),
    ],
)
def test_a_run_tells_which_limit_it_has_reached(tmp_path, limit, had):
    folders = ("--log-path", str(tmp_path), "--run-name", "run")
    trainer, _ = prepare(parse(["--env-name", "CartPole-v1", *folders, *limit]))
    assert not trainer.limit_reached()
    trainer.seconds, trainer.episodes = had.get("seconds", 0.0), had.get("episodes", 0)
    trainer.shared.counters[0, STEPS] = had.get("steps", 0)
    assert trainer.limit_reached().replace(",", "") == " ".join(limit)


def test_what_a_run_has_learned_last_is_evaluated_before_it_ends(tmp_path):
    words = ("--env-name", "CartPole-v1", "--num-global-steps", "3000", "--eval-interval", "1000")
    folders = ("--log-path", str(tmp_path), "--saved-path", str(tmp_path / "agents"))
    assert main([*words, *folders, "--run-name", "run"]) == 0
    evaluations = EventAccumulator(str(tmp_path / "run")).Reload().Scalars("evaluation/score")
    assert evaluations[-1].step >= 3000


def test_a_run_that_is_resumed_after_its_time_says_so(tmp_path, capsys):
    words = ("--env-name", "CartPole-v1", "--saved-path", str(tmp_path / "agents"))
    trainer, _ = prepare(parse([*words, "--log-path", str(tmp_path), "--hours", "0.5"]))
    trainer.seconds = 1800.0
    trainer.save()
    assert trainer._lock is not None
    trainer._lock.release()
    assert main(["--resume", str(trainer.folder), *words[2:]]) == 0
    assert "It has had all of its --hours 0.5; to continue it, give more." in (
        capsys.readouterr().out.splitlines()
    )


def test_a_resumed_run_has_the_weights_moments_and_counters_it_was_saved_with(tmp_path):
    words = ("--log-path", str(tmp_path), "--run-name", "run", "--num-games", "2")
    saved, _ = prepare(parse([*SMALL, *words, "--minibatches", "2"]))
    parts = {"weights": saved.shared.weights, **saved.shared.optimizer_state}
    for number, part in enumerate(parts.values(), 1):
        part.copy_(torch.arange(part.numel()).view(part.shape) % 7 + number)
    saved.shared.counters[0] = torch.arange(1, saved.shared.counters.shape[1] + 1)
    saved.seconds, saved.episodes = 12.5, 34
    saved.save()
    assert saved._lock is not None
    saved._lock.release()

    resumed, _ = prepare(parse(["--resume", str(saved.folder)]))
    after = {"weights": resumed.shared.weights, **resumed.shared.optimizer_state}
    assert after.keys() == parts.keys() > {"exp_avg", "exp_avg_sq", "step"}
    for name, part in parts.items():
        assert torch.equal(after[name], part), name
    assert torch.equal(resumed.shared.counters.sum(0), saved.shared.counters.sum(0))
    assert (resumed.seconds, resumed.episodes) == (12.5, 34)


def test_the_last_run_of_a_task_is_found(run, capsys, logs):
    runs = run.parent
    (runs / "run").rename(runs / "mario-1-1-old")
    assert parse(["--resume", "last", "--log-path", str(runs)]).num_games == 2
    sentence = refusal(capsys, logs, "--resume", "last", "--stage", "2", "--log-path", str(runs))
    assert sentence == f"--resume last: there is no run of mario-1-2 in {runs}."


def test_the_last_run_of_a_task_is_found_by_its_settings_and_not_by_its_name(tmp_path):
    logs = ("--log-path", str(tmp_path))
    runs = {
        "mine": ("--env-name", "Pendulum-v1"),
        "Pendulum-v1-hide-2-now": ("--env-name", "Pendulum-v1", "--hide", "2"),
        "broken": ("--env-name", "Pendulum-v1"),
    }
    for age, (name, words) in enumerate(reversed(runs.items())):
        trainer, _ = prepare(parse([*words, *logs, "--run-name", name]))
        os.utime(states(trainer.folder)[0], (1e9 - age, 1e9 - age))
    (tmp_path / "broken" / "config.json").write_text("[")
    for name in ("mine", "Pendulum-v1-hide-2-now"):
        assert parse([*runs[name], *logs, "--resume", "last"]).resume == str(tmp_path / name)


def test_a_run_goes_on_without_the_agent_it_began_with(tmp_path):
    agent = tmp_path / "agent.safetensors"
    words = ("--env-name", "CartPole-v1", "--log-path", str(tmp_path), "--run-name", "run")
    config = parse([*words, "--load-from", str(agent)])
    save_agent(agent, ActorCritic(network_for(config)), {})
    trainer, _ = prepare(config)
    assert trainer._lock is not None
    trainer._lock.release()
    agent.unlink()
    resumed, _ = prepare(parse(["--resume", str(trainer.folder)]))
    assert resumed.config.load_from == str(agent)


def test_a_resumed_run_cannot_change_its_task_beginning_or_network(capsys, logs, run):
    for words, sentence in (
        (
            ("--preset", "reference"),
            f"--preset says what a run begins with, and the one in {run} goes",
        ),
        (("--preset", "nonsense"), "--preset says what a run begins with, and the one in"),
        (("--load-from", "agent"), "--load-from says what a run begins with, and the one in"),
        (("--load-from-previous-stage",), "--load-from-previous-stage says what a run begins with"),
        (("--stage", "2"), f"--stage 2 is not possible with --resume: the run in {run} has"),
        (("--action-type", "right"), "--action-type right is not possible with --resume"),
        (("--view", "close"), "--view close is not possible with --resume"),
        (("--lstm-size", "16"), f"The state in {run} is of another network or optimizer"),
        (("--optimizer", "rmsprop"), f"The state in {run} is of another network or optimizer"),
    ):
        assert refusal(capsys, logs, "--resume", str(run), *words).startswith(sentence)


def rewrite(run: Path, **config: Any) -> None:
    """Change the settings in a run's state, digest and all."""
    (path,) = states(run)
    tensors, metadata = read_tensors(path)
    metadata["config"].update(config)
    path.write_bytes(to_bytes(tensors, metadata))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"unknown": 1}, "holds settings of another version"),
        ({"world": 99}, "--world 99 is not allowed"),
        ({"hours": 10**400}, "holds settings of another version: hours cannot be"),
        ({"world": "1"}, "holds settings of another version"),
        ({"lstm_size": 10**9}, "make a network that is not possible"),
        ({"num_processes": 10**9}, "--num-processes 1000000000 is not allowed: give 1024 at"),
        ({"num_games": 10**9}, "--num-games 1000000000 is not allowed"),
        (
            {"env_name": "evil:Env-v0", "display_buttons": False, "gradual_noops": False},
            "imports Python code, evil:Env-v0: if you trust it",
        ),
        ({"env_module": "evil"}, "imports Python code, evil: if you trust it"),
        ({"env_module": "e\n\x1b[31mvil"}, r"imports Python code, e\n\x1b[31mvil: if you trust it"),
        ({"env_module": "e" * 10_000}, "eee … eee"),
        ({"network": "e\n\x1b[31m" * 1_000}, " … "),
    ],
    ids=lambda value: str(value)[:50],
)
def test_dangerous_settings_in_a_state_are_refused(capsys, logs, run, change, sentence):
    rewrite(run, **change)
    assert sentence in refusal(capsys, logs, "--resume", str(run))


def test_a_folder_belongs_to_one_run_at_a_time(capsys, logs, run):
    lock = FolderLock(run)
    sentence = refusal(capsys, logs, "--resume", str(run))
    assert sentence == f"{run} is in use by another run; end that one first."
    lock.release()
    words = ("--log-path", str(run.parent), "--run-name", "run", *SMALL)
    before = sorted(run.iterdir())
    assert main(words) == 2
    assert f"--run-name run: {run} exists already" in capsys.readouterr().err
    assert sorted(run.iterdir()) == before


def test_underscores_dashes_and_the_names_of_other_programs_are_understood():
    words = (
        "--lr 0.5 --tau 0.25 --beta 0.125 --num_processes 3 --save_interval 9 --saved_path here "
        "--num_games=4 --action_set complex --total-steps 1e6 --use_gpu"
    )
    config = parse(words.split())
    assert config.learning_rate == 0.5
    assert config.gae_lambda == 0.25
    assert config.entropy_coef == 0.125
    assert config.num_processes == 3
    assert config.save_interval == 9
    assert config.saved_path == "here"
    assert config.num_games == 4
    assert config.action_type == "complex"
    assert config.num_global_steps == 1e6
    assert (config.device, config.use_gpu) == ("cuda", False)


def test_the_reference_preset_is_the_textbook_and_options_override_it():
    config = parse(["--preset", "reference"])
    assert config == dataclasses.replace(RunConfig(), **presets()["reference"], preset="reference")
    assert (config.num_games, config.epochs, config.minibatches) == (1, 1, 1)
    assert config.is_plain_a3c
    assert (config.learning_rate, config.gamma, config.num_local_steps) == (1e-4, 0.9, 50)
    assert (config.network, config.lstm_size, config.max_grad_norm) == ("reference", 512, 250)
    config = parse(["--num-games=2", "--preset=reference", "--gamma", "0.5"])
    assert (config.num_games, config.gamma, config.learning_rate) == (2, 0.5, 1e-4)


def test_help_tells_every_option_its_default_and_what_it_is(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    text = re.sub(r"[\s│]+", " ", capsys.readouterr().out)
    for field in dataclasses.fields(RunConfig):
        assert f"--{field.name.replace('_', '-')}" in text, field.name
    assert "--num-workers INT, --num-processes INT" in text
    assert "World of Super Mario Bros, 1 to 8. (default: 1)" in text
    assert text.count("(default: ") == len(dataclasses.fields(RunConfig))


def test_nobody_has_to_read_the_help_to_its_end(monkeypatch):
    with unread() as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with pytest.raises(SystemExit) as left:
            main(["--help"])
        assert left.value.code == 0


def test_a_game_that_cannot_be_begun_is_refused_in_a_sentence(capsys, logs):
    name = "tests.broken_games:RaisesInFirstReset-v0"
    told = refusal(capsys, logs, "--env-name", name)
    assert told == f"{name} cannot be begun: RuntimeError: the power is out."


def test_a_campaign_refuses_stages_that_are_not_in_the_game(capsys, logs):
    assert refusal(capsys, logs, "--stages", "9-1").startswith("--stages 9-1: ")


@pytest.mark.parametrize("words", [("--stages", "1-1"), ("--stage", "1")])
def test_an_engine_that_is_not_there_is_refused(words, capsys, logs, monkeypatch):
    monkeypatch.setattr(engines, "native_available", lambda: (False, "it was not compiled"))
    told = refusal(capsys, logs, *words, "--engine", "native")
    assert told == "The native engine is not available: it was not compiled; choose nes-py."


def test_the_command_line_is_what_train_py_runs():
    assert "from mario_a3c.cli import main" in (ROOT / "train.py").read_text()
    assert cli.main is main


ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text()
    | st.lists(st.none())
)


@settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "100")))
@given(st.dictionaries(st.sampled_from([f.name for f in dataclasses.fields(RunConfig)]), ANYTHING))
def test_no_stored_settings_do_more_than_be_refused(change):
    try:
        config = RunConfig.from_dict({**RunConfig().to_dict(), **change})
        config.validate()
    except (TypeError, ConfigError):  # which whoever reads a file tells in a sentence
        return
    assert config == dataclasses.replace(RunConfig(), **config.to_dict())
    assert all(number < 2**63 for number in vars(config).values() if type(number) is int)


@pytest.mark.parametrize(
    "change",
    [
        {"seconds": float("nan")},
        {"seconds": -1.0},
        {"seconds": "soon"},
        {"seconds": float("inf")},
        {"spawned": -1},
        {"spawned": 1.5},
        {"spawned": 2**40},
        {"episodes": -1},
        {"episodes": 2**63},
        {"episodes": [1]},
        {"episodes": float("inf")},
        {"earlier": 3},
        {"earlier": [{"steps": 1}]},
    ],
    ids=str,
)
def test_impossible_figures_in_a_state_are_refused(capsys, logs, run, change):
    (path,) = states(run)
    tensors, metadata = read_tensors(path)
    path.write_bytes(to_bytes(tensors, metadata | change))
    assert f"The state in {run} " in refusal(capsys, logs, "--resume", str(run))


def test_counters_below_zero_in_a_state_are_refused(capsys, logs, run):
    (path,) = states(run)
    tensors, metadata = read_tensors(path)
    tensors["counters"][0, 0] = -1
    path.write_bytes(to_bytes(tensors, metadata))
    assert "counts what cannot be counted" in refusal(capsys, logs, "--resume", str(run))
