"""Everything that can be refused, before any process starts; then the run, ready to be started."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from mario_a3c.checkpoint import Agent, load_agent, outline
from mario_a3c.cluster.child import check_cluster
from mario_a3c.config import (
    BEGINNING,
    MARIO,
    MOST_WORKERS,
    ConfigError,
    RunConfig,
    option_of,
    view_of,
)
from mario_a3c.envs.atari import is_atari
from mario_a3c.envs.engines import choose_engine
from mario_a3c.envs.factory import found_ways, make_env
from mario_a3c.envs.gymnasium_tasks import TaskError, told
from mario_a3c.faults import RunError
from mario_a3c.files import (
    FolderInUseError,
    FolderLock,
    check_writable,
    remove_temporaries,
    write_atomically,
)
from mario_a3c.learning.encoders import smallest_picture
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.search.ways import learns_from_ways
from mario_a3c.training.processes import signals_ending_us
from mario_a3c.training.resume import PATTERN, load_state, settings_of
from mario_a3c.training.trainer import Trainer

TASK = ("env_name", "env_module", "world", "stage", "action_type", "view", "hide")
"""Settings of which a run that goes on cannot change any."""
NAME_ANOTHER = "name a folder in which you may write."
WITHOUT_WAYS: dict[str, Any] = {
    "start_fraction": 0.0,
    "start_from": 0.0,
    "imitation_coef": 0.0,
    "ground_of_ways": False,
}
WAYS = "ways"
"""Folder in a run's folder that holds the ways it has found itself."""


def prepare(config: RunConfig) -> tuple[Trainer, str]:
    """Check a run's settings, and make or take up its folder and its shared state.

    Returns:
        the run, and a sentence that says what runs.

    Raises:
        ConfigError: a setting is not possible here.
        CheckpointError: a file to start from or to go on from is missing, broken or does not fit.
    """
    if config.ray:
        check_ray(config.ray)
    else:
        config = dataclasses.replace(config, device=_device(config.device))
    sentence = f"{config.task} is played."
    if config.is_mario:
        engine, sentence = chosen_engine(config)
        config = dataclasses.replace(config, engine=engine)
        if learns_from_ways(config) and not config.paths and engine == "nes-py":
            config = dataclasses.replace(config, **WITHOUT_WAYS)
            sentence += " It finds no ways to learn from, which needs the native engine."
        if config.algorithm == "random":
            config = dataclasses.replace(config, **WITHOUT_WAYS)
        _check_ways(config)
    spec = network_for(config)
    initial = None if config.resume else _initial_agent(config, spec)
    _check_saved_path(config.saved_path)
    folder = Path(config.resume) if config.resume else _new_folder(config)
    if learns_from_ways(config) and not config.paths:
        config = dataclasses.replace(config, paths=str(folder / WAYS))
    with _our_own(folder, new=not config.resume) as lock:
        trainer = Trainer(config, spec, folder, lock)
        if config.resume:
            trainer.restore()
            sentence += f" Continuing {folder} at step {trainer.shared.steps:,}."
        elif initial is not None:
            trainer.start_from(initial)
        remove_temporaries(folder)
        write_atomically(folder / "config.json", json.dumps(config.to_dict(), indent=2).encode())
        trainer.save()
    return trainer, sentence


@contextlib.contextmanager
def _our_own(folder: Path, new: bool) -> Iterator[FolderLock]:
    """Lock a run's folder; if it turns out that it cannot be used, give it back or remove it."""
    try:
        lock = FolderLock(folder)
        try:
            yield lock
        except BaseException:
            lock.release()
            raise
    except FolderInUseError as error:
        raise ConfigError(f"{error}; end that one first.") from error
    except OSError as error:
        if new:
            shutil.rmtree(folder, ignore_errors=True)
        raise ConfigError(
            f"{folder} cannot be written to: {error.strerror}; {NAME_ANOTHER}"
        ) from error


