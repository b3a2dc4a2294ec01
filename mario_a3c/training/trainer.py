"""The parent process of a run: starts the others, watches them, saves, shows, and stops."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mario_a3c.checkpoint import Agent, CheckpointError, score_of
from mario_a3c.cluster.child import run_cluster
from mario_a3c.config import RunConfig
from mario_a3c.faults import Notice, RunError
from mario_a3c.files import FolderLock, remove_temporaries, write_atomically
from mario_a3c.learning.flat import FlatParameters
from mario_a3c.learning.model import ActorCritic
from mario_a3c.learning.normalization import COUNT, SQUARES, merge, statistics_size
from mario_a3c.learning.optim import make_state
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.monitoring.monitor import Monitor
from mario_a3c.monitoring.notices import Notices
from mario_a3c.training.ancestry import ancestors_of_its_children, ancestors_told
from mario_a3c.training.best import BEST, SoFar
from mario_a3c.training.children import Children
from mario_a3c.training.evaluate import evaluate
from mario_a3c.training.evaluation import Evaluation
from mario_a3c.training.processes import Interruption
from mario_a3c.training.publish import publish
from mario_a3c.training.resume import (
    changed_settings,
    earlier_settings,
    load_state,
    save_state,
    set_aside,
)
from mario_a3c.training.shared import COLUMNS, FAULTS, FINISH, FINISH_AND_LOOK, STEPS, Shared
from mario_a3c.training.worker import WorkerReport, train_in_memory

CURVE_INTERVAL = 5.0
GRACE, PATIENCE, LAST_LOOK = 5.0, 60.0, 120.0
"""Seconds that children get to finish: all in a run that is interrupted; the workers of a run that
has done its steps, whose last update belongs to it; and the evaluation, which then looks at what
was learned last."""
EVALUATION = "evaluation"
MOST_EPISODES, MOST_SPAWNED = 2**63, 2**40
"""Fewer than so many a state may claim; seeds are made of the processes that were spawned."""
NOT_NEGATIVE = {"optimizer.step", "optimizer.exp_avg_sq", "optimizer.square_avg"}
"""Parts of an optimizer's state that are counts, or means of squares."""


