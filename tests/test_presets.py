"""Presets: applied by the task's id, overridden by options, and each one able to learn."""

import dataclasses

import pytest
import torch

from mario_a3c.cli import parse
from mario_a3c.config import ConfigError, RunConfig
from mario_a3c.envs.traces import Trace
from mario_a3c.presets import presets, settings_for
from tests.alone import task_config, train_alone


def test_a_task_starts_from_the_preset_with_its_id():
    config = parse(["--env-name", "CartPole-v1"])
    expected = presets()["CartPole-v1"]
    assert {name: getattr(config, name) for name in expected} == expected
    assert config.preset == "CartPole-v1"


def test_a_module_in_front_of_an_id_does_not_hide_its_preset():
    assert parse(["--env-name", "gymnasium:CartPole-v1"]).preset == "CartPole-v1"


def test_any_other_task_starts_from_the_general_preset():
    assert parse(["--env-name", "MountainCar-v0"]).preset == "gymnasium"
    assert parse(["--env", "ALE/Breakout-v5"]).preset == "atari"


def test_options_override_a_preset_wherever_they_stand():
    config = parse(["--gamma", "0.5", "--env-name=CartPole-v1", "--recurrent"])
    assert (config.gamma, config.recurrent) == (0.5, True)
    assert config.gae_lambda == presets()["CartPole-v1"]["gae_lambda"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            "--lr 1e-4 --gamma 0.99 --gae-lambda 1.0 --entropy-coef 0.01 --value-loss-coef 0.5 "
            "--max-grad-norm 50 --seed 1 --num-processes 4 --num-steps 20 "
            "--max-episode-length 1000000 --env-name PongDeterministic-v4 --no-shared",
            {
                "learning_rate": 1e-4,
                "gae_lambda": 1.0,
                "entropy_coef": 0.01,
                "value_loss_coef": 0.5,
                "max_grad_norm": 50.0,
                "num_processes": 4,
                "num_local_steps": 20,
                "max_episode_length": 1_000_000,
                "env_name": "PongDeterministic-v4",
                "shared": False,
            },
        ),
        (
            "--env-name CartPole-v1 --train --lr 5e-4 --update-freq 20 --max-eps 1000 "
            "--gamma 0.99 --save-dir agents",
            {
                "learning_rate": 5e-4,
                "num_local_steps": 20,
                "max_episodes": 1000,
                "gamma": 0.99,
                "saved_path": "agents",
            },
        ),
        (
            "--env-name CartPole-v1 --algorithm random --max-eps 4000",
            {"algorithm": "random", "max_episodes": 4000},
        ),
    ],
    ids=["pytorch-a3c", "the Keras tutorial", "its random baseline"],
)
def test_command_lines_that_people_know_are_understood(words, expected):
    config = parse(words.split())
    assert {name: getattr(config, name) for name in expected} == expected


def test_being_told_to_train_changes_nothing():
    words = ["--env-name", "CartPole-v1"]
    assert parse([*words, "--train"]) == parse(words)


@pytest.mark.parametrize(
    ("name", "everywhere"), [("mario", False), ("mario-settle", False), ("mario-sure", True)]
)
def test_what_a_stage_has_of_its_own_goes_for_presets_of_mario(name, everywhere):
    config = parse(["--world", "8", "--stage", "4", "--preset", name])
    assert config.preset == name
    assert (config.action_type, config.ground_of_ways) == ("pipes", True)
    assert config.learning_rate == presets()[name]["learning_rate"]
    other = parse(["--world", "8", "--stage", "3", "--preset", name])
    assert (other.action_type, other.ground_of_ways) == ("simple", everywhere)


def test_a_stages_own_settings_are_stronger_than_those_of_a_preset(monkeypatch):
    tables = {
        "mario": {"gamma": 0.5},
        "other": {"base": "mario", "gamma": 0.6, "epochs": 2},
        "mario-1-2": {"base": "mario", "gamma": 0.7},
    }
    monkeypatch.setattr("mario_a3c.presets._tables", lambda: tables)
    config = RunConfig(world=1, stage=2, preset="other")
    assert settings_for(config) == ("other", {"gamma": 0.7, "epochs": 2})


def test_what_a_stage_has_of_its_own_does_not_go_for_the_textbooks_preset():
    config = parse(["--world", "8", "--stage", "4", "--preset", "reference"])
    assert (config.action_type, config.ground_of_ways) == ("complex", False)


