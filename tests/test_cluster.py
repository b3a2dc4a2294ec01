"""Training over a cluster, without one: what crosses, what is counted, and what a loss costs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mario_a3c.cli import main, parse
from mario_a3c.cluster.link import OTHERS, OWN, LostError, StoreLink
from mario_a3c.cluster.parameters import Message, Parameters, Reply
from mario_a3c.cluster.state import state_of, take_state
from mario_a3c.cluster.wire import pack, unpack
from mario_a3c.config import MOST_WORKERS, RunConfig
from mario_a3c.learning.optim import make_state
from mario_a3c.training import preparation
from mario_a3c.training.link import MemoryLink
from mario_a3c.training.shared import DROPPED, FAULTS, STEPS, UPDATES, Shared
from mario_a3c.training.trainer import Trainer
from mario_a3c.training.worker import local_train
from tests.alone import spec_of, task_config
from tests.small import small_config

P = 50


def begun(config: RunConfig) -> Shared:
    torch.manual_seed(1)
    weights = torch.randn(P)
    moments = make_state(config.optimizer, weights)
    return Shared.begin(weights, moments, 1, quantities=2, noop_max=config.noop_max)


class Near:
    """The parameters in this process. It can lose them, before or after they took a message."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.lost: str = ""
        self.messages: list[Message] = []

    def join(self, worker: int) -> Reply:
        return self.parameters.join(worker)

    def send(self, message: Message) -> Callable[[], Reply]:
        self.messages.append(message)
        lost, self.lost = self.lost, ""
        reply = None if lost == "before" else self.parameters.exchange(message)

        def wait() -> Reply:
            if lost or reply is None:
                raise LostError
            return reply

        return wait


def linked(ahead: int = 0, **changes: Any) -> tuple[Near, StoreLink]:
    config = small_config(ray_ahead=ahead, **changes)
    store = Near(Parameters(config, state_of(begun(config))))
    return store, StoreLink(store, 0, config)


def pulled(link: Any) -> torch.Tensor:
    values = torch.empty(P)
    link.pull(values)
    return values


def counters(store: Near) -> list[int]:
    return store.parameters.look().state["counters"].tolist()


def test_half_a_vector_keeps_eleven_bits_of_small_and_large_elements_alike():
    vector = torch.tensor([1.5e4, -20.0, 1.0, 0.0])
    for scale in (1e-9, 1.0, 1e6):
        back = torch.empty(4)
        unpack(pack(vector * scale), back)
        torch.testing.assert_close(back, vector * scale, rtol=2**-11, atol=0)
    assert pack(vector).values.nbytes == 2 * len(vector)
    unpack(pack(torch.zeros(4)), back)
    assert not back.any()


def test_vectors_that_are_not_halved_cross_bit_by_bit():
    config = small_config(ray_half=False)
    shared = begun(config)
    near, far = MemoryLink(config, shared, 0), linked(ray_half=False)[1]
    for link in (near, far):
        link.push(torch.randn(P, generator=torch.Generator().manual_seed(1)), 0.01)
    assert torch.equal(pulled(far), pulled(near))


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_pushes_across_the_network_do_what_pushes_into_shared_memory_do(optimizer):
    config = small_config(optimizer=optimizer)
    shared = begun(config)
    near, far = MemoryLink(config, shared, 0), linked(optimizer=optimizer)[1]
    for step in range(5):
        torch.testing.assert_close(pulled(far), pulled(near), rtol=2**-9, atol=1e-3)
        gradient = torch.randn(P, generator=torch.Generator().manual_seed(step))
        for link in (near, far):
            assert link.push(gradient, 0.01) == 0
    pulled(far)
    assert far.shared.updates == near.shared.updates == 5


def test_shared_memory_holds_what_the_parameters_held_so_that_a_run_goes_on_from_it():
    store, link = linked()
    link.shared.counters[OWN, STEPS] += 7
    link.push(torch.ones(P), 0.1)
    pulled(link)
    look = store.parameters.look()
    shared = begun(small_config())
    take_state(shared, look.state)
    assert shared.steps == 7
    assert shared.updates == shared.optimizer_state["step"] == 1
    again = Parameters(small_config(), state_of(shared)).look()
    for name, value in look.state.items():
        np.testing.assert_array_equal(again.state[name], value)


def test_parameters_that_begin_again_do_not_count_the_faults_of_the_evaluation():
    shared = begun(small_config())
    shared.counters[0, FAULTS] = 2
    shared.counters[-1, FAULTS] = 3
    for _ in range(3):
        take_state(shared, Parameters(small_config(), state_of(shared)).look().state)
        assert shared.faults == 5


def test_workers_see_the_counts_of_all_and_count_nothing_twice():
    store, first = linked()
    second = StoreLink(store, 1, small_config(ray_ahead=0))
    for link in (first, second):
        link.shared.counters[OWN, STEPS] += 16
        link.shared.counters[OWN, DROPPED] += 1
        for _ in range(3):
            link.push(torch.ones(P), 0.01)
            pulled(link)
    pulled(first)
    assert counters(store) == [32, 6, 2, 0]
    assert first.shared.counters[OTHERS].tolist() == first.shared.counters[OWN].tolist()
    assert first.shared.steps == 32
    assert first.shared.updates == 6


