"""When the evaluation records gameplay, and of which episode."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mario_a3c.config import RunConfig
from mario_a3c.envs.engines import make_engine
from mario_a3c.envs.guard import Guard
from mario_a3c.envs.traces import replay_pictures
from mario_a3c.playing.video import make_gif, write_video

if TYPE_CHECKING:
    from mario_a3c.learning.rollout import Episode
    from mario_a3c.training.evaluation import Evaluation

FIRST, GREEDILY = "first-completion", "first-greedy-completion"
KEEP = 20
"""Videos that stay in a run's folder: the first completions, and the newest of the others."""


class Recorder:
    """Records the first completion, new bests, and now and then whatever is played."""

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
        self._guard = Guard(inside)
        names = [video.name for video in self._folder.glob("*.mp4")]
        self._completed_greedily = any(GREEDILY in name for name in names)
        self._completed = self._completed_greedily or any(FIRST in name for name in names)
        self._best = best_score
        self._last = -np.inf

    def record(self, evaluation: Evaluation) -> str:
        """Record an episode of an evaluation if there is a reason to.

        Returns:
            the path of the video, or "" if there was no reason.

        Raises:
            OSError: the disk is full or not writable; no broken file is left.
            GameError: the game failed when the episode was played again.
        """
        reason = self._first(evaluation)
        if evaluation.score > self._best:
            self._best, reason = evaluation.score, reason or "best"
        interval = 60 * self._config.video_interval
        if not reason and interval and time.monotonic() - self._last >= interval:
            reason = "periodic"
        episode = _most_interesting(evaluation)
        if not reason or not episode.buttons:
            return ""
        self._last = time.monotonic()
        path = self._folder / f"step-{evaluation.steps:09d}-{reason}.mp4"
        write_video(path, self._pictures(episode.buttons), scale=1)
        make_gif(path, path.with_suffix(".gif"), every=8, width=128)
        self._rotate()
        return str(path)

    def _first(self, evaluation: Evaluation) -> str:
        """Return what an evaluation saw for the first time, if it did."""
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

    def _rotate(self) -> None:
        def worth(video: Path) -> tuple[bool, int]:
            is_first = video.stem.endswith((FIRST, GREEDILY))  # `__init__` looks for these
            return is_first, video.stat().st_mtime_ns

        for old in sorted(self._folder.glob("*.mp4"), key=worth)[:-KEEP]:
            old.unlink()
            old.with_suffix(".gif").unlink(missing_ok=True)


def _most_interesting(evaluation: Evaluation) -> Episode:
    """Return the greedy episode, unless it failed where a sampled one finished."""
    if evaluation.greedy.figures.get("completed"):
        return evaluation.greedy
    for episode in evaluation.sampled:
        if episode.figures.get("completed"):
            return episode
    return evaluation.greedy