def resumed_settings(wanted: RunConfig) -> RunConfig:
    """Return the settings of the run that is to be resumed.

    Args:
        wanted: what the command line asks for: ``resume`` names the run's folder, or is ``last``.

    Raises:
        ConfigError: there is no such run, or it would import a module nobody asked for.
        CheckpointError: its state cannot be read.
    """
    folder = _last_run(wanted) if wanted.resume == "last" else Path(wanted.resume)
    _, metadata, _ = load_state(folder)
    then = settings_of(folder, metadata)
    if then.imports and then.imports not in (wanted.env_module, wanted.env_name):
        option = "--env-module" if then.env_module else "--env-name"
        raise ConfigError(
            f"The run in {folder} imports Python code, {then.imports}: if you trust it, say so "
            f"with {option} {then.imports}."
        )
    # Where it ran is no part of the run: it goes on where we are told to, and only there.
    if bool(wanted.ray) != bool(then.ray):
        processes = MOST_WORKERS if wanted.ray else RunConfig().num_processes
        then = dataclasses.replace(then, num_processes=processes)
    # The folder may have been moved, and with it the ways it has found, or was still looking for.
    own = folder / WAYS
    paths = str(own) if own.is_dir() else then.paths if Path(then.paths).is_dir() else ""
    there = dataclasses.replace(then, ray=wanted.ray, device=wanted.device, paths=paths)
    return dataclasses.replace(there, resume=str(folder))


def check_resumed(config: RunConfig, then: RunConfig) -> None:
    """Raise `ConfigError` if the command line asks a resumed run for another task or beginning."""
    for name in TASK:
        asked, was = getattr(config, name), getattr(then, name)
        if asked != was:
            raise ConfigError(
                f"{option_of(name)} {asked} is not possible with --resume: the run in "
                f"{config.resume} has {option_of(name)} {was}."
            )
    for name in BEGINNING:
        if getattr(config, name) != getattr(then, name):
            raise ConfigError(
                f"{option_of(name)} says what a run begins with, and the one in {config.resume} "
                "goes on: leave it out, or --resume."
            )


def check_ray(address: str) -> None:
    """Raise `ConfigError` if there is no Ray to train on, or no cluster at an address."""
    if find_spec("ray") is None:
        raise ConfigError(
            f"--ray {address} needs Ray, which is not installed: run pip install -e '.[ray]' in "
            "the project's folder."
        )
    try:
        check_cluster(address)
    except RunError as error:
        raise ConfigError(f"{error}.") from error


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "--device cuda is not possible: PyTorch finds no CUDA device here; give cpu or auto."
        )
    return name


def check_for_all(config: RunConfig) -> None:
    """Refuse what no run of a campaign could do, whatever its stage.

    Raises:
        ConfigError: a setting is not possible here.
        CheckpointError: the agent to start from is missing, broken or does not fit.
    """
    chosen_engine(config)
    _check_saved_path(config.saved_path)
    if not config.ray:
        _device(config.device)
    if config.load_from:
        _initial_agent(config, network_for(config))


def chosen_engine(config: RunConfig) -> tuple[str, str]:
    """Return which emulator runs, and a sentence that says why.

    Raises:
        ConfigError: if the one asked for is unknown or not available.
    """
    try:
        return choose_engine(config.engine)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _check_saved_path(folder: str) -> None:
    """Refuse a folder that no finished agent could be put into; it need not be there yet."""
    path = Path(folder).absolute()
    there = next(place for place in (path, *path.parents) if place.exists())
    try:
        check_writable(there / "agent.safetensors")
    except OSError as error:
        raise ConfigError(
            f"--saved-path {folder} cannot be written to: {error.strerror}; {NAME_ANOTHER}"
        ) from error


def _check_ways(config: RunConfig) -> None:
    """Refuse to learn along given ways if there are none."""
    if not (learns_from_ways(config) and config.paths):
        return
    hint = "write them with python -m mario_a3c.explore --out FOLDER, or leave --paths out."
    try:
        found_ways(config)
    except OSError as error:
        raise ConfigError(
            f"--paths {config.paths}: {error.filename} cannot be read: {error.strerror}; {hint}"
        ) from error
    except ValueError as error:
        raise ConfigError(f"--paths {config.paths}: {str(error).rstrip('.')}; {hint}") from error


