"""The best agent of a run: which evaluation's weights are kept, in spite of luck."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mario_a3c.checkpoint import save_agent
from mario_a3c.config import RunConfig
from mario_a3c.learning.model import ActorCritic
from mario_a3c.training.evaluation import Evaluation

if TYPE_CHECKING:
    from mario_a3c.training.evaluate import Evaluator

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


@dataclass
class _Kept:
    """The best agent that this process has found.

    Attributes:
        model: a copy of it.
        metadata: what its file tells of how it was made.
        evaluation: all that it has played.
        saved: whether its file tells all of that.
    """

    model: ActorCritic
    metadata: dict[str, Any]
    evaluation: Evaluation
    saved: bool = False

    @property
    def may_be_lucky(self) -> bool:
        """Whether its completions may be luck, because it has not played enough."""
        evaluation = self.evaluation
        return evaluation.completion_rate > 0 and len(evaluation.sampled) < ENOUGH


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
        self._kept: _Kept | None = None

    @property
    def score(self) -> float:
        """Of the best agent, by all that it has played."""
        return self._kept.evaluation.score if self._kept else self._so_far.best_score

    def judge(self, evaluation: Evaluation, evaluator: Evaluator) -> Evaluation:
        """Let the better one play again where luck may have decided; return the new evaluation."""
        kept, more = self._kept, 0.0
        if kept and evaluation.score < self.score and kept.may_be_lucky:
            before = kept.evaluation.seconds
            kept.evaluation, kept.saved = evaluator.play_again(kept.evaluation, kept.model), False
            more = kept.evaluation.seconds - before
        if evaluation.score >= self.score and evaluation.completion_rate:
            evaluation = evaluator.play_again(evaluation)
        return replace(evaluation, seconds=evaluation.seconds + more)

    def keep(self, evaluation: Evaluation, model: ActorCritic) -> None:
        """Save the weights that were evaluated if they are the best, or what the best played since.

        Raises:
            CheckpointError: they cannot be saved.
            OSError: the disk is full or not writable; what stood there is intact.
        """
        kept = self._kept
        if evaluation.score >= self.score:  # of equals the newer one, which has learned more
            kept = _Kept(copy.deepcopy(model), self._told(evaluation), evaluation)
        if kept and not kept.saved:
            metadata = {**kept.metadata, "evaluation": kept.evaluation.to_dict()}
            save_agent(self._path, kept.model, metadata)
            kept.saved = True
        self._kept = kept

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
