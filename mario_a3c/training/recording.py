"""When the evaluation records gameplay, and of which episode."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mario_a3c.config import RunConfig
from mario_a3c.envs.engines import make_engine
from mario_a3c.envs.traces import replay_pictures
from mario_a3c.playing.video import make_gif, write_video

if TYPE_CHECKING:
    from mario_a3c.learning.rollout import Episode
    from mario_a3c.training.evaluate import Evaluation

KEEP = 20
"""Videos that stay in a run's folder; older ones are deleted."""
SHORTEST_PAUSE = 120.0
"""Seconds between two videos of mere improvements: encoding one takes a few seconds."""


class Recorder:
    """Records the first completion, new bests, and now and then whatever is played."""

    def __init__(self, config: RunConfig, folder: Path) -> None:
        """Record into ``folder / "videos"``."""
        self._config = config
        self._folder = folder / "videos"
        self._completed = self._completed_greedily = False
        self._best = -np.inf
        self._last = -np.inf

    def record(self, evaluation: Evaluation) -> str:
        """Record an episode of an evaluation if there is a reason to.

        Returns:
            the path of the video, or "" if there was no reason.

        Raises:
            OSError: the disk is full or not writable; no broken file is left.
        """
        reason = self._reason(evaluation)
        episode = _most_interesting(evaluation)
        if not reason or not episode.buttons:
            return ""
        self._last = time.monotonic()
        path = self._folder / f"step-{evaluation.steps:09d}-{reason}.mp4"
        write_video(path, self._pictures(episode.buttons), scale=1)
        make_gif(path, path.with_suffix(".gif"), every=8, width=128)
        self._rotate()
        return str(path)

    def _reason(self, evaluation: Evaluation) -> str:
        completed = max(e.figures.get("completed", 0) for e in evaluation.sampled)
        completed_greedily = evaluation.greedy.figures.get("completed", 0)
        rested = time.monotonic() - self._last
        better = evaluation.score > self._best
        self._best = max(self._best, evaluation.score)
        if completed_greedily and not self._completed_greedily:
            self._completed_greedily = self._completed = True
            return "first-greedy-completion"
        if completed and not self._completed:
            self._completed = True
            return "first-completion"
        if better and rested >= SHORTEST_PAUSE:
            return "best"
        interval = 60 * self._config.video_interval
        return "periodic" if interval and rested >= interval else ""

    def _pictures(self, buttons: bytes) -> Iterator[NDArray[np.uint8]]:
        """Play an episode again and yield its pictures, 60 a second of game time."""
        engine = make_engine(self._config.engine, self._config.world, self._config.stage, 1)
        yield from replay_pictures(engine, buttons)
        engine.close()

    def _rotate(self) -> None:
        videos = sorted(self._folder.glob("*.mp4"), key=lambda video: video.stat().st_mtime_ns)
        for old in videos[:-KEEP]:
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