def network_for(config: RunConfig) -> ModelSpec:
    """Return the network that a run's task and settings ask for.

    Raises:
        ConfigError: the task cannot be made or begun, or the network is not possible.
    """
    try:
        with signals_ending_us():  # nobody sees it if the game hangs, as in the processes of a run
            env = make_env(config, num_envs=1, seed=0)
            env.close()
    except TaskError as error:
        raise ConfigError(str(error)) from error
    except Exception as error:  # a user's environment may raise anything
        raise ConfigError(f"{config.env_name} cannot be begun: {told(error)}") from error
    spec = ModelSpec.for_task(env.single_observation_space, env.single_action_space, config)
    if spec.pictures:
        _check_picture_size(config, spec)
    try:
        outline(spec)
    except ValueError as error:
        raise ConfigError(
            f"--lstm-size {config.lstm_size} and --hidden {' '.join(map(str, config.hidden))} "
            f"make a network that is not possible: {error}."
        ) from error
    return spec


def _check_picture_size(config: RunConfig, spec: ModelSpec) -> None:
    """Refuse pictures that are too small for the convolutions."""
    least, (_, height, width) = smallest_picture(config.network), spec.observation_shape
    if min(height, width) >= least:
        return
    larger = (
        f"--picture-size {least} or more"
        if is_atari(config.env_name)
        else "wrap the environment in gymnasium.wrappers.ResizeObservation"
    )
    raise ConfigError(
        f"{config.env_name} shows pictures of {height}x{width} pixels, and the convolutions of "
        f"--network {config.network} need {least}x{least} at least: give --network reference, "
        f"which takes any size, or {larger}."
    )


def _initial_agent(config: RunConfig, spec: ModelSpec) -> Agent | None:
    """Return the agent whose weights to start from, if the run asks for some."""
    if config.load_from_previous_stage:
        if not config.is_mario:
            raise ConfigError(
                f"--load-from-previous-stage is for {MARIO}: leave it out with {config.env_name}."
            )
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
        ours, theirs = vars(spec), vars(agent.model.spec)
        name = next(name for name in ours if ours[name] != theirs[name])
        raise ConfigError(
            f"{path} holds another network or action set than this run's: its {name} is "
            f"{theirs[name]}, this run's {ours[name]}. Give the options that it was trained with, "
            "or another agent."
        )
    learned = view_of(agent.metadata.get("config"))
    if config.is_mario and learned != config.view:
        raise ConfigError(
            f"{path} holds an agent that learned with --view {learned}, and this run has "
            f"--view {config.view}: give the same, or another agent."
        )
    return agent


def _last_run(config: RunConfig) -> Path:
    """Return the folder of the run of a task whose newest state is the newest of all."""
    changed: dict[Path, float] = {}
    for state in Path(config.log_path).glob(f"*/{PATTERN}"):
        with contextlib.suppress(OSError):  # a run that goes on has removed it
            changed[state.parent] = max(state.stat().st_mtime, changed.get(state.parent, 0.0))
    for folder in sorted(changed, key=lambda folder: changed[folder], reverse=True):
        if _task_of(folder) == config.task:
            return folder
    raise ConfigError(f"--resume last: there is no run of {config.task} in {config.log_path}.")


def _task_of(folder: Path) -> str:
    """Return the task of the run in a folder, or "" if that cannot be read."""
    try:
        return RunConfig.from_dict(json.loads((folder / "config.json").read_text("utf-8"))).task
    except (AttributeError, KeyError, OSError, TypeError, ValueError):
        return ""


def _new_folder(config: RunConfig) -> Path:
    name = config.run_name or f"{config.task}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = Path(config.log_path) / name
    for attempt in range(1, 1000):
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if config.run_name and folder.exists():
                raise ConfigError(
                    f"--run-name {name}: {folder} exists already; choose another name, or continue "
                    f"that run with --resume {folder}."
                ) from None
            folder = Path(config.log_path) / f"{name}-{attempt}"
        except OSError as error:
            raise ConfigError(
                f"--log-path {config.log_path} cannot be written to: {error.strerror}; "
                f"{NAME_ANOTHER}"
            ) from error
        else:
            return folder
    raise ConfigError(f"--log-path {config.log_path} holds too many runs of this second.")
