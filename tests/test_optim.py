"""Shared optimizers: PyTorch's own, whoever takes the steps, and gradients copied every time."""

from multiprocessing import get_context
from multiprocessing.connection import Connection

import pytest
import torch
from torch import Tensor

from mario_a3c.learning.optim import (
    ADAM_EPSILON,
    RMSPROP_DECAY,
    RMSPROP_EPSILON,
    make_optimizer,
    make_state,
    push_gradient,
)

SIZE, STEPS, RATE = 100, 50, 0.01


def gradient(step: int) -> Tensor:
    return torch.randn(SIZE, generator=torch.Generator().manual_seed(step))


def textbook(name: str, steps: int = STEPS) -> tuple[Tensor, dict[str, Tensor]]:
    """Take the steps with PyTorch's optimizer as its documentation shows it."""
    weights = torch.ones(SIZE, requires_grad=True)
    optimizer: torch.optim.Optimizer
    if name == "adam":
        optimizer = torch.optim.Adam([weights], lr=RATE, eps=ADAM_EPSILON)
    else:
        optimizer = torch.optim.RMSprop(
            [weights], lr=RATE, alpha=RMSPROP_DECAY, eps=RMSPROP_EPSILON
        )
    for step in range(steps):
        optimizer.zero_grad()
        weights.grad = gradient(step)
        optimizer.step()
    return weights.detach(), optimizer.state[weights]


@pytest.mark.parametrize("name", ["adam", "rmsprop"])
def test_fifty_pushes_equal_fifty_steps_of_pytorchs_optimizer(name):
    weights = torch.ones(SIZE)
    state = make_state(name, weights)
    optimizer = make_optimizer(name, weights, state)
    for step in range(STEPS):
        push_gradient(optimizer, gradient(step), RATE)
    expected, moments = textbook(name)
    torch.testing.assert_close(weights, expected)
    assert state.keys() == moments.keys()
    for key, value in moments.items():
        torch.testing.assert_close(state[key], value)


def push_when_told(weights: Tensor, state: dict[str, Tensor], connection: Connection) -> None:
    """Be a process that pushes the gradient of each step whose number it is told."""
    optimizer = make_optimizer("adam", weights, state)
    while (step := connection.recv()) is not None:
        push_gradient(optimizer, gradient(step), RATE)
        connection.send(step)


def test_two_processes_that_take_turns_make_one_adam():
    context = get_context("spawn")
    weights = torch.ones(SIZE).share_memory_()
    state = {name: part.share_memory_() for name, part in make_state("adam", weights).items()}
    pipes = [context.Pipe() for _ in range(2)]
    processes = [
        context.Process(target=push_when_told, args=(weights, state, theirs)) for _, theirs in pipes
    ]
    for process in processes:
        process.start()
    for step in range(STEPS):
        ours = pipes[step % 2][0]
        ours.send(step)
        assert ours.recv() == step
    for (ours, _), process in zip(pipes, processes, strict=True):
        ours.send(None)
        process.join()
    expected, moments = textbook("adam")
    assert state["step"] == STEPS
    torch.testing.assert_close(weights, expected)
    torch.testing.assert_close(state["exp_avg"], moments["exp_avg"])
    torch.testing.assert_close(state["exp_avg_sq"], moments["exp_avg_sq"])


def test_every_push_takes_the_gradient_of_that_moment_and_leaves_it_alone():
    weights = torch.ones(SIZE)
    optimizer = make_optimizer("adam", weights, make_state("adam", weights))
    local = torch.empty(SIZE)
    for step in range(3):
        local.copy_(gradient(step))
        push_gradient(optimizer, local, RATE)
        assert weights.grad is not None
        assert weights.grad.data_ptr() != local.data_ptr()
        torch.testing.assert_close(weights.grad, gradient(step))
        torch.testing.assert_close(local, gradient(step))
    torch.testing.assert_close(weights, textbook("adam", steps=3)[0])


def test_a_push_uses_the_learning_rate_it_is_given():
    weights = torch.ones(SIZE)
    optimizer = make_optimizer("adam", weights, make_state("adam", weights))
    push_gradient(optimizer, gradient(0), 0.0)
    assert torch.equal(weights, torch.ones(SIZE))
    push_gradient(optimizer, gradient(1), RATE)
    assert not torch.equal(weights, torch.ones(SIZE))
