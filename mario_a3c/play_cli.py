"""The command line of ``play.py``: watch an agent, record it, or measure it."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from numpy.typing import NDArray

from mario_a3c.checkpoint import CheckpointError
from mario_a3c.config import MARIO, ConfigError, RunConfig
from mario_a3c.envs.engine import SCREEN_SHAPE
from mario_a3c.envs.engines import choose_engine, make_engine
from mario_a3c.envs.gymnasium_tasks import TaskError
from mario_a3c.envs.traces import Trace, replay_pictures
from mario_a3c.faults import GameError, NotFiniteError, one_line
from mario_a3c.files import check_writable, write_atomically
from mario_a3c.learning.rollout import Episode
from mario_a3c.monitoring.notices import lead_nowhere
from mario_a3c.playing import mario, tasks
from mario_a3c.playing.episodes import PlayedEpisode
from mario_a3c.playing.gallery import Gallery, Tile, facts
from mario_a3c.playing.mario import MarioGame
from mario_a3c.playing.tasks import TaskGame
from mario_a3c.playing.video import FRAMES_PER_SECOND, VideoWriter, write_video
from mario_a3c.playing.window import NoDisplayError, Window, WindowClosedError
from mario_a3c.stages import ALL
from mario_a3c.words import read_options

BAD_INPUT = 2
MAX_NOOPS = 255
RESULTS = Path("docs/results.json")


class BadInputError(ValueError):
    """Bad input, told in one sentence: what was given, what is allowed."""


@dataclass(frozen=True)
class PlayOptions:
    """Watch an agent play Super Mario Bros or any other task, record it, or measure it."""

    world: int | None = None
    """World, 1 to 8; by default that of the checkpoint, or 1."""
    stage: int | None = None
    """Stage of that world, 1 to 4; by default that of the checkpoint, or 1."""
    checkpoint: Path | None = None
    """The agent; by default saved_models/mario-WORLD-STAGE.safetensors, or that of the task."""
    episodes: int = 1
    """How many episodes to play."""
    stochastic: bool = False
    """Draw the actions from the policy, instead of taking the likeliest."""
    seed: int = 0
    """Seeds the no-op frames and the drawn actions."""
    noops: int = 0
    """Begin each episode with 0 to so many frames of no button, drawn at random."""
    random: bool = False
    """Act at random instead of asking an agent: the baseline."""
    record: Path | None = None
    """Write the episodes, one after another, to this MP4 file."""
    window: bool = True
    """Show the game in a window or, without a display, record it; --no-window only plays it."""
    json: bool = False
    """Print the outcome as one JSON object on the last line."""
    trace: Path | None = None
    """Write what was pressed in Mario to this file, one JSON object a line and episode."""
    gallery: Path | None = None
    """Record every Mario agent and write a page of all stages, index.html, into this folder."""
    engine: str = "auto"
    """Emulator: native (fast, compiled at installation), nes-py, or auto: native if it is there."""
    env_name: Annotated[str, tyro.conf.arg(aliases=("--env", "--env-id"))] = MARIO
    """What to play: SuperMarioBros, or the id of any Gymnasium environment."""
    env_module: str = ""
    """Module that registers the environment, imported first; my_module:MyEnv-v0 does the same."""
    hide: tuple[int, ...] = ()
    """Play the variant of a task in which the agent does not see these elements of it, from 0."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Play; return the exit status: 0, 2 for bad input, 1 if a game or a file failed.

    Like other programs, it ends with 128 + n by the signal n: Ctrl-C, or a reader that went away.
    """
    try:
        return _main(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        lead_nowhere(sys.stdout)
        return 128 + signal.SIGPIPE


def _main(arguments: Sequence[str]) -> int:
    torch.set_num_threads(1)  # enough for this network, and the same sums whatever the cores
    try:
        options = read_options(PlayOptions(), arguments, "play.py")
        if options.gallery is not None:
            _check_engine(options)
            _check_writable(options.gallery / "index.html")
        elif options.env_name == MARIO:
            game, sentence = prepare_mario(options)
        else:
            task, size, sentence = prepare_task(options)
        for path in (options.record, options.trace):
            if path is not None:
                _check_writable(path)
    except (BadInputError, CheckpointError, ConfigError, TaskError) as error:
        print(f"play.py: {error}", file=sys.stderr)
        return BAD_INPUT
    try:
        if options.gallery is not None:
            _make_gallery(options.gallery, options.engine)
            return 0
        print(sentence, flush=True)
        if options.env_name == MARIO:
            outcome = mario.summary(game, _play(game, options))
        else:
            outcome = tasks.summary(task, _play_task(task, size, options))
    except CheckpointError as error:
        print(f"play.py: {error}", file=sys.stderr)
        return BAD_INPUT
    except (GameError, NotFiniteError) as error:
        print(f"play.py: {options.env_name}: {one_line(str(error), 1000)}.", file=sys.stderr)
        return 1
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"play.py: a file could not be written: {error}.", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(outcome), flush=True)
    return 0


def prepare_mario(options: PlayOptions) -> tuple[MarioGame, str]:
    """Check everything that can be refused.

    Returns:
        what is played, and a sentence about it.

    Raises:
        BadInputError: for a value that is not allowed or a file that cannot be written.
        CheckpointError: for a checkpoint that cannot be used.
    """
    _check_numbers(options)
    sentence = _check_engine(options)
    world, stage = options.world or 1, options.stage or 1
    if options.random:
        game = mario.random_game(world, stage, engine=options.engine)
        return game, f"Buttons at random. {sentence}"
    path = options.checkpoint or _own_agent(
        mario.agent_file(world, stage), f"--world {world} --stage {stage}"
    )
    game = mario.agent_game(
        path, options.world, options.stage, stochastic=options.stochastic, engine=options.engine
    )
    return game, f"The agent of {path} plays {game.world}-{game.stage}. {sentence}"


def prepare_task(options: PlayOptions) -> tuple[TaskGame, tuple[int, int] | None, str]:
    """Check everything that can be refused of a task that is not Mario; see `prepare_mario`.

    Returns:
        what is played, the size of its pictures if it has any that are asked for, and a sentence.

    Raises:
        BadInputError: for a value that is not allowed, or an option of Mario's.
        CheckpointError: for a checkpoint that cannot be used.
        TaskError: for a task that cannot be made.
    """
    _check_numbers(options)
    for name in ("world", "stage", "trace", "noops"):
        if getattr(options, name):
            raise BadInputError(f"--{name} is for {MARIO}: leave it out with {options.env_name}.")
    game, sentence = _task_game(options)
    size = None
    if options.window or options.record is not None:
        try:
            size = tasks.picture_size(game)
        except TaskError as error:
            if options.record is not None:
                raise BadInputError(f"--record is not possible: {error}") from None
            sentence += f" {error}"
    return game, size, sentence


def _task_game(options: PlayOptions) -> tuple[TaskGame, str]:
    """Return what is played, and a sentence about it."""
    name, module, hide = options.env_name, options.env_module, options.hide
    task = RunConfig(env_name=name, hide=hide).task
    if options.random:
        return tasks.random_game(name, module, hide), f"{_variant(name, hide)}, actions at random."
    path = options.checkpoint or _own_agent(
        Path(f"saved_models/{task}.safetensors"), f"--env-name {_variant(name, hide)}"
    )
    game = tasks.agent_game(path, name, module, options.stochastic, hide)
    return game, f"The agent of {path} plays {_variant(name, game.config.hide)}."


def _variant(env_name: str, hide: tuple[int, ...]) -> str:
    """Return a task as its options name it."""
    return " ".join([env_name, "--hide", *map(str, hide)]) if hide else env_name


def _own_agent(path: Path, task: str) -> Path:
    """Return the path of the project's agent for a task, if there is one."""
    if not path.exists():
        raise BadInputError(
            f"There is no agent {path}: train one with python train.py {task}, or name another "
            "with --checkpoint."
        )
    return path


