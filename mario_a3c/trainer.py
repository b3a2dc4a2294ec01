"""The parent process of a run: starts the others, watches them, saves, shows, and stops."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from mario_a3c.checkpoint import load_agent, load_state, save_state, write_atomically
from mario_a3c.config import RunConfig
from mario_a3c.evaluate import Evaluation, evaluate
from mario_a3c.flat import FlatParameters
from mario_a3c.model import ActorCritic, ModelSpec
from mario_a3c.monitor import Monitor
from mario_a3c.normalization import merge, statistics_size
from mario_a3c.optim import make_state
from mario_a3c.shared import Shared
from mario_a3c.worker import WorkerReport, local_train

CURVE_INTERVAL = 5.0
GRACE = 8.0
"""Seconds that children get to finish what they are doing."""
MAX_DEATHS, DEATHS_WITHIN = 5, 600.0


class RunError(RuntimeError):
    """The run cannot go on, told in one sentence."""


@dataclass
class Child:
    """A process of the run and the pipe on which it reports."""

    name: str
    start: Callable[[], tuple[BaseProcess, Connection]]
    process: BaseProcess
    connection: Connection


class Trainer:
    """One run."""

    def __init__(self, config: RunConfig, spec: ModelSpec, folder: Path) -> None:
        """Make the shared state of a run, or take it from the run that is resumed.

        Args:
            config: the run.
            spec: the network.
            folder: the run's folder; exists.
        """
        self.config, self.spec, self.folder = config, spec, folder
        torch.manual_seed(config.seed)
        self.model = ActorCritic(spec)
        self.flat = FlatParameters(self.model)
        self.shared = Shared(
            weights=self.flat.values,
            optimizer_state=make_state(config.optimizer, self.flat.values),
            counters=torch.zeros((config.num_processes, 3), dtype=torch.int64),
            statistics=torch.zeros(
                (config.num_processes, 3, statistics_size(spec.observation_shape) + 1),
                dtype=torch.float64,
            ),
        )
        self.seconds = 0.0
        self.best_score = float("-inf")
        self.good_evaluations = 0
        self.episodes = 0
        self._spawned = 0
        self._children: list[Child] = []
        self._deaths: list[float] = []
        self._context = get_context("spawn")

    @property
    def solved(self) -> bool:
        """Whether enough evaluations in a row were good."""
        return self.good_evaluations >= self.config.solved_evaluations

    @property
    def state_path(self) -> Path:
        """The file from which the run can be resumed."""
        return self.folder / "resume.safetensors"

    def restore(self) -> None:
        """Take up the state that the run's folder holds."""
        tensors, metadata = load_state(self.state_path)
        self.shared.weights.copy_(tensors["weights"])
        for name, value in self.shared.optimizer_state.items():
            value.copy_(tensors[f"optimizer.{name}"])
        # Another number of workers may go on: what was counted so far stands in the first row.
        self.shared.counters[0] = tensors["counters"].sum(0)
        if "statistics" in tensors:
            self.shared.statistics[0] = merge(tensors["statistics"])
        self.episodes = metadata.get("episodes", 0)
        self.seconds = metadata["seconds"]
        self.best_score = metadata["best_score"]
        self._spawned = metadata["spawned"]

    def start_from(self, model: ActorCritic) -> None:
        """Begin with the weights of another network of the same kind, and its statistics."""
        self.model.load_state_dict(model.state_dict())
        if model.normalizer is not None:
            self.shared.statistics[0, :, :-1] = model.normalizer.statistics

    def save(self) -> None:
        """Write the resume state."""
        tensors = {
            "weights": self.shared.weights,
            "counters": self.shared.counters,
            "statistics": self.shared.statistics,
        }
        for name, value in self.shared.optimizer_state.items():
            tensors[f"optimizer.{name}"] = value
        metadata: dict[str, Any] = {
            "config": self.config.to_dict(),
            "spec": self.spec.to_dict(),
            "seconds": self.seconds,
            "episodes": self.episodes,
            "best_score": self.best_score,
            "spawned": self._spawned,
        }
        save_state(self.state_path, tensors, metadata)

    def publish(self) -> Path | None:
        """Copy the run's best agent to the saved agents, unless a better one stands there.

        Returns:
            the file that was written, or None.
        """
        best = self.folder / "best.safetensors"
        if not best.is_file():
            return None
        target = Path(self.config.saved_path) / f"{self.config.task}.safetensors"
        if target.is_file():
            standing = load_agent(target).metadata.get("evaluation", {}).get("score", 0.0)
            if standing >= load_agent(best).metadata["evaluation"]["score"]:
                return None
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, best.read_bytes())
        return target

    def run(
        self, monitor: Monitor, show: Callable[[], None], interrupted: Callable[[], bool]
    ) -> None:
        """Train until the steps are done, the task is solved, or somebody interrupts.

        Args:
            monitor: takes in what the processes report.
            show: called about twice a second to refresh the display.
            interrupted: asked often; true ends the run.

        Raises:
            RunError: processes keep dying.
        """
        self.shared.share()
        self._start_all()
        begun = last = saved = curves = time.monotonic()
        earlier = self.seconds
        try:
            while not self._finished() and not interrupted():
                self._take_reports(monitor, timeout=0.5)
                now = time.monotonic()
                self.seconds = earlier + now - begun
                self._replace_dead()
                if now - curves >= CURVE_INTERVAL:
                    curves = now
                    monitor.write(self.shared.steps, self.shared.updates)
                if now - last >= 0.5:
                    last = now
                    show()
                if now - saved >= self.config.save_interval:
                    saved = now
                    self.save()
        finally:
            self._stop_all(monitor)
            self.seconds = earlier + time.monotonic() - begun
            monitor.write(self.shared.steps, self.shared.updates)
            self.save()

    def _finished(self) -> bool:
        steps_done = self.shared.steps >= self.config.num_global_steps
        episodes_done = 0 < self.config.max_episodes <= self.episodes
        return steps_done or episodes_done or (self.config.until_solved and self.solved)

    def _start_all(self) -> None:
        for worker in range(self.config.num_processes):
            self._start(f"worker {worker}", partial(self._spawn_worker, worker))
        self._start("evaluation", self._spawn_evaluation)

    def _start(self, name: str, start: Callable[[], tuple[BaseProcess, Connection]]) -> None:
        self._children.append(Child(name, start, *start()))

    def _spawn(
        self, target: Callable[..., None], *arguments: Any
    ) -> tuple[BaseProcess, Connection]:
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(target=target, args=(*arguments, theirs), daemon=True)
        process.start()
        theirs.close()
        return process, ours

    def _next_seed(self) -> int:
        """Return a seed that no process of this run, resumed or not, has had."""
        self._spawned += 1
        return self.config.seed * 100_000 + self._spawned * 100

    def _spawn_worker(self, worker: int) -> tuple[BaseProcess, Connection]:
        return self._spawn(
            local_train, self.config, self.spec, self.shared, worker, self._next_seed()
        )

    def _spawn_evaluation(self) -> tuple[BaseProcess, Connection]:
        return self._spawn(
            evaluate,
            self.config,
            self.spec,
            self.shared,
            self._next_seed(),
            self.folder,
            self.best_score,
        )

    def _take_reports(self, monitor: Monitor, timeout: float) -> None:
        """Read what has come in, waiting up to ``timeout`` seconds for something."""
        pipes = [child.connection for child in self._children if not child.connection.closed]
        if not pipes:
            time.sleep(timeout)
        for connection in wait(pipes, timeout):
            assert isinstance(connection, Connection)
            try:
                report = connection.recv()
            except (EOFError, OSError):
                connection.close()
                continue
            if isinstance(report, WorkerReport):
                self.episodes += len(report.episodes)
                monitor.take(report)
            elif isinstance(report, Evaluation):
                self.good_evaluations = self.good_evaluations + 1 if report.good else 0
                self.best_score = max(self.best_score, report.score)
                monitor.take_evaluation(report)

    def _replace_dead(self) -> None:
        """Start another process in the place of each that has died, unless they die too often."""
        if self._finished():
            return
        for child in self._children:
            if child.process.is_alive() or child.process.exitcode is None:
                continue
            now = time.monotonic()
            self._deaths = [at for at in self._deaths if now - at < DEATHS_WITHIN] + [now]
            cause = f"{child.name} ended with status {child.process.exitcode}"
            if len(self._deaths) > MAX_DEATHS:
                raise RunError(
                    f"Processes died {len(self._deaths)} times within "
                    f"{DEATHS_WITHIN / 60:.0f} minutes; the last one: {cause}."
                )
            print(f"{cause}; starting another in its place.", flush=True)
            child.process, child.connection = child.start()

    def _stop_all(self, monitor: Monitor) -> None:
        """Tell everybody to finish, take what they still report, and end who does not."""
        self.shared.stop[0] = 1
        deadline = time.monotonic() + GRACE
        while any(child.process.is_alive() for child in self._children):
            if time.monotonic() > deadline:
                break
            self._take_reports(monitor, timeout=0.1)
        for child in self._children:
            if child.process.is_alive():
                child.process.kill()
            child.process.join()