class Trainer:
    """One run.

    Args:
        config: the run.
        spec: the network.
        folder: the run's folder; exists.
        lock: keeps others from writing there as long as we live.
    """

    def __init__(
        self, config: RunConfig, spec: ModelSpec, folder: Path, lock: FolderLock | None = None
    ) -> None:
        self.config, self.spec, self.folder, self._lock = config, spec, folder, lock
        torch.manual_seed(config.seed)
        self.model = ActorCritic(spec)
        self.flat = FlatParameters(self.model)
        self.shared = Shared.begin(
            self.flat.values,
            make_state(config.optimizer, self.flat.values),
            1 if config.ray else config.num_processes,
            statistics_size(spec.observation_shape),
            config.noop_max,
        )
        self.notices = Notices(folder / "run.log")
        self.seconds = 0.0
        self.good_evaluations = 0
        self.episodes = 0
        self.earlier: list[dict[str, Any]] = []
        self.ancestors: list[dict[str, Any]] = []
        self._spawned = 0

    @property
    def solved(self) -> bool:
        """Whether enough evaluations in a row were good."""
        return self.good_evaluations >= self.config.solved_evaluations

    def restore(self) -> None:
        """Take up the newest state in the run's folder that can be read.

        Raises:
            CheckpointError: there is none, or it is of another kind of run.
        """
        tensors, metadata, passed_over = load_state(self.folder)
        for sentence in passed_over.values():
            self.notices.say(f"{sentence} The state before it is taken.")
        shared = self.shared
        # Another number of workers may go on: what was counted so far stands in the first row.
        counters = self._stored(tensors, "counters", (-1, COLUMNS), torch.int64)
        statistics = self._stored(
            tensors, "statistics", (-1, *shared.statistics.shape[1:]), torch.float64
        )
        mastered = self._mastered(tensors)
        parts = {"weights": shared.weights}
        parts.update({f"optimizer.{name}": part for name, part in shared.optimizer_state.items()})
        stored = {
            name: self._stored(tensors, name, part.shape, part.dtype)
            for name, part in parts.items()
        }
        try:
            self.seconds = float(metadata["seconds"])
            self.episodes = _count(metadata["episodes"], MOST_EPISODES)
            self._spawned = _count(metadata["spawned"], MOST_SPAWNED)
            self.earlier = earlier_settings(metadata)
            self.ancestors = ancestors_told(metadata)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(f"The state in {self.folder} lacks {error}.") from error
        counted = merge(statistics)
        not_negative = [counters, statistics[:, [COUNT, SQUARES]]]
        not_negative += [part for name, part in stored.items() if name in NOT_NEGATIVE]
        sound = 0 <= self.seconds < math.inf
        sound = sound and bool(counted.isfinite().all())
        sound = sound and bool(((mastered >= 0) & (mastered <= 1)).all())
        if not (sound and all((part >= 0).all() for part in not_negative)):
            raise CheckpointError(f"The state in {self.folder} counts what cannot be counted.")
        for name, part in parts.items():
            part.copy_(stored[name])
        shared.counters[0] = counters.sum(0)
        shared.statistics[0] = counted
        shared.mastered[:] = mastered
        changed = changed_settings(RunConfig.from_dict(metadata["config"]), self.config)
        if changed:
            self.earlier.append({"steps": shared.steps, "settings": changed})
        set_aside(passed_over)

    def _mastered(self, tensors: dict[str, Tensor]) -> Tensor:
        """Return what was mastered, the mean over the workers, or zeros if it is not told.

        Old states do not tell it, and after a change of ``noop_max`` it is something else.
        """
        ours = self.shared.mastered
        stored = tensors.get("mastered", ours)
        same = stored.shape[1:] == ours.shape[1:] and stored.dtype == ours.dtype and len(stored)
        return (stored if same else ours).mean(0)

    def _stored(
        self, tensors: dict[str, Tensor], name: str, shape: tuple[int, ...], dtype: torch.dtype
    ) -> Tensor:
        """Return a stored tensor of the expected shape, in which -1 stands for any size."""
        tensor = tensors.get(name, torch.empty(0))
        fits = tensor.dim() == len(shape) and tensor.dtype == dtype
        if not fits or any(b not in (-1, a) for a, b in zip(tensor.shape, shape, strict=True)):
            raise CheckpointError(
                f"The state in {self.folder} is of another network or optimizer: its {name!r} "
                f"is {tuple(tensor.shape)}, this run's {tuple(shape)}."
            )
        return tensor

    def start_from(self, agent: Agent) -> None:
        """Begin with the weights of an agent with the same network, and its statistics."""
        model = agent.model
        self.ancestors = ancestors_of_its_children(agent.metadata)
        self.model.load_state_dict(model.state_dict())
        if model.normalizer is not None:
            self.shared.statistics[0, :, :-1] = model.normalizer.statistics

    def save(self) -> None:
        """Write a resume state, and delete the oldest.

        Raises:
            OSError: the disk is full or not writable; the states before are intact.
        """
        tensors = {
            "weights": self.shared.weights,
            "counters": self.shared.counters,
            "statistics": self.shared.statistics,
            "mastered": self.shared.mastered,
        }
        for name, value in self.shared.optimizer_state.items():
            tensors[f"optimizer.{name}"] = value
        metadata: dict[str, Any] = {
            "config": self.config.to_dict(),
            "spec": self.spec.to_dict(),
            "seconds": self.seconds,
            "episodes": self.episodes,
            "earlier": self.earlier,
            "ancestors": self.ancestors,
            "spawned": self._spawned,
        }
        save_state(self.folder, self.shared.steps, tensors, metadata, self.config.keep)

    def publish(self) -> str:
        """Copy the run's best agent to the saved agents, unless a better one stands there.

        Returns:
            a sentence that says where it is; "" if the run has none.
        """
        best = self.folder / BEST
        target = Path(self.config.saved_path) / f"{self.config.task}.safetensors"
        if not best.exists():
            return ""
        try:
            reason = publish(best, target)
        except OSError as error:
            reason = f"it could not be copied ({error.strerror})"
        if reason:
            return f"Its best agent is {best} and not in {target}: {reason}."
        return f"Its best agent is in {target}."

    def run(self, monitor: Monitor, show: Callable[[], None], interruption: Interruption) -> None:
        """Train until the steps are done, the task is solved, or somebody interrupts.

        Args:
            monitor: takes in what the processes report.
            show: called about twice a second to refresh the display.
            interruption: ends the run when it turns true.

        Raises:
            RunError: the run cannot go on, or its last state could not be saved.
        """
        self.shared.share()
        children = Children(partial(self._take, monitor), self.config.hang_limit)
        begun = last = saved = curves = time.monotonic()
        earlier = self.seconds
        try:
            self._start_all(children)
            while not self._finished() and not interruption:
                children.listen(timeout=0.5)
                now = time.monotonic()
                self.seconds = earlier + now - begun
                self._end_hanging(children)
                if not self._finished():
                    children.replace_dead(self.notices.say)
                if now - curves >= CURVE_INTERVAL:
                    curves = now
                    monitor.write(self.shared.steps, self.shared.updates)
                    self._write_status(monitor)
                if now - last >= 0.5:
                    last = now
                    show()
                if now - saved >= self.config.save_interval:
                    saved = now
                    self._try_to_save()
        finally:
            self.notices.add_trace(children.last_trace)
            self._stop(children, interruption)
            self.seconds = earlier + time.monotonic() - begun
            monitor.write(self.shared.steps, self.shared.updates)
            self._write_status(monitor)
            kept = self._try_to_save()
        if not kept:
            raise RunError("The last state could not be saved; the one before it still stands.")

    def _stop(self, children: Children, interruption: Interruption) -> None:
        """Tell everybody to finish, take what they still report, and end who does not."""
        if interruption:
            self.notices.say(
                f"Ending: the processes get {GRACE:g} s to finish; a second signal ends them now."
            )
        in_time = not interruption and self._finished()
        look = in_time and not self.solved
        self.shared.stop[0] = FINISH_AND_LOOK if look else FINISH

        def patience(name: str) -> float:
            if name == EVALUATION:
                return LAST_LOOK if look and not interruption else GRACE
            return PATIENCE if in_time else GRACE

        children.stop(patience, hurry=lambda: interruption.insisted)
        with contextlib.suppress(OSError):
            remove_temporaries(self.folder)

    def _try_to_save(self) -> bool:
        """Save, or say why that was not possible; return whether it was.

        Raises:
            RunError: what was learned is broken, and must not take the place of what is not.
        """
        shared = self.shared
        learned = {"weights": shared.weights, "statistics": shared.statistics}
        for name, part in (learned | shared.optimizer_state).items():
            if not part.isfinite().all():
                raise RunError(
                    f"The shared {name} are not all finite; the states before are intact."
                )
        try:
            self.save()
        except OSError as error:
            self.notices.say(
                f"The state at step {self.shared.steps:,} could not be saved: {error.strerror}; "
                "the one before it is intact."
            )
            return False
        return True

    def _write_status(self, monitor: Monitor) -> None:
        """Leave a short account of the run for whoever looks on from outside."""
        evaluation = monitor.last_evaluation
        status = {
            "steps": self.shared.steps,
            "out_of_steps": self.shared.steps >= self.config.num_global_steps,
            "worker_steps": self.shared.counters[:-1, STEPS].tolist(),
            "updates": self.shared.updates,
            "dropped_updates": self.shared.dropped,
            "environment_faults": self.shared.faults,
            "seconds": self.seconds,
            "steps_per_second": monitor.steps_per_second,
            "recent": monitor.recent(),
            "evaluation": evaluation.summary() if evaluation else "",
            "solved": self.solved,
        }
        with contextlib.suppress(OSError):
            write_atomically(self.folder / "status.json", json.dumps(status).encode())

    def limit_reached(self) -> str:
        """Return which option's limit the run has reached, all its parts together, if any."""
        config = self.config
        if self.shared.steps >= config.num_global_steps:
            return f"--num-global-steps {config.num_global_steps:,.0f}"
        if config.hours and self.seconds >= config.hours * 3600:
            return f"--hours {config.hours:g}"
        if 0 < config.max_episodes <= self.episodes:
            return f"--max-episodes {config.max_episodes:,}"
        return ""

    def _finished(self) -> bool:
        return bool(self.limit_reached()) or (self.config.until_solved and self.solved)

    def _start_all(self, children: Children) -> None:
        if self.config.ray:
            children.start("the cluster", run_cluster, self._cluster_arguments)
        for worker in range(0 if self.config.ray else self.config.num_processes):
            children.start(_name(worker), train_in_memory, partial(self._worker_arguments, worker))
        if self.config.algorithm != "random":  # there is nothing to evaluate
            children.start(EVALUATION, evaluate, self._evaluation_arguments)

    def _next_seed(self) -> int:
        """Return a seed that no process of this run, resumed or not, has had."""
        self._spawned += 1
        return self.config.seed * 100_000 + self._spawned * 100

    def _worker_arguments(self, worker: int) -> tuple[Any, ...]:
        self.shared.inside[worker] = 0.0
        return self.config, self.spec, self.shared, worker, self._next_seed()

    def _cluster_arguments(self) -> tuple[Any, ...]:
        return self.config, self.spec, self.shared, self._next_seed()

    def _evaluation_arguments(self) -> tuple[Any, ...]:
        self.shared.inside[-1] = 0.0
        best_score = score_of(self.folder / BEST)
        began = time.monotonic() - self.seconds
        so_far = SoFar(best_score, began, self.earlier, self.ancestors)
        return self.config, self.spec, self.shared, self._next_seed(), self.folder, so_far

    def _end_hanging(self, children: Children) -> None:
        """End processes that have been inside the environment's code for too long."""
        limit, now = self.config.hang_limit, time.monotonic()
        *workers, _ = inside = self.shared.inside.tolist()
        for worker, since in enumerate(inside):
            if 0 < since < now - limit:
                name = _name(worker) if worker < len(workers) else EVALUATION
                children.kill(name, f"its environment hung for more than {limit:g} s")
                self.shared.inside[worker] = 0.0  # it has been dealt with
                self.shared.counters[worker, FAULTS] += 1  # it cannot count any more

    def _take(self, monitor: Monitor, report: object) -> None:
        if isinstance(report, WorkerReport):
            self.episodes += len(report.episodes)
            monitor.take(report)
        elif isinstance(report, Evaluation):
            self.good_evaluations = self.good_evaluations + 1 if report.good else 0
            monitor.take_evaluation(report)
        elif isinstance(report, Notice):
            self.notices.say(report.text)


def _name(worker: int) -> str:
    return f"worker {worker}"


def _count(value: object, limit: int) -> int:
    """Return a stored count.

    Raises:
        ValueError: it is no whole number from 0 to below the limit.
    """
    if not (isinstance(value, int) and 0 <= value < limit):
        raise ValueError(f"a whole number from 0 to below {limit} where it has {value!r:.40}")
    return value
