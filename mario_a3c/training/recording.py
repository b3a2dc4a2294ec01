"""When the evaluation records gameplay, and of which episode."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mario_a3c.config import RunConfig
from mario_a3c.envs.engines import make_engine
from mario_a3c.envs.guard import Guard
from mario_a3c.envs.gymnasium_tasks import TaskError
from mario_a3c.envs.traces import replay_pictures
from mario_a3c.files import TEMPORARY
from mario_a3c.playing.tasks import TaskGame, film, filmed_game
from mario_a3c.playing.video import FRAMES_PER_SECOND, make_gif, write_video

if TYPE_CHECKING:
    from mario_a3c.learning.model import Actor
    from mario_a3c.learning.rollout import Episode
    from mario_a3c.training.evaluation import Evaluation

FIRST, GREEDILY, GOOD = "first-completion", "first-greedy-completion", "first-good"
KEEP = 20
"""Videos that stay in a run's folder: the first completions, and the newest of the others."""
LULL, LULL_PER_SECOND = 60.0, 13.0
"""Seconds from a film to the next one of a new best, in tasks where nearly every evaluation is one:
at least, and per second that the film took."""
FILMING = f".filming{TEMPORARY}"
"""A file that is there while a task is filmed: left behind, the film was the end of its process. A
run that is resumed removes it."""
GIF_RATE = 7.5
"""Pictures a second in the small GIFs for TensorBoard."""


class Recorder:
    """Records the first completion, new bests, and now and then whatever is played.

    In Mario an episode of the evaluation is played again by its buttons. Other tasks cannot be
    repeated: the agent plays once more, greedily, at the first good evaluation, at new bests that
    are a while apart, and now and then. A task that cannot be rendered is told once, and
    one that took the process with it is not filmed again.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: Path,
        inside: NDArray[np.float64] | None = None,
        best_score: float = -np.inf,
    ) -> None:
        """Record into ``folder / "videos"``.

        Args:
            config: the run.
            folder: its folder.
            inside: shows others that an episode hangs that is played again; see `Guard`.
            best_score: of the run so far, if it goes on.
        """
        self._config = config
        self._folder = folder / "videos"
        self._inside, self._guard = inside, Guard(inside)
        names = [video.name for video in self._folder.glob("*.mp4")]
        self._completed_greedily = any(GREEDILY in name for name in names)
        self._completed = self._completed_greedily or any(FIRST in name for name in names)
        self._good = any(GOOD in name for name in names)
        self._best = best_score
        # What a Mario agent does before it has learned anything is worth seeing.
        self._last = -np.inf if config.is_mario else time.monotonic()
        self._lull = LULL
        self._marker = self._folder / FILMING
        self._has_pictures = not self._marker.exists()
        self._speed = 0  # of a film, once it is known

    def record(self, evaluation: Evaluation, model: Actor) -> str:
        """Record an episode of an evaluation, or one like it, if there is a reason to.

        Args:
            evaluation: what was found.
            model: who played.

        Returns:
            the path of the video, or "" if there was no reason.

        Raises:
            OSError: the disk is full or not writable; no broken file is left.
            GameError: the game failed when the episode was played again.
            NotFiniteError: the game gave what is no number.
            TaskError: the task has no pictures; this is raised once.
        """
        reason = self._reason(evaluation)
        if not reason or not self._has_pictures:
            return ""
        self._last = time.monotonic()
        path = self._folder / f"step-{evaluation.steps:09d}-{reason}.mp4"
        if self._config.is_mario:
            rate = FRAMES_PER_SECOND
            pictures = self._pictures(_most_interesting(evaluation).buttons)
            write_video(path, pictures, scale=1)
        else:
            rate = self._film(path, model, evaluation.steps)
        make_gif(path, path.with_suffix(".gif"), every=max(1, round(rate / GIF_RATE)), width=128)
        self._rotate()
        return str(path)

    def _reason(self, evaluation: Evaluation) -> str:
        """Return why an evaluation should be recorded, or ""."""
        reason, passed = self._first(evaluation), time.monotonic() - self._last
        if evaluation.score > self._best:
            self._best = evaluation.score
            if self._config.is_mario or passed >= self._lull:
                reason = reason or "best"
        interval = 60 * self._config.video_interval
        if not reason and interval and passed >= interval:
            reason = "periodic"
        return reason

    def _first(self, evaluation: Evaluation) -> str:
        """Return what an evaluation saw for the first time, if it did."""
        if not self._config.is_mario:
            first, self._good = evaluation.good and not self._good, self._good or evaluation.good
            return GOOD if first else ""
        if evaluation.greedy.figures.get("completed") and not self._completed_greedily:
            self._completed_greedily = self._completed = True
            return GREEDILY
        if not self._completed and any(e.figures.get("completed") for e in evaluation.sampled):
            self._completed = True
            return FIRST
        return ""

    def _pictures(self, buttons: bytes) -> Iterator[NDArray[np.uint8]]:
        """Play an episode again and yield its pictures, 60 a second of game time."""
        config, call = self._config, partial(self._guard.call, "a replay for a video")
        engine = call(make_engine, config.engine, config.world, config.stage, 1)
        pictures = replay_pictures(engine, buttons)
        try:
            while (picture := call(next, pictures, None)) is not None:
                yield picture
        finally:
            engine.close()

    def _film(self, path: Path, model: Actor, seed: int) -> int:
        """Let an agent play its task once more, write that, and return its pictures a second."""
        began = time.monotonic()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._marker.touch()
        try:
            with _no_display():
                self._speed = self._speed or self._look(model)
                game = TaskGame(self._config, model, greedy=True, pictures_per_second=self._speed)
                film(game, path, seed, self._inside)
        finally:
            self._marker.unlink(missing_ok=True)
        self._lull = max(LULL, LULL_PER_SECOND * (time.monotonic() - began))
        return self._speed

    def _look(self, model: Actor) -> int:
        """Return how many pictures a second the task shows.

        Raises:
            GameError: the game failed.
            TaskError: it has none.
        """
        game = self._guard.call("a look at its pictures", _filmed_or_not, self._config, model)
        if isinstance(game, TaskError):
            self._has_pictures = False
            raise game
        return game.pictures_per_second

    def _rotate(self) -> None:
        def worth(video: Path) -> tuple[bool, int]:
            is_first = video.stem.endswith((FIRST, GREEDILY, GOOD))  # `__init__` looks for these
            return is_first, video.stat().st_mtime_ns

        for old in sorted(self._folder.glob("*.mp4"), key=worth)[:-KEEP]:
            old.unlink()
            old.with_suffix(".gif").unlink(missing_ok=True)


@contextmanager
def _no_display() -> Iterator[None]:
    """Keep SDL, by which many games draw, from looking for a display and complaining of none."""
    name = "SDL_VIDEODRIVER"
    ours = name not in os.environ
    os.environ.setdefault(name, "dummy")
    try:
        yield
    finally:
        if ours:
            del os.environ[name]


def _filmed_or_not(config: RunConfig, model: Actor) -> TaskGame | TaskError:
    """Return the game of an agent, or why it cannot be filmed."""
    try:
        return filmed_game(config, model)
    except TaskError as error:
        return error


def _most_interesting(evaluation: Evaluation) -> Episode:
    """Return the greedy episode, unless it failed where a sampled one finished."""
    if evaluation.greedy.figures.get("completed"):
        return evaluation.greedy
    for episode in evaluation.sampled:
        if episode.figures.get("completed"):
            return episode
    return evaluation.greedy