def test_staleness_is_the_number_of_updates_since_the_weights_were_pulled():
    store, first = linked()
    second = StoreLink(store, 1, small_config(ray_ahead=0))
    pulled(first)
    for _ in range(4):
        second.push(torch.ones(P), 0.01)
        pulled(second)
    first.push(torch.ones(P), 0.01)
    pulled(first)
    assert first.push(torch.ones(P), 0.01) == 4


def test_staleness_counts_what_came_with_an_answer_after_the_weights_were_pulled():
    store, first = linked(ahead=1, ray_updates=2)
    second = StoreLink(store, 1, small_config(ray_updates=2, ray_ahead=0))

    def learn(link: StoreLink) -> int:
        for _ in range(2):
            pulled(link)
            staleness = link.push(torch.ones(P), 0.01)
        return staleness

    learn(second)
    learn(first)  # from weights of the beginning, to which the two updates of the other are missing
    assert learn(first) == 2  # as now: the answer that has them is still under way
    assert learn(first) == 2
    learn(first)
    assert first.push(torch.ones(P), 0.01) == 0
    # The two updates that it made itself before are in the weights, acknowledged or not.
    assert [message.version for message in store.messages] == [0, 0, 2, 6, 8]


def test_a_push_under_way_lets_the_worker_go_on_with_the_weights_before_it():
    _, link = linked(ahead=1)
    before = pulled(link)
    link.push(torch.ones(P), 0.1)
    assert torch.equal(pulled(link), before)
    link.push(torch.ones(P), 0.1)
    assert not torch.equal(pulled(link), before)
    link.close()
    assert link.shared.updates == 2


@pytest.mark.parametrize(("lost", "taken"), [("before", 1), ("after", 2)])
def test_a_push_that_is_not_acknowledged_counts_once_or_never_and_training_goes_on(lost, taken):
    store, link = linked()
    link.shared.counters[OWN, STEPS] += 16
    link.push(torch.ones(P), 0.1)
    pulled(link)
    store.lost = lost
    link.shared.counters[OWN, STEPS] += 16
    link.push(torch.ones(P), 0.1)
    pulled(link)
    assert counters(store) == [16 * taken, taken, 0, 0]
    link.shared.counters[OWN, STEPS] += 16
    link.push(torch.ones(P), 0.1)
    assert pulled(link).isfinite().all()
    assert counters(store) == [16 * (taken + 1), taken + 1, 0, 0]
    assert link.shared.steps == 16 * (taken + 1)


def test_parameters_that_begin_again_are_joined_and_counts_go_on_from_theirs():
    store, link = linked()
    link.shared.counters[OWN, STEPS] += 16
    link.push(torch.ones(P), 0.1)
    pulled(link)
    checkpoint = {name: value.copy() for name, value in store.parameters.look().state.items()}
    link.shared.counters[OWN, STEPS] += 16
    link.push(torch.ones(P), 0.1)
    pulled(link)
    store.parameters = Parameters(small_config(), checkpoint)
    link.push(torch.ones(P), 0.1)  # is not known there: nothing of it counts
    pulled(link)
    assert counters(store) == [16, 1, 0, 0]
    link.shared.counters[OWN, STEPS] += 16
    link.push(torch.ones(P), 0.1)
    pulled(link)
    assert counters(store) == [32, 2, 0, 0]


def test_what_was_mastered_comes_to_the_checkpoint_and_to_workers_that_join_later():
    store, first = linked(noop_max=3)
    second = StoreLink(store, 1, small_config(noop_max=3, ray_ahead=0))
    for link, share in ((first, 1.0), (second, 0.5)):
        link.shared.mastered[OWN, 3] = share
        link.push(torch.ones(P), 0.1)
        pulled(link)
    shared = begun(small_config(noop_max=3))
    take_state(shared, store.parameters.look().state)
    assert shared.mastered.tolist() == [[0, 0, 0, 0.75]]
    store.parameters.retire(0)
    store.parameters.retire(1)
    assert store.parameters.look().state["mastered"].tolist() == [0, 0, 0, 0.5]
    store.parameters = Parameters(small_config(noop_max=3), state_of(shared))
    third = StoreLink(store, 2, small_config(noop_max=3))
    assert third.shared.mastered[OWN].tolist() == [0, 0, 0, 0.75]


def test_a_retired_worker_that_wakes_up_changes_nothing_and_is_told_to_stop():
    store, link = linked()
    link.shared.counters[OWN, STEPS] += 16
    link.push(torch.ones(P), 0.1)
    store.parameters.retire(0)
    weights = store.parameters.look().state["weights"].copy()
    link.shared.counters[OWN, STEPS] += 16
    link.push(torch.ones(P), 0.1)
    pulled(link)
    assert link.shared.stopping
    assert counters(store) == [16, 1, 0, 0]
    np.testing.assert_array_equal(store.parameters.look().state["weights"], weights)


