"""Broken games and numbers that are not finite: dropped, counted, told, and never learned from."""

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mario_a3c.config import RunConfig
from mario_a3c.envs.factory import make_env
from mario_a3c.envs.guard import GuardedEnv, _check_finite
from mario_a3c.faults import (
    MOST_DROPPED,
    MOST_FAULTS,
    GameError,
    NotFiniteError,
    Notice,
    Patience,
    RunError,
)
from mario_a3c.learning.flat import FlatParameters
from mario_a3c.learning.model import ActorCritic
from mario_a3c.learning.optim import make_state
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.training.best import SoFar
from mario_a3c.training.evaluate import evaluate
from mario_a3c.training.evaluation import Evaluation
from mario_a3c.training.learner import Learner
from mario_a3c.training.link import MemoryLink
from mario_a3c.training.shared import Shared
from mario_a3c.training.worker import WorkerReport, begin_to_play, train_in_memory
from tests.broken_games import Game
from tests.disks import fill, small_disk
from tests.small import CPU, small_config, small_shared

STEPS = 400
NOTHING_YET = SoFar(float("-inf"), 0.0, [], [])


class Pipe:
    """Keeps what a process sends, and calls somebody each time."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.sent: list[Any] = []
        self.then = then

    def send(self, report: Any) -> None:
        self.sent.append(report)
        self.then()

    def notices(self) -> list[str]:
        return [report.text for report in self.sent if isinstance(report, Notice)]


class Run:
    """A run of a game that breaks, played in this process."""

    def __init__(self, game: str, **changes: Any) -> None:
        settings = {
            "env_name": f"tests.broken_games:{game}-v0",
            "num_global_steps": STEPS,
            "normalize_observations": True,
            "normalize_rewards": True,
            "hidden": (8,),
            "epochs": 2,
            "eval_episodes": 2,
        }
        self.config: RunConfig = small_config(**(settings | changes))
        sound = dataclasses.replace(self.config, env_name="tests.broken_games:Game-v0")
        env = make_env(sound, 1, 0)
        self.spec = ModelSpec.for_task(
            env.single_observation_space, env.single_action_space, self.config
        )
        torch.manual_seed(1)
        weights = FlatParameters(ActorCritic(self.spec)).values
        state = make_state("adam", weights)
        self.shared = Shared.begin(weights, state, 1, quantities=2)
        self.pipe = Pipe()

    def train(self) -> None:
        train_in_memory(self.config, self.spec, self.shared, 0, 1, self.pipe)  # type: ignore[arg-type]

    def evaluate(self, folder: Path) -> None:
        evaluate(self.config, self.spec, self.shared, 2, folder, NOTHING_YET, self.pipe)  # type: ignore[arg-type]

    def assert_sound(self) -> None:
        shared = self.shared
        assert shared.weights.isfinite().all()
        assert shared.statistics.isfinite().all()
        assert all(part.isfinite().all() for part in shared.optimizer_state.values())
        reports = [report for report in self.pipe.sent if isinstance(report, WorkerReport)]
        assert shared.steps == 16 * len(reports)  # 2 games, 8 steps
        assert shared.updates == shared.optimizer_state["step"] == 2 * len(reports)  # 2 epochs


@pytest.mark.parametrize(
    ("game", "message"),
    [
        ("RaisesInStep", "the cartridge fell out"),
        ("RaisesInLaterReset", "the button is stuck"),  # in a step: games begin anew by themselves
        ("RaisesInClose", "the cartridge fell out"),
    ],
)
def test_a_game_that_raises_is_made_anew_and_training_goes_on(game, message):
    run = Run(game)
    run.train()
    run.assert_sound()
    assert run.shared.steps >= STEPS
    assert run.shared.faults == len(run.pipe.notices()) >= 5
    assert run.pipe.notices()[0] == (
        f"worker 0: the environment failed in step: RuntimeError: {message}; "
        "it begins with new games."
    )


def closing_seen(run: Run, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list to which is added, for every game that is closed, what others see of that.

    Others see when a call of the games' code began, and 0 while there is none.
    """
    seen: list[float] = []
    monkeypatch.setattr(Game, "close", lambda _: seen.append(float(run.shared.inside.max())))
    return seen


@pytest.mark.parametrize("game", ["RaisesInStep", "NanReward", "AlwaysNanObservation"])
def test_a_game_that_broke_is_closed_where_it_is_seen_if_that_hangs(game, monkeypatch):
    run = Run(game)
    closed = closing_seen(run, monkeypatch)
    with contextlib.suppress(RunError):
        run.train()
    while_training = [began for began in closed if began > 0]
    assert len(while_training) == run.config.num_games * len(run.pipe.notices()) > 0


def test_an_evaluation_closes_the_games_that_broke(tmp_path, monkeypatch):
    run = Run("RaisesAtOnce")
    closed = closing_seen(run, monkeypatch)
    with pytest.raises(RunError):
        run.evaluate(tmp_path)
    while_evaluating = [began for began in closed if began > 0]
    assert len(while_evaluating) == (run.config.eval_episodes + 1) * MOST_FAULTS


