"""The command line of ``train.py``: from words to a checked `RunConfig`, and to a run."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mario_a3c.checkpoint import CheckpointError
from mario_a3c.cluster.child import run_on_cluster
from mario_a3c.config import MOST_WORKERS, ConfigError, RunConfig
from mario_a3c.envs.atari import is_atari
from mario_a3c.faults import RunError, one_line
from mario_a3c.files import FolderInUseError, FolderLock
from mario_a3c.monitoring.display import Display
from mario_a3c.monitoring.monitor import Monitor
from mario_a3c.monitoring.notices import say
from mario_a3c.presets import fit_batches, fit_final_values, settings_for
from mario_a3c.search.ways import provide_ways
from mario_a3c.stages import parse_stages
from mario_a3c.training.audition import furthest_agent
from mario_a3c.training.campaign import Campaign, run_campaign
from mario_a3c.training.preparation import (
    NAME_ANOTHER,
    check_for_all,
    check_ray,
    check_resumed,
    prepare,
    resumed_settings,
)
from mario_a3c.training.processes import Interruption
from mario_a3c.training.trainer import Trainer
from mario_a3c.words import named_fields, read_options

BAD_INPUT = 2
SAVED_PATH = ("saved-path", "save-dir", "saved-models")


def parse(arguments: Sequence[str]) -> RunConfig:
    """Return the settings that a command line asks for: its options, over its preset, over ours.

    Raises:
        ConfigError: an unknown preset or a value that is not allowed.
        CheckpointError: the run to resume cannot be read.
    """
    return _resolve(arguments)[0]


def _resolve(arguments: Sequence[str]) -> tuple[RunConfig, str]:
    """Return what `parse` does, and a sentence about what had to be fitted, if anything had.

    The command line is read twice: first for the task, the preset and the run to resume, then with
    what they are worth as defaults.

    Raises:
        ConfigError: an unknown preset or a value that is not allowed.
        CheckpointError: the run to resume cannot be read.
    """
    fitted = ""
    wanted = _read([word for word in arguments if word not in ("-h", "--help")], RunConfig())
    given = named_fields(arguments, RunConfig)
    if wanted.resume:
        then = resumed_settings(wanted)
        config = dataclasses.replace(_read(arguments, then), resume=then.resume)
        check_resumed(config, then)
    else:
        name, settings = settings_for(wanted)
        if wanted.ray:  # workers fill the cores of a cluster, unless fewer are asked for
            settings = {**settings, "num_processes": MOST_WORKERS}
        preset = dataclasses.replace(RunConfig(), **settings)
        config = dataclasses.replace(_read(arguments, preset), preset=name)
        config, fitted = fit_batches(fit_final_values(config, preset, given), given)
    if config.use_gpu:
        config = dataclasses.replace(config, device="cuda", use_gpu=False)
    config.validate()
    if not config.resume:
        config.refuse_ignored(given, atari=is_atari(config.env_name))
    return config, fitted


def _read(words: Sequence[str], default: RunConfig) -> RunConfig:
    return read_options(default, words, "train.py")


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; return the exit status: 0 done, 1 failed, 2 bad input, 128+n ended by signal n."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with Interruption() as interruption:
        try:
            config, fitted = _resolve(arguments)
            if config.all_stages or config.stages:
                return _campaign(config, arguments, interruption)
            trainer, sentence = prepare(config)
        except (ConfigError, CheckpointError) as error:
            print(f"train.py: {one_line(str(error), 1000)}", file=sys.stderr)
            return BAD_INPUT
        say(sentence)
        if fitted:
            say(fitted)
        status = _run(trainer, interruption)
    if interruption.signal is not None and not status:
        return 128 + interruption.signal
    return status


def _run(trainer: Trainer, interruption: Interruption) -> int:
    """Train, and say in the end what became of it; return 0, or 1 if it could not go on."""
    folder, status, begun = trainer.folder, 0, time.monotonic()
    try:
        provide_ways(trainer.config, trainer.notices.say, lambda: bool(interruption))
    except RunError as error:
        say(f"train.py: {error}", sys.stderr)
        return 1
    trainer.seconds += time.monotonic() - begun  # the search counts: nothing is learned without it
    monitor = Monitor(folder, trainer.shared.steps)
    monitor.add_config(trainer.config.to_dict())
    monitor.add_graph(trainer.model)
    with Display(trainer, monitor) as display:
        try:
            trainer.run(monitor, display.refresh, interruption)
        except RunError as error:
            failure, status = str(error), 1
    if status:
        say(f"train.py: {failure}", sys.stderr)
    monitor.close()
    if trainer.solved:
        say(f"Solved after {trainer.shared.steps:,} steps, {trainer.seconds:,.0f} s.")
    if limit := trainer.limit_reached():
        say(f"It has had all of its {limit}; to continue it, give more.")
    there = f" --ray {trainer.config.ray}" if trainer.config.ray else ""
    say(f"The run is in {folder}; continue it with --resume {folder}{there}.")
    if sentence := trainer.publish():
        say(sentence)
    return status


def _campaign(config: RunConfig, arguments: Sequence[str], interruption: Interruption) -> int:
    """Train several stages; every option that is not the campaign's own goes to their runs."""
    if config.resume:
        raise ConfigError(
            f"--resume {config.resume} continues one run, and the command of a campaign the whole "
            "campaign: leave --resume out, or --stages."
        )
    try:
        stages = parse_stages("all" if config.all_stages else config.stages)
    except ValueError as error:
        raise ConfigError(f"--stages {config.stages}: {error}") from error
    check_for_all(config)
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("all-stages", "no-all-stages", "warm-start", "no-warm-start"):
        own.add_argument(f"--{name}", action="store_true")
    for name in (
        "stages",
        "hours",
        "stage-hours",
        "stage-turns",
        "num-seeds",
        "world",
        "stage",
        "seed",
        "log-path",
        "run-name",
    ):
        own.add_argument(f"--{name}")
    if config.ray:  # the head sees to these
        check_ray(config.ray)
        for name in ("ray", "num-processes", "num-workers", *SAVED_PATH):
            own.add_argument(f"--{name}")
    _, options = own.parse_known_args([_dashed(word) for word in arguments])
    folder = Path(config.log_path) / (config.run_name or "campaign")

    def start_from(world: int, stage: int) -> Path | None:
        if not config.warm_start:
            return None
        one = parse([*options, "--world", str(world), "--stage", str(stage)])
        return furthest_agent(Path(config.saved_path), one)

    try:
        seeds = range(config.seed, config.seed + config.num_seeds)
        campaign = Campaign(folder, stages, seeds, options, start_from, config.stage_turns)
        _lock = FolderLock(folder)
        by_seeds = f", {len(seeds)} seeds each," if len(seeds) > 1 else ""
        say(
            f"A campaign over {len(stages)} stages{by_seeds} in {folder}; the same command "
            "continues it."
        )
        if config.ray:
            run_on_cluster(campaign, config, interruption)
        else:
            run_campaign(campaign, config.hours, config.stage_hours, lambda: bool(interruption))
        if given_up := ", ".join(campaign.given_up()):
            say(
                f"{given_up} had all of --stage-turns {config.stage_turns} unsolved; to continue, "
                "give more."
            )
    except FolderInUseError as error:
        raise ConfigError(f"{error}; end that one first.") from error
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be written to: {error.strerror}; {NAME_ANOTHER}"
        ) from error
    except RunError as error:
        say(f"train.py: {error}", sys.stderr)
        return 1
    return 128 + interruption.signal if interruption.signal is not None else 0


def _dashed(word: str) -> str:
    """Return an option with dashes for underscores, and anything else as it is."""
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value


if __name__ == "__main__":
    sys.exit(main())