@pytest.mark.parametrize(
    ("words", "sequence_length", "minibatches"),
    [
        ("--env-name CartPole-v1 --recurrent --num-local-steps 20", 10, 2),
        ("--env-name Pendulum-v1 --update-freq 5", 16, 5),
        ("--env-name Pendulum-v1 --update-freq 5 --recurrent", 5, 4),
        ("--env-name Pendulum-v1 --recurrent --num-games 3 --num-local-steps 32", 16, 6),
        ("--env-name CartPole-v1 --recurrent --num-steps 19", 19, 2),
        ("--world 1 --num_local_steps=20", 10, 8),
        ("--preset none --num-local-steps 20", 10, 4),
    ],
)
def test_a_preset_is_fitted_to_the_users_rollouts(words, sequence_length, minibatches):
    config = parse(words.split())
    assert (config.sequence_length, config.minibatches) == (sequence_length, minibatches)


@pytest.mark.parametrize(
    ("words", "learning_rate_final", "entropy_coef_final"),
    [
        ("", 1e-4, 0.0005),
        ("--lr 5e-5", 5e-5, 0.0005),
        ("--lr 1e-3 --beta 0.0001", 1e-4, 0.0001),
        ("--lr 5e-5 --learning-rate-final 2e-4", 2e-4, 0.0005),
        ("--preset mario-settle", 1e-4, -0.03),
        ("--preset mario-settle --entropy-coef -0.01", 1e-4, -0.01),
        ("--preset mario-sure --entropy-coef 0.02", 2e-5, -0.03),
        ("--preset mario-sure --entropy-coef -0.05", 2e-5, -0.05),
    ],
)
def test_what_a_preset_lets_fall_does_not_rise_from_what_the_user_gives(
    words, learning_rate_final, entropy_coef_final
):
    config = parse(["--world", "1", *words.split()])
    assert config.learning_rate_final == learning_rate_final
    assert config.entropy_coef_final == entropy_coef_final


@pytest.mark.parametrize("name", presets())
def test_a_preset_fits_its_own_rollouts(name):
    expected = presets()[name]
    config = parse(["--preset", name])
    assert {field: getattr(config, field) for field in expected} == expected


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        ("--recurrent --num-local-steps 20 --sequence-length 16", "--sequence-length 16"),
        ("--recurrent --num-local-steps 20 --sequence_length=16", "--sequence-length 16"),
        ("--update-freq 5 --num-games 4 --minibatches 8", "--minibatches 8"),
        ("--recurrent --num-local-steps 20 --minibatches 3", "--minibatches 3"),
    ],
)
def test_what_the_user_asks_for_is_refused_where_it_does_not_fit(words, refused):
    with pytest.raises(ConfigError, match=f"{refused} does not divide"):
        parse(["--env-name", "CartPole-v1", *words.split()])


def test_none_leaves_presets_out():
    config = parse(["--env-name", "CartPole-v1", "--preset", "none"])
    assert config == RunConfig(env_name="CartPole-v1", preset="none")


def test_a_preset_may_name_its_task():
    config = parse(["--preset", "pendulum-recurrent"])
    assert (config.env_name, config.hide, config.recurrent) == ("Pendulum-v1", (2,), True)
    assert config.task == "Pendulum-v1-hide-2"


def test_an_unknown_preset_is_answered_with_the_nearest_one():
    with pytest.raises(ConfigError, match=r"'refrence' is unknown.* Did you mean reference\?"):
        parse(["--preset", "refrence"])


@pytest.mark.parametrize("name", presets())
def test_every_preset_builds_its_network_and_takes_an_update(name, tmp_path):
    wanted = RunConfig(preset=name).env_name if name.startswith(("mario", "reference")) else name
    generic = {"gymnasium": "MountainCar-v0", "atari": "ALE/Breakout-v5"}
    config = task_config(generic.get(wanted, wanted), preset=name)
    games = min(config.num_games, 4)
    way = Trace(1, 1, seed=0, noops=0, completed=True, buttons=bytes(64))
    (tmp_path / "1-1.jsonl").write_text(f"{way.to_json()}\n")
    small = dataclasses.replace(
        config,
        num_games=games,
        epochs=1,
        num_global_steps=config.num_local_steps * games,  # one rollout
        engine="auto",
        paths=str(tmp_path),
    )
    model, reports = train_alone(small, tmp_path)
    (report,) = reports.taken
    assert report.figures["gradient_norm"] > 0
    assert all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters())


def test_an_old_configuration_is_understood_and_survives_json():
    config = parse(["--preset", "pendulum-recurrent"])
    fields = config.to_dict() | {"hide": [2], "hidden": [64, 64]}
    assert RunConfig.from_dict(fields) == config
    del fields["recurrent"]
    assert RunConfig.from_dict(fields).recurrent


def test_steps_are_dealt_out_one_by_one_unless_an_lstm_needs_them_in_a_row():
    config = RunConfig(num_local_steps=20, sequence_length=16, recurrent=False)
    config.validate()
    assert config.unroll == 1
    assert RunConfig(num_local_steps=32, sequence_length=16).unroll == 16
