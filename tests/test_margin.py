"""How much likelier an action is than all others, against a slow obvious version."""

from __future__ import annotations

import numpy as np
import torch

from mario_a3c.learning.margin import margins, shortfall


def test_a_margin_is_the_logarithm_of_how_much_likelier_the_action_is_than_the_next() -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 3, (4, 5, 7))
    actions = generator.integers(0, 7, (4, 5))
    found = margins(torch.from_numpy(logits), torch.from_numpy(actions)).numpy()
    for place in np.ndindex(4, 5):
        chances = np.exp(logits[place]) / np.exp(logits[place]).sum()
        own = chances[actions[place]]
        best_other = max(np.delete(chances, actions[place]))
        assert np.isclose(found[place], np.log(own / best_other))


def test_only_what_lacks_the_margin_is_learned() -> None:
    logits = torch.tensor([[5.0, 0.0, 1.0], [5.0, 3.0, 1.0], [0.0, 3.0, 1.0]], requires_grad=True)
    short = shortfall(logits, torch.tensor([0, 0, 0]), margin=3.0)
    assert short.tolist() == [0.0, 1.0, 6.0]
    short.sum().backward()
    assert logits.grad is not None
    # What is right with something to spare is left alone; elsewhere the action and its rival move.
    assert logits.grad.tolist() == [[0.0, 0.0, 0.0], [-1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]]
