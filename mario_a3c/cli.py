"""The command line of ``train.py``: from words to a checked `RunConfig`, and to a run."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
import tyro

from mario_a3c.checkpoint import Agent, CheckpointError, load_agent, load_state
from mario_a3c.config import ConfigError, RunConfig
from mario_a3c.display import Display
from mario_a3c.envs.engines import choose_engine
from mario_a3c.envs.factory import make_env
from mario_a3c.envs.gymnasium_tasks import TaskError
from mario_a3c.model import ModelSpec
from mario_a3c.monitor import Monitor
from mario_a3c.presets import settings_for
from mario_a3c.processes import Interruption
from mario_a3c.trainer import RunError, Trainer

BAD_INPUT = 2


def parse(arguments: Sequence[str]) -> RunConfig:
    """Return the settings that a command line asks for: its options, over its preset, over ours.

    It is read twice: first for the task and the preset, then with what they are worth as defaults.

    Raises:
        ConfigError: an unknown preset or a value that is not allowed.
    """
    wanted = _read([word for word in arguments if word not in ("-h", "--help")], RunConfig())
    name, settings = settings_for(wanted)
    config = _read(arguments, dataclasses.replace(RunConfig(), **settings))
    config = dataclasses.replace(config, preset=name)
    config.validate()
    return config


def _read(arguments: Sequence[str], default: RunConfig) -> RunConfig:
    return tyro.cli(
        RunConfig,
        args=list(arguments),
        default=default,
        prog="train.py",
        config=(tyro.conf.AvoidSubcommands,),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; return the exit status: 0 done, 1 failed, 2 bad input, 128+n ended by signal n."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        trainer, sentence = _prepare(parse(arguments))
    except (ConfigError, CheckpointError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return BAD_INPUT
    print(sentence, flush=True)
    return _run(trainer)


def _prepare(config: RunConfig) -> tuple[Trainer, str]:
    """Check everything that can be refused, then make the run's folder and its shared state."""
    config = dataclasses.replace(config, device=_device(config.device))
    resumed = _resumed_folder(config) if config.resume else None
    if resumed is not None:
        config = _resumed_config(config, resumed)
    engine, sentence = _engine(config)
    config = dataclasses.replace(config, engine=engine)
    spec = _spec(config)
    initial = _initial_agent(config, spec)
    folder = resumed or _new_folder(config)
    trainer = Trainer(config, spec, folder)
    if resumed is not None:
        trainer.restore()
        sentence += f" Continuing {folder} at step {trainer.shared.steps:,}."
    elif initial is not None:
        trainer.start_from(initial.model)
    text = json.dumps(config.to_dict(), indent=2)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")
    return trainer, sentence


def _run(trainer: Trainer) -> int:
    config, folder = trainer.config, trainer.folder
    monitor = Monitor(folder, trainer.shared.steps)
    monitor.add_config(config.to_dict())
    status = 0
    with Interruption() as interruption, Display(trainer, monitor) as display:
        try:
            trainer.run(monitor, display.refresh, lambda: interruption.signal is not None)
        except RunError as error:
            print(f"train.py: {error}", file=sys.stderr)
            status = 1
    monitor.close()
    if trainer.solved:
        print(f"Solved after {trainer.shared.steps:,} steps, {trainer.seconds:,.0f} s.")
    print(f"The run is in {folder}; continue it with --resume {folder}.")
    kept = trainer.publish()
    if kept:
        print(f"Its best agent is in {kept}.")
    return 128 + interruption.signal if interruption.signal is not None else status


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda is not possible: PyTorch finds no CUDA device here.")
    return name


def _engine(config: RunConfig) -> tuple[str, str]:
    try:
        return choose_engine(config.engine)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _spec(config: RunConfig) -> ModelSpec:
    try:
        env = make_env(config, num_envs=1, seed=0)
    except TaskError as error:
        raise ConfigError(str(error)) from error
    env.close()
    return ModelSpec.for_task(env.single_observation_space, env.single_action_space, config)


def _initial_agent(config: RunConfig, spec: ModelSpec) -> Agent | None:
    """Return the agent whose weights to start from, if the run asks for some."""
    if config.load_from_previous_stage:
        world, stage = divmod((config.world - 1) * 4 + config.stage - 2, 4)
        if world < 0:
            raise ConfigError(
                "--load-from-previous-stage is not possible: 1-1 has no stage before."
            )
        path = Path(config.saved_path) / f"mario-{world + 1}-{stage + 1}.safetensors"
    elif config.load_from:
        path = Path(config.load_from)
    else:
        return None
    agent = load_agent(path)
    if agent.model.spec != spec:
        raise ConfigError(
            f"{path} holds another network or action set ({agent.model.spec}) than this run's "
            f"({spec}): give the same --network, --lstm-size and --action-type."
        )
    return agent


def _resumed_folder(config: RunConfig) -> Path:
    if config.resume != "last":
        return Path(config.resume)
    runs = sorted(
        Path(config.log_path).glob(f"{config.task}-*/resume.safetensors"),
        key=lambda path: path.stat().st_mtime,
    )
    if not runs:
        raise ConfigError(f"--resume last: there is no run of {config.task} in {config.log_path}.")
    return runs[-1].parent


def _resumed_config(config: RunConfig, folder: Path) -> RunConfig:
    """Return the resumed run's settings, with those that may change taken from the command line."""
    _, metadata = load_state(folder / "resume.safetensors")
    then = RunConfig.from_dict(metadata["config"])
    changeable = ("num_processes", "num_global_steps", "until_solved", "device", "engine")
    return dataclasses.replace(then, **{name: getattr(config, name) for name in changeable})


def _new_folder(config: RunConfig) -> Path:
    name = config.run_name or f"{config.task}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = Path(config.log_path) / name
    for attempt in range(1, 1000):
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if config.run_name:
                raise ConfigError(
                    f"--run-name {name}: {folder} exists already; choose another name, or continue "
                    f"that run with --resume {folder}."
                ) from None
            folder = Path(config.log_path) / f"{name}-{attempt}"
        except OSError as error:
            raise ConfigError(
                f"--log-path {config.log_path} cannot be written to: {error.strerror}."
            ) from error
        else:
            return folder
    raise ConfigError(f"--log-path {config.log_path} holds too many runs of this second.")