@pytest.mark.parametrize(
    ("game", "message"),
    [
        ("RaisesAtOnce", "step: RuntimeError: no cartridge"),
        ("RaisesInReset", "step: RuntimeError: the button is stuck"),
        ("RaisesInFirstReset", "being made: RuntimeError: the power is out"),
    ],
)
def test_a_game_that_always_raises_ends_the_run_with_its_own_message(game, message):
    run = Run(game, num_local_steps=32)
    with pytest.raises(RunError, match=f"{message}, {MOST_FAULTS} times in a row"):
        run.train()
    assert run.shared.faults == MOST_FAULTS
    assert run.shared.steps == run.shared.updates == 0


@pytest.mark.parametrize(
    ("game", "message"),
    [
        ("NanReward", "reward nan"),
        ("HugeReward", "reward 1e+39"),
        ("InfiniteObservation", "observation inf"),
        ("NanObservation", "observation nan"),
        ("NanWhereItIsCutShort", "observation nan"),
    ],
)
def test_a_rollout_with_numbers_that_are_not_finite_is_dropped_counted_and_told(game, message):
    run = Run(game)
    run.train()
    run.assert_sound()
    assert run.shared.dropped == len(run.pipe.notices()) >= 5
    assert f"the environment gave {message}; it begins" in run.pipe.notices()[0]


def test_a_game_that_only_pays_nan_ends_the_run_with_the_cause():
    run = Run("AlwaysNanReward")
    with pytest.raises(RunError, match=f"gave reward nan, {MOST_DROPPED} times in a row"):
        run.train()
    assert run.shared.dropped == MOST_DROPPED
    run.assert_sound()


def test_weights_with_which_nothing_can_be_computed_end_the_run_with_the_cause():
    run = Run("Game")
    run.shared.weights.fill_(1e38)
    with pytest.raises(RunError, match=f"not finite, {MOST_DROPPED} times in a row"):
        run.train()
    assert run.shared.updates == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_worker_that_is_killed_at_any_moment_leaves_sound_weights_and_right_counters():
    run = Run("Game", num_global_steps=1e9)
    shared = run.shared.share()
    earlier = 0
    for attempt in range(30):
        worker = os.fork()
        if worker == 0:
            run.train()
        moment = time.monotonic() + 10
        while shared.updates < earlier + 2 and time.monotonic() < moment:
            time.sleep(0.001)
        time.sleep(0.0007 * attempt)
        os.kill(worker, signal.SIGKILL)
        assert os.waitpid(worker, 0)[1] == signal.SIGKILL
        assert shared.updates >= earlier + 2
        earlier = shared.updates
        assert shared.weights.isfinite().all()
        assert all(part.isfinite().all() for part in shared.optimizer_state.values())
        pushed = int(shared.optimizer_state["step"])
        assert 0 <= pushed - shared.updates <= attempt + 1  # killed between a push and its count
        # Every rollout is good for two updates; each death lost at most what one was good for.
        assert 0 <= 2 * shared.steps // 16 - pushed <= 2 * (attempt + 1)


def batch_of(learner: Learner) -> Any:
    """Return a batch to learn from, made by playing a sound game."""
    return begin_to_play(learner, 1).collect(0.9, 1.0)[0]


@pytest.mark.parametrize(
    ("part", "number"),
    [
        ("advantages", torch.nan),
        ("advantages", -torch.inf),
        ("returns", torch.nan),
        ("returns", torch.inf),
        ("returns", 1e30),  # its square is infinite
    ],
)
def test_an_update_that_is_not_finite_does_not_reach_the_shared_weights(part, number):
    run = Run("Game", normalize_advantages=False)
    learner = Learner(run.config, run.spec, MemoryLink(run.config, run.shared, 0), CPU, 1)
    batch, before = batch_of(learner), run.shared.weights.clone()
    poisoned = getattr(batch, part).clone()
    poisoned[1, 1] = number
    learner.update(dataclasses.replace(batch, **{part: poisoned}))
    assert run.shared.dropped == run.config.epochs
    assert run.shared.updates == run.shared.optimizer_state["step"] == 0
    assert torch.equal(run.shared.weights, before)
    assert not run.shared.optimizer_state["exp_avg"].any()
    learner.update(dataclasses.replace(batch))
    assert run.shared.updates == run.config.epochs
    assert not torch.equal(run.shared.weights, before)
    assert run.shared.weights.isfinite().all()


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_a_gradient_that_is_not_finite_is_not_pushed_even_if_the_loss_is(number):
    run = Run("Game")
    learner = Learner(run.config, run.spec, MemoryLink(run.config, run.shared, 0), CPU, 1)
    batch, before = batch_of(learner), run.shared.weights.clone()
    learner.model.get_parameter("value.weight").register_hook(lambda it: it.fill_(number))
    learner.update(batch)
    assert run.shared.dropped == run.config.epochs
    assert run.shared.updates == run.shared.optimizer_state["step"] == 0
    assert torch.equal(run.shared.weights, before)


