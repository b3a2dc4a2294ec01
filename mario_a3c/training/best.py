"""The best agent of a run: which evaluation's weights are kept, in spite of luck."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from mario_a3c.checkpoint import save_agent
from mario_a3c.config import RunConfig
from mario_a3c.learning.model import ActorCritic
from mario_a3c.training.evaluation import Evaluation

BEST = "best.safetensors"
"""Its file, in the run's folder."""
ENOUGH = 100
"""Sampled episodes after which the best agent's share of completions counts as known."""


@dataclass(frozen=True)
class SoFar:
    """What a run has behind it when its evaluation begins.

    Attributes:
        best_score: of its best agent.
        began: when it began (monotonic time), as if it had never paused.
        earlier: its other settings in earlier times, the first ones first: for each resume that
            changed some, ``{"steps": when, "settings": {name: what it was before}}``.
        ancestors: the agents before it, if it was started from one; see
            `mario_a3c.training.ancestry`.
    """

    best_score: float
    began: float
    earlier: list[dict[str, Any]]
    ancestors: list[dict[str, Any]]


class Plays(Protocol):
    """Plays with the weights of an evaluation once more; see `Evaluator`."""

    def play_again(self, evaluation: Evaluation, model: ActorCritic | None = None) -> Evaluation:
        """Return the evaluation with what was sampled now added to it."""


class BestAgent:
    """Keeps the best agent of a run in the run's folder.

    Ten drawn episodes may be lucky ones, and luck would keep better agents out. So who looks better
    than the best plays once more before that is believed, and the best, when it looks better than a
    later one, too, until it has played `ENOUGH`.
    """

    def __init__(self, folder: Path, config: RunConfig, so_far: SoFar) -> None:
        """Go on from what the run has kept before.

        Args:
            folder: the run's folder.
            config: the run.
            so_far: what the run has behind it.
        """
        self._path = folder / BEST
        self._config, self._so_far = config, so_far
        self._score = so_far.best_score
        self._evaluation: Evaluation | None = None
        """Of the best agent, if this process has found it."""
        self._model: ActorCritic | None = None
        self._metadata: dict[str, Any] = {}
        self._saved = True

    def judge(self, evaluation: Evaluation, evaluator: Plays) -> Evaluation:
        """Let the better one play again where luck may have decided; return the new evaluation."""
        best, more = self._evaluation, 0.0
        if best and evaluation.score < self._score and self._may_be_lucky(best):
            self._evaluation = evaluator.play_again(best, self._model)
            self._score, self._saved = self._evaluation.score, False
            more = self._evaluation.seconds - best.seconds
        if evaluation.score >= self._score and evaluation.completion_rate:
            evaluation = evaluator.play_again(evaluation)
        return replace(evaluation, seconds=evaluation.seconds + more)

    def keep(self, evaluation: Evaluation, model: ActorCritic) -> Evaluation:
        """Save the weights that were evaluated if they are the best; return whether they are.

        Raises:
            CheckpointError: they cannot be saved.
            OSError: the disk is full or not writable; what stood there is intact.
        """
        if evaluation.score >= self._score:  # of equals the newer one, which has learned more
            model, metadata = copy.deepcopy(model), self._told(evaluation)
            self._save(model, metadata, evaluation)
            self._score, self._evaluation, self._model = evaluation.score, evaluation, model
            self._metadata, self._saved = metadata, True
            return replace(evaluation, kept=True)
        if not self._saved and self._model and self._evaluation:
            self._save(self._model, self._metadata, self._evaluation)
            self._saved = True
        return evaluation

    def _save(self, model: ActorCritic, metadata: dict[str, Any], evaluation: Evaluation) -> None:
        save_agent(self._path, model, {**metadata, "evaluation": evaluation.to_dict()})

    @staticmethod
    def _may_be_lucky(best: Evaluation) -> bool:
        return best.completion_rate > 0 and len(best.sampled) < ENOUGH

    def _told(self, evaluation: Evaluation) -> dict[str, Any]:
        """Return what the agent's file tells of how it was made."""
        return {
            "task": self._config.task,
            "steps": evaluation.steps,
            "seconds": time.monotonic() - self._so_far.began,
            "config": self._config.without_places().to_dict(),
            "earlier": self._so_far.earlier,
            "ancestors": self._so_far.ancestors,
        }
