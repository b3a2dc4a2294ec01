"""What an evaluation finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mario_a3c.learning.rollout import Episode

ROBUST = 0.8
"""Share of sampled episodes from which on a stage counts as finished even if not greedily."""


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation found.

    Attributes:
        steps: agent steps of the run when the weights were pulled.
        greedy: the episode in which the likeliest action was taken at every step.
        sampled: episodes in which actions were drawn from the policy.
        seconds: how long it took.
        good: whether it meets the criterion for a solved task.
        video: file name of the recording, if there is one.
        all_greedy: whether ``sampled`` are greedy episodes too, of other games.
    """

    steps: int
    greedy: Episode
    sampled: list[Episode]
    seconds: float
    good: bool
    video: str = ""
    all_greedy: bool = False

    @property
    def completion_rate(self) -> float:
        """Share of the sampled episodes that finished the stage."""
        return float(np.mean([episode.figures.get("completed", 0.0) for episode in self.sampled]))

    @property
    def score(self) -> float:
        """One number to compare evaluations by: finishing first, then how far or how well.

        A stage is finished greedily, or in `ROBUST` of the sampled episodes: the greedy one is a
        single sequence, which an agent may know by heart while it fails in most others.
        """
        episodes = [self.greedy, *self.sampled]
        if "max_x" not in self.greedy.figures:
            return float(np.mean([episode.score for episode in episodes]))
        robust = float(self.completion_rate >= ROBUST)
        finished = (max(self.greedy.figures["completed"], robust) + self.completion_rate) / 2
        return float(10_000 * finished + np.mean([e.figures["max_x"] for e in episodes]))

    def summary(self) -> str:
        """Return the outcome in a few words."""
        if "max_x" in self.greedy.figures:
            greedy = (
                "finished"
                if self.greedy.figures["completed"]
                else f"to x {self.greedy.figures['max_x']:.0f}"
            )
            others = "others greedily" if self.all_greedy else "sampled"
            return f"greedy {greedy}, {others} {100 * self.completion_rate:.0f}% finished"
        mean = np.mean([episode.score for episode in self.sampled])
        if self.all_greedy:
            return f"greedy {mean:.1f}"
        return f"greedy {self.greedy.score:.1f}, sampled {mean:.1f}"

    def to_dict(self) -> dict[str, Any]:
        """Return a short form for a checkpoint's metadata."""
        return {
            "steps": self.steps,
            "score": self.score,
            "greedy": {"return": self.greedy.score, **self.greedy.figures},
            "completion_rate": self.completion_rate,
            "mean_return": float(np.mean([episode.score for episode in self.sampled])),
        }