def test_updates_that_are_dropped_again_and_again_end_the_run_with_the_cause():
    run = Run("Game", epochs=MOST_DROPPED, normalize_advantages=False)
    learner = Learner(run.config, run.spec, MemoryLink(run.config, run.shared, 0), CPU, 1)
    batch = batch_of(learner)
    batch.advantages[0, 0] = torch.nan
    with pytest.raises(RunError, match="policy is not finite, 20 times in a row"):
        learner.update(batch)
    assert run.shared.dropped == MOST_DROPPED


def test_patience_begins_anew_after_a_success():
    patience = Patience(3)
    for _ in range(5):
        patience.failed(ValueError("no"))
        patience.failed(ValueError("no"))
        patience.succeeded()
    patience.failed(ValueError("no"))
    patience.failed(ValueError("no"))
    with pytest.raises(RunError, match="no, 3 times in a row"):
        patience.failed(ValueError("no"))


@pytest.mark.parametrize(
    ("game", "message", "faults"),
    [
        ("RaisesInStep", "evaluation: the environment failed in step", 1),
        ("RaisesInLaterReset", "failed in step: RuntimeError: the button is stuck", 1),
        ("NanReward", "evaluation: the environment gave reward nan", 0),
        ("NanObservation", "evaluation: the environment gave observation nan", 0),
    ],
)
def test_an_evaluation_whose_game_breaks_is_made_anew_and_goes_on(tmp_path, game, message, faults):
    run = Run(game, eval_interval=0.01)

    def stop_after_some() -> None:
        run.shared.stop[0] = len(run.pipe.sent) >= 3

    run.pipe.then = stop_after_some
    run.evaluate(tmp_path)
    kinds = {type(report) for report in run.pipe.sent}
    assert kinds == {Notice, Evaluation}
    assert run.shared.faults == faults * len(run.pipe.notices())
    assert message in run.pipe.notices()[0]
    assert (tmp_path / "best.safetensors").exists()


def test_an_evaluation_that_always_breaks_ends_the_run_with_the_games_own_message(tmp_path):
    run = Run("RaisesAtOnce")
    with pytest.raises(RunError, match=f"no cartridge, {MOST_FAULTS} times in a row"):
        run.evaluate(tmp_path)


def test_an_evaluation_goes_on_when_the_disk_is_full_and_says_what_was_not_written(tmp_path):
    config = small_config(engine="nes-py", max_episode_length=4, eval_episodes=1)
    spec = ModelSpec((4, 84, 84), 7, lstm_size=8)
    shared = small_shared(config, spec)

    def stop_after_one() -> None:
        shared.stop[0] = any(isinstance(report, Evaluation) for report in pipe.sent)

    pipe = Pipe(stop_after_one)
    with small_disk(tmp_path / "disk", 2**20) as disk:
        fill(disk)
        evaluate(config, spec, shared, 1, disk, NOTHING_YET, pipe)  # type: ignore[arg-type]
        assert [path.name for path in disk.rglob("*") if path.is_file()] == ["filler"]
    first, second, evaluation = pipe.sent
    assert first.text == "The best agent could not be saved: No space left on device."
    assert second.text.startswith("No video could be written: ")
    assert evaluation.video == ""


def test_a_game_that_cannot_be_made_is_a_fault_of_the_game():
    with pytest.raises(GameError, match="failed in being made: ZeroDivisionError"):
        GuardedEnv(lambda: 1 // 0)  # type: ignore[arg-type, return-value]


def test_it_can_be_seen_from_outside_that_a_game_is_being_played():
    run = Run("Game")
    inside = np.zeros(1)
    seen = []
    game = GuardedEnv(lambda: make_env(run.config, 1, 0), inside)
    first = game.unwrapped.envs[0].unwrapped  # type: ignore[attr-defined]
    observe = first.observation

    def watched() -> Any:
        seen.append(inside[0])
        return observe()

    first.observation = watched
    game.reset()
    game.step(np.array([0]))
    assert seen[0] > 0
    assert seen[1] >= seen[0]
    assert inside[0] == 0
    first.observation = lambda: 1 / 0
    with pytest.raises(GameError):
        game.step(np.array([0]))
    assert inside[0] == 0


def test_pictures_are_not_searched_for_what_bytes_cannot_be():
    class Bytes:
        dtype = np.dtype(np.uint8)

        def __array__(self) -> Any:
            raise AssertionError

    _check_finite("observation", Bytes())  # type: ignore[arg-type]
    with pytest.raises(NotFiniteError, match="reward -inf"):
        _check_finite("reward", np.array([0.0, -np.inf, np.nan]))
