"""What a run shows: curves for TensorBoard, and averages for the terminal."""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict, deque
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tensorboardX import SummaryWriter
from tensorboardX.proto.summary_pb2 import Summary

from mario_a3c.learning.model import ActorCritic
from mario_a3c.learning.rollout import Episode
from mario_a3c.monitoring.event_files import event_folder
from mario_a3c.monitoring.graph import write_graph
from mario_a3c.monitoring.notices import say
from mario_a3c.training.evaluation import Evaluation
from mario_a3c.training.worker import WorkerReport

WINDOW = 100
"""Episodes that running averages go over."""


class Monitor:
    """Gathers what the processes report, writes curves, and keeps figures for the display."""

    def __init__(self, folder: Path, steps: int) -> None:
        """Begin to write curves into ``folder`` at ``steps`` agent steps."""
        self._writer = SummaryWriter(event_folder(folder, say), purge_step=steps or None)
        self._figures: dict[str, list[float]] = defaultdict(list)
        self._episodes: list[Episode] = []
        self._recent: deque[Episode] = deque(maxlen=WINDOW)
        self._since = (time.monotonic(), steps)
        self.steps_per_second = 0.0
        self.furthest = 0.0
        self.last_evaluation: Evaluation | None = None

    def add_config(self, config: dict[str, object]) -> None:
        """Show the run's settings on TensorBoard's text page."""
        text = json.dumps(config, indent=2)
        self._writer.add_text("config", f"```json\n{text}\n```", 0)

    def add_graph(self, model: ActorCritic) -> None:
        """Show the network on TensorBoard's graph page."""
        write_graph(self._writer, model)

    def take(self, report: WorkerReport) -> None:
        """Take in what a worker reports after a rollout."""
        for name, value in report.figures.items():
            if math.isfinite(value):
                self._figures[name].append(value)
        for episode in report.episodes:
            self._episodes.append(episode)
            if not episode.figures.get("began_elsewhere"):
                self._recent.append(episode)
                self.furthest = max(self.furthest, episode.figures.get("max_x", -math.inf))

    def take_evaluation(self, evaluation: Evaluation) -> None:
        """Write the curves of an evaluation."""
        self.last_evaluation = evaluation
        steps, write = evaluation.steps, self._writer.add_scalar
        for kind, episodes in (("greedy", [evaluation.greedy]), ("sampled", evaluation.sampled)):
            for name, value in averages(episodes).items():
                write(f"evaluation_{kind}/{name}", value, steps)
        write("evaluation/seconds", evaluation.seconds, steps)
        write("evaluation/score", evaluation.score, steps)
        if evaluation.video:
            self._add_gif(Path(evaluation.video).with_suffix(".gif"), steps)

    def _add_gif(self, path: Path, steps: int) -> None:
        """Show a GIF on TensorBoard's image page, if it is still there."""
        try:
            content = path.read_bytes()
        except OSError:
            return
        image = Summary.Image(encoded_image_string=content, colorspace=3)
        value = Summary.Value(tag="evaluation/gameplay", image=image)
        self._writer.file_writer.add_summary(Summary(value=[value]), steps)

    def write(self, steps: int, updates: int) -> None:
        """Write the averages of what came in since the last call."""
        now = time.monotonic()
        seconds = now - self._since[0]
        if seconds < 1 or steps <= self._since[1]:
            return
        self.steps_per_second = (steps - self._since[1]) / seconds
        self._since = (now, steps)
        write = self._writer.add_scalar
        write("speed/agent_steps_per_second", self.steps_per_second, steps)
        write("speed/updates", updates, steps)
        frames = sum(self._figures.pop("frames", []))
        write("speed/emulator_frames_per_second", frames / seconds, steps)
        for name, values in self._figures.items():
            write(f"train/{name}", float(np.mean(values)), steps)
        for name, value in averages(self._episodes).items():
            write(f"episode/{name}", value, steps)
        self._figures.clear()
        self._episodes.clear()
        self._writer.flush()

    def recent(self) -> dict[str, float]:
        """Return the averages over the last `WINDOW` training episodes."""
        return averages(self._recent)

    def close(self) -> None:
        """Write out what is buffered."""
        self._writer.close()


def averages(episodes: Iterable[Episode]) -> dict[str, float]:
    """Return the mean return, length and further figures of episodes, an empty dict for none.

    Only those count that began where the task begins.
    """
    episodes = [each for each in episodes if not each.figures.get("began_elsewhere")]
    if not episodes:
        return {}
    sums: dict[str, list[float]] = defaultdict(list)
    for episode in episodes:
        sums["return"].append(episode.score)
        sums["length"].append(episode.length)
        for name in ("max_x", "completed", "time"):
            if name in episode.figures:
                sums[name].append(episode.figures[name])
    return {name: float(np.mean(values)) for name, values in sums.items()}
