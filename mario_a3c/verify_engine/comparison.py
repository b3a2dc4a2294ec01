"""One stage played on both engines with the same buttons, and what differed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from gym_super_mario_bros.smb_env import SuperMarioBrosEnv

from mario_a3c.envs.native_engine import NativeEngine
from mario_a3c.envs.observation import downsample, grey
from mario_a3c.verify_engine.undrawn import Undrawn

A, B, SELECT, START, UP, DOWN, LEFT, RIGHT = (1 << bit for bit in range(8))
PLAYERS = ("random", "scripted")
MOST_DIFFERENCES = 5
"""A stage is given up after so many differences; they only repeat."""

_RANDOM_BUTTONS = (RIGHT, RIGHT | B, RIGHT | A, RIGHT | A | B, 0, A, LEFT, LEFT | B, DOWN, UP)


@dataclass(frozen=True)
class Case:
    """What is compared: a player in a stage."""

    world: int
    stage: int
    lost_levels: bool
    player: str
    frames: int
    seed: int
    screen_every: int = 10

    @property
    def name(self) -> str:
        """The stage as people write it."""
        return f"{'Lost Levels ' if self.lost_levels else ''}{self.world}-{self.stage}"


@dataclass
class Outcome:
    """What came out: counts of things compared, and a sentence for each difference."""

    frames: int = 0
    episodes: int = 0
    screens: int = 0
    decisions: int = 0
    furthest: int = 0
    differences: list[str] = field(default_factory=list)


def random_buttons(rng: np.random.Generator) -> Iterator[int]:
    """Yield a controller byte a frame: mostly useful ones, some quite random, held 1-30 frames."""
    while True:
        useful = rng.random() < 0.9
        byte = int(rng.choice(_RANDOM_BUTTONS)) if useful else int(rng.integers(256))
        for _ in range(rng.integers(1, 31)):
            yield byte


def scripted_buttons(episode: int) -> Iterator[int]:
    """Yield a controller byte a frame: run to the right and jump in a rhythm, another each time."""
    run = RIGHT | B
    on_ground, in_air = 4 + 7 * (episode % 5), 8 + 6 * (episode % 4)
    while True:
        for _ in range(on_ground):
            yield run
        for _ in range(in_air):
            yield run | A


def compare(case: Case) -> Outcome:
    """Play one case on both engines."""
    outcome = Outcome()
    rng = np.random.default_rng([case.seed, case.world, case.stage, case.lost_levels])
    env = SuperMarioBrosEnv(lost_levels=case.lost_levels, target=(case.world, case.stage))
    engine = NativeEngine(case.world, case.stage, 1, case.lost_levels)
    undrawn = Undrawn(case.world, case.stage, case.lost_levels)
    while outcome.frames < case.frames and len(outcome.differences) < MOST_DIFFERENCES:
        if case.player == "random":
            buttons = random_buttons(rng)
        else:
            buttons = scripted_buttons(outcome.episodes)
        _compare_episode(case, env, engine, undrawn, buttons, outcome)
        outcome.episodes += 1
    env.close()
    engine.close()
    undrawn.engine.close()
    return outcome


def _compare_episode(
    case: Case,
    env: SuperMarioBrosEnv,
    engine: NativeEngine,
    undrawn: Undrawn,
    buttons: Iterator[int],
    outcome: Outcome,
) -> None:
    held, one = np.empty(1, dtype=np.uint8), np.ones(1, dtype=np.int32)
    observation = np.empty((1, 84, 84), dtype=np.uint8)

    def note(what: str) -> None:
        outcome.differences.append(
            f"{case.name} {case.player}, episode {outcome.episodes}, frame {outcome.frames}: {what}"
        )

    def compare_ram() -> None:
        different = np.flatnonzero(env.ram != engine.ram[0])
        if different.size:
            addresses = " ".join(f"{address:04X}" for address in different[:8])
            note(f"{different.size} bytes of RAM differ ({addresses})")

    def compare_screen() -> None:
        outcome.screens += 1
        picture = env.observation("rgb_array_contiguous")
        different = np.argwhere((picture != engine.screen(0)).any(axis=2))
        if different.size:
            y, x = different[0]
            note(f"{len(different)} pixels differ, the first at x {x}, y {y}")
        if not np.array_equal(downsample(grey(picture)), observation[0]):
            note("the observation differs")

    env.reset()
    engine.reset(0)
    undrawn.begin()
    observation[0] = engine.observe(0)
    compare_ram()
    compare_screen()
    ended = False
    while not ended and outcome.frames < case.frames:
        held[0] = next(buttons)
        _, _, ended, _, info = env.step(held[0])
        _, native_ended = engine.step(held, one, observation)
        outcome.frames += 1
        outcome.furthest = max(outcome.furthest, info["x_pos"])
        compare_ram()
        if ended != native_ended[0]:
            note("one game has ended and the other has not")
        if ended or outcome.frames % case.screen_every == 0:
            compare_screen()
        if undrawn.press(int(held[0])) or ended:
            outcome.decisions += 1
            for what in undrawn.differences(engine, ended):
                note(what)
        if len(outcome.differences) >= MOST_DIFFERENCES:
            return