def test_parameters_that_begin_again_let_in_no_worker_that_was_retired_before():
    store, link = linked()
    link.push(torch.ones(P), 0.1)
    state = store.parameters.look().state
    store.parameters = Parameters(small_config(), state, retired={0})
    link.push(torch.ones(P), 0.1)
    pulled(link)
    assert link.shared.stopping
    assert counters(store) == [0, 1, 0, 0]


def test_no_shared_gives_every_worker_moments_of_its_own():
    for shared, step in ((True, 2), (False, 0)):
        store, first = linked(shared=shared)
        second = StoreLink(store, 1, small_config(ray_ahead=0))
        for link in (first, second):
            link.push(torch.ones(P), 0.1)
            pulled(link)
        look = store.parameters.look()
        assert look.state["optimizer.step"] == step
        assert look.state["counters"][UPDATES] == 2


def test_updates_pushed_together_change_the_weights_as_those_of_shared_memory_do():
    config = small_config(ray_updates=3)
    near = MemoryLink(config, begun(config), 0)
    store, far = linked(ray_updates=3)
    for step in range(6):
        torch.testing.assert_close(pulled(far), pulled(near), rtol=2**-9, atol=1e-3)
        gradient = torch.randn(P, generator=torch.Generator().manual_seed(step))
        for link in (near, far):
            link.push(gradient, 0.01)
    assert len(store.messages) == 2
    far.close()
    torch.testing.assert_close(
        torch.from_numpy(store.parameters.look().state["weights"]), pulled(near), rtol=0, atol=1e-3
    )
    assert counters(store) == [0, 6, 0, 0]


def test_the_changes_of_several_workers_add_up_also_while_they_are_under_way():
    store, first = linked(ahead=1, ray_updates=2)
    second = StoreLink(store, 1, small_config(ray_updates=2, ray_ahead=1))
    begin = torch.from_numpy(store.parameters.look().state["weights"].copy())
    for _ in range(4):  # Adam moves every weight by the rate, whatever the constant gradient is
        for link in (first, second):
            pulled(link)
            link.push(torch.ones(P), 0.01)
    first.close()
    second.close()
    end = torch.from_numpy(store.parameters.look().state["weights"])
    torch.testing.assert_close(begin - end, torch.full((P,), 8 * 0.01), rtol=0, atol=1e-3)
    torch.testing.assert_close(second.shared.weights, end, rtol=0, atol=2e-3)
    assert counters(store) == [0, 8, 0, 0]


@pytest.mark.parametrize("together", [0, 1])
def test_the_loop_of_one_machine_runs_over_the_link_and_everything_is_counted(
    tmp_path: Path, together: int
):
    config = task_config(
        "CartPole-v1",
        num_global_steps=2000,
        ray_updates=together,
        normalize_observations=True,
        normalize_rewards=True,
    )
    trainer = Trainer(config, spec_of(config), tmp_path)
    store = Near(Parameters(config, state_of(trainer.shared)))
    link = StoreLink(store, 0, config)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    local_train(config, trainer.spec, link, 1, link)
    link.close()
    torch.set_num_threads(threads)
    look = store.parameters.look()
    rollouts = len(look.reports)
    steps = rollouts * config.num_local_steps * config.num_games
    updates = rollouts * config.epochs * config.minibatches
    assert steps >= 2000
    assert look.state["counters"].tolist() == [steps, updates, 0, 0]
    assert look.state["optimizer.step"] == (updates if together else 0)
    assert (look.state["statistics"][0] == steps).all()
    assert np.isfinite(look.state["weights"]).all()


def test_without_ray_the_option_is_refused_with_the_command_that_installs_it(
    monkeypatch, capsys, tmp_path
):
    monkeypatch.setattr(preparation, "find_spec", lambda name: None)
    assert main(["--env-name", "CartPole-v1", "--ray", "local", "--log-path", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        "train.py: --ray local needs Ray, which is not installed: run pip install -e '.[ray]' in "
        "the project's folder.\n"
    )
    assert not list(tmp_path.iterdir())


def test_ray_is_imported_by_nothing_until_it_is_asked_for():
    code = """
import importlib, pkgutil, sys
import mario_a3c
for module in pkgutil.walk_packages(mario_a3c.__path__, "mario_a3c."):
    part = module.name.split(".")
    if part[1] != "cluster" and part[-1] != "__main__":
        importlib.import_module(module.name)
import mario_a3c.cluster.child
assert "ray" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_workers_fill_a_cluster_unless_fewer_are_asked_for():
    assert parse(["--env-name", "CartPole-v1", "--ray", "local"]).num_processes == MOST_WORKERS
    assert parse(["--ray", "local", "--num-processes", "3"]).num_processes == 3