def _check_engine(options: PlayOptions) -> str:
    """Refuse an emulator that is not there; return which one runs, and why."""
    try:
        _, sentence = choose_engine(options.engine)
    except ValueError as error:
        raise BadInputError(str(error)) from None
    return sentence


def _check_numbers(options: PlayOptions) -> None:
    for name, value, low, high in (
        ("world", options.world, 1, 8),
        ("stage", options.stage, 1, 4),
        ("noops", options.noops, 0, MAX_NOOPS),
    ):
        if value is not None and not low <= value <= high:
            raise BadInputError(f"--{name} {value} is not allowed: give {low} to {high}.")
    if options.episodes < 1:
        raise BadInputError(f"--episodes {options.episodes} is not allowed: give 1 or more.")
    if options.hide and options.env_name == MARIO:
        raise BadInputError(
            f"--hide is for tasks whose observations are numbers: leave it out with {MARIO}."
        )
    if options.seed < 0:
        raise BadInputError(f"--seed {options.seed} is not allowed: give 0 or more.")
    if options.random and options.checkpoint is not None:
        raise BadInputError("--random plays without an agent: leave --checkpoint out.")


def _check_writable(path: Path) -> None:
    """Refuse a file that cannot be written, before anything is played."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        check_writable(path)
    except OSError as error:
        raise BadInputError(f"{path} cannot be written: {error.strerror}.") from None


def _play(game: MarioGame, options: PlayOptions) -> list[PlayedEpisode]:
    """Play, show and write what was asked for, and return the episodes in order."""
    height, width, _ = SCREEN_SHAPE
    stage = f"{game.world}-{game.stage}"
    window, record = _open_window(
        f"Super Mario Bros {stage}", (height, width), FRAMES_PER_SECOND, f"mario-{stage}", options
    )
    episodes = []
    try:
        for episode in game.play(
            options.episodes,
            seed=options.seed,
            noops=options.noops,
            on_picture=window.show if window is not None else None,
        ):
            episodes.append(episode)
            print(_describe(episode), flush=True)
    except WindowClosedError:
        print("The window was closed.", flush=True)
    finally:
        if window is not None:
            window.close()
    episodes.sort(key=lambda episode: episode.number)
    traces = [episode.trace for episode in episodes]
    if options.trace is not None:
        lines = "".join(trace.to_json() + "\n" for trace in traces)
        write_atomically(options.trace, lines.encode())
    if record is not None and traces:
        write_video(record, _pictures(game, traces))
        print(f"Recorded {record}.", flush=True)
    return episodes


def _open_window(
    title: str, size: tuple[int, int], frames_per_second: int, name: str, options: PlayOptions
) -> tuple[Window | None, Path | None]:
    """Return the window that was asked for, if one can be opened, and what to record to, if any.

    Args:
        title: of the window.
        size: height and width of the pictures.
        frames_per_second: of the game.
        name: of the recording that is made where there is no display.
        options: say what was asked for.
    """
    record = options.record
    if not options.window:
        return None, record
    try:
        return Window(title, size, frames_per_second), record
    except NoDisplayError:
        record = record or Path(f"videos/{name}.mp4")
        print(f"There is no display: recording instead, to {record}.", flush=True)
        return None, record


def _play_task(game: TaskGame, size: tuple[int, int] | None, options: PlayOptions) -> list[Episode]:
    """Play a task, show and write what was asked for, and return the episodes in order."""
    window, record = None, None
    if size is not None:
        name, speed = game.config.task, game.pictures_per_second
        window, record = _open_window(name, size, speed, name, options)
    episodes: list[Episode] = []
    with ExitStack() as stack:
        listeners: list[Callable[[NDArray[np.uint8]], None]] = []
        if window is not None:
            stack.callback(window.close)
            listeners.append(window.show)
        if record is not None:
            video = VideoWriter(record, game.pictures_per_second, scale=1)
            listeners.insert(0, stack.enter_context(video).write)  # also the last picture shown

        def show(picture: NDArray[np.uint8]) -> None:
            for listener in listeners:
                listener(picture)

        played = tasks.play_task(game, options.episodes, options.seed, show if listeners else None)
        try:
            for episode in _told(played):
                episodes.append(episode)
        except WindowClosedError:
            print("The window was closed.", flush=True)
    if record is not None:
        print(f"Recorded {record}.", flush=True)
    return episodes


def _told(episodes: Iterator[Episode]) -> Iterator[Episode]:
    """Print a line for each episode and pass it on."""
    for number, episode in enumerate(episodes, 1):
        print(
            f"Episode {number}: return {episode.score:.2f}, {episode.length} decisions", flush=True
        )
        yield episode


def _make_gallery(folder: Path, engine: str) -> None:
    """Let the agent of every stage play it greedily, and make a page of it; see `Gallery`."""
    gallery = Gallery(folder)
    for world, stage in ALL:
        trace: Trace | None = None
        pictures: Iterator[NDArray[np.uint8]] = iter(())
        agent = mario.agent_file(world, stage)
        if agent.exists():
            game = mario.agent_game(agent, engine=engine)
            trace = next(game.play(1)).trace
            pictures = _pictures(game, [trace])
        gallery.add(Tile(world, stage, trace, facts(RESULTS, agent, world, stage)), pictures)
        done = "no agent" if trace is None else "finishes" if trace.completed else "does not finish"
        print(f"{world}-{stage}: {done}", flush=True)
    print(f"Wrote {gallery.write()}.", flush=True)


def _pictures(game: MarioGame, traces: list[Trace]) -> Iterator[NDArray[np.uint8]]:
    engine = make_engine(game.settings["engine"], game.world, game.stage, 1)
    for trace in traces:
        yield from replay_pictures(engine, trace.buttons)
    engine.close()


def _describe(episode: PlayedEpisode) -> str:
    reason = episode.reason.name.lower().replace("_", " ")
    return (
        f"Episode {episode.number + 1}: {reason}, x {episode.max_x}, "
        f"return {episode.score:.2f}, {episode.length} decisions"
    )
