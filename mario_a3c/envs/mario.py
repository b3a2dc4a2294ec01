"""Super Mario Bros as a Gymnasium vector environment, the same on every engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from mario_a3c.envs.actions import controller_bytes
from mario_a3c.envs.consoles import Consoles, FrameListener
from mario_a3c.envs.disturbance import Disturbance
from mario_a3c.envs.endings import (
    MAX_ACTIONS,
    STALL_LIMIT,
    STALLING,
    TERMINATING,
    Endings,
    EndReason,
    Limits,
)
from mario_a3c.envs.engine import OBSERVATION_SIZE
from mario_a3c.envs.engines import make_engine
from mario_a3c.envs.noops import Completions, GradualNoops
from mario_a3c.envs.observation import show_buttons
from mario_a3c.envs.progress import Progress
from mario_a3c.envs.retries import Moment, Retries
from mario_a3c.envs.rewards import RewardWeights
from mario_a3c.envs.starts import Start

NOISY = 0.5
"""Share of the retries of a stubborn failure that are disturbed, if any are."""


class MarioVectorEnv(VectorEnv[NDArray[np.uint8], NDArray[np.int64], NDArray[Any]]):
    """A batch of games of one stage, stepped together; ended games begin again in the same step.

    Observations are ``uint8 [B, frame_stack, 84, 84]``: the grey pictures after the last
    decisions, oldest first, all equal at the start of an episode. Every call returns a new array.
    Actions are ``[B]`` indices into an action set; each is held for ``frame_skip`` frames.

    An episode terminates when Mario reaches the flag or axe of the stage (completed), dies, or
    leaves the stage through a warp zone (not completed). It is truncated when the agent stalls or
    repeats one action too long, unless that terminates it as well, or runs out of decisions; see
    `EndReason`.

    ``infos`` of `step` holds arrays ``[B]``. For a game that has begun again, ``x``, ``max_x``
    (furthest x), ``time`` and ``score`` are those of the new episode; ``completed`` and
    ``frames`` (emulator frames run) always belong to the decision just made. Where episodes are
    disturbed (`set_retries`), ``taken`` are the actions that were taken, and ``random`` (bool)
    tells which of them were not the agent's. When a game has
    ended there are also, in Gymnasium's SAME_STEP layout:

    - ``final_obs``: object ``[B]``, the last observation of an ended game, else None
    - ``final_info``: dict of arrays ``[B]``, meaningful where the game ended: ``x``, ``max_x``,
      ``time``, ``score``, ``completed``, ``episode_return`` (float), ``episode_length`` (in
      decisions), ``end_reason`` (`EndReason`), ``began_elsewhere`` (than at the start
      of the stage: at a `Start`), and, if buttons are logged, ``buttons`` (object: bytes, one a
      frame since the start of the stage)
    - ``_final_obs``, ``_final_info``: bool ``[B]``, which games ended

    Args:
        num_envs: the number of games, ``B``.
        world: 1 to 8.
        stage: 1 to 4.
        action_set: ``right``, ``simple``, ``complex`` or ``pipes``.
        engine: ``native``, ``nes-py``, or ``auto`` for native where it is there.
        frame_skip: frames an action is held.
        frame_stack: pictures in an observation.
        noop_max: an episode begins with 0 to this many frames without a button, drawn for every
            game from a generator of its own.
        draw_noops: called with a game's index for the number of no-op frames instead.
        gradual_noops: begin without no-op frames until such episodes finish, and then with those
            numbers of them that fail; see `GradualNoops`. Episodes begin at given starts only as
            often as those without no-op frames fail, and before failures as often as they finish.
        reward: what a decision is worth.
        max_actions: truncate after this many equal actions in a row; 0 for never.
        stall_limit: end after this many decisions without new ground; 0 for never.
        stall_terminates: stalling and repeating one action terminate an episode, so that nothing
            is to be expected after them, instead of truncating it.
        max_episode_steps: truncate after this many decisions; 0 for never.
        display_buttons: show in each picture which buttons led to it; see `show_buttons`.
        view: what observations show, ``screen`` (all of it) or ``close``, which is what is around
            Mario; see `mario_a3c.envs.observation.close_up`.
        log_buttons: keep every controller byte of an episode for ``final_info["buttons"]``.
        on_frame: called with the game's index, its episode (counted from 0) and the picture
            (``uint8 [240, 256, 3]``) after every single frame. The game stays the same.

    Raises:
        ValueError: for an unknown stage, action set or engine, or a number out of range.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int,
        world: int,
        stage: int,
        *,
        action_set: str = "simple",
        engine: str = "auto",
        frame_skip: int = 4,
        frame_stack: int = 4,
        noop_max: int = 30,
        draw_noops: Callable[[int], int] | None = None,
        gradual_noops: bool = False,
        reward: RewardWeights | None = None,
        max_actions: int = MAX_ACTIONS,
        stall_limit: int = STALL_LIMIT,
        stall_terminates: bool = False,
        max_episode_steps: int = 0,
        display_buttons: bool = False,
        view: str = "screen",
        log_buttons: bool = False,
        on_frame: FrameListener | None = None,
    ) -> None:
        _check_at_least(1, num_envs=num_envs, frame_skip=frame_skip, frame_stack=frame_stack)
        _check_at_least(
            0,
            noop_max=noop_max,
            max_actions=max_actions,
            stall_limit=stall_limit,
            max_episode_steps=max_episode_steps,
        )
        self._bytes = controller_bytes(action_set)
        self._consoles = Consoles(
            make_engine(engine, world, stage, num_envs, view), log_buttons, on_frame
        )
        self.engine = self._consoles.engine
        self.num_envs = num_envs
        self.single_action_space = spaces.Discrete(len(self._bytes))
        self.action_space = batch_space(self.single_action_space, num_envs)
        shape = (frame_stack, OBSERVATION_SIZE, OBSERVATION_SIZE)
        self.single_observation_space = spaces.Box(0, 255, shape, np.uint8)
        self.observation_space = batch_space(self.single_observation_space, num_envs)

        self._reward = reward or RewardWeights()
        self._noop_max = noop_max
        self._draw_noops = draw_noops or self._random_noops
        self.gradual_noops = GradualNoops(noop_max) if gradual_noops else None
        self.completions: Completions = self.gradual_noops or Completions(noop_max)
        self._noops = np.zeros(num_envs, dtype=np.int32)
        self._display_buttons = display_buttons
        self._starts: Sequence[Start] = ()
        self._start_fraction = 0.0
        self._retries: Retries | None = None
        self._retry_fraction = 0.0
        self._disturbance: Disturbance | None = None

        self._generators = [np.random.default_rng() for _ in range(num_envs)]
        self._skip = np.full(num_envs, frame_skip, dtype=np.int32)
        self._stack: NDArray[np.uint8] | None = None
        self._progress = Progress(num_envs, frame_skip)
        limits = Limits(max_actions, stall_limit, max_episode_steps)
        self._endings = Endings(num_envs, world, stage, limits)
        self._terminating = TERMINATING + (STALLING if stall_terminates else ())
        self._return = np.zeros(num_envs)
        self._began_elsewhere = np.zeros(num_envs, dtype=np.bool_)

    @property
    def on_frame(self) -> FrameListener | None:
        """Who is shown every frame; may be changed between two steps."""
        return self._consoles.on_frame

    @on_frame.setter
    def on_frame(self, listener: FrameListener | None) -> None:
        self._consoles.on_frame = listener

    def set_starts(self, starts: Sequence[Start], start_fraction: float) -> None:
        """Begin some of the coming episodes elsewhere than at the start of the stage.

        Args:
            starts: where; each of them is equally likely. They must come from this kind of engine.
            start_fraction: the probability that an episode begins at one of them.
        """
        if not 0.0 <= start_fraction <= 1.0:
            raise ValueError(f"start_fraction must be from 0 to 1, not {start_fraction}.")
        self._starts = starts
        self._start_fraction = start_fraction if starts else 0.0

    def set_ground(self, counted: NDArray[np.bool_] | None) -> None:
        """Let only some ground count as new: for the reward and for stalling.

        Args:
            counted: ``bool [128, NUM_STRIPS]`` strips of ground of every map; see `ground_along`.
                None for all ground.
        """
        self._progress.counted = counted

    def set_retries(self, fraction: float, noise: float = 0.0) -> None:
        """Begin some of the coming episodes shortly before a recent failure; see `Retries`.

        Args:
            fraction: the probability that an episode begins like that, from 0 to 1.
            noise: how likely at each decision before that failure a random action begins that is
                taken instead of the agent's (`Disturbance`), in every second of these episodes once
                `STUBBORN` of them did not get past it. What becomes of such an episode changes
                nothing of what is retried.
        """
        for name, value in (("fraction", fraction), ("noise", noise)):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} must be from 0 to 1, not {value}.")
        self._retry_fraction = fraction
        self._retries = Retries(self.num_envs) if fraction else None
        self._disturbance = (
            Disturbance(self.num_envs, len(self._bytes), noise) if fraction and noise else None
        )

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin a new episode in every game.

        Args:
            seed: seeds the generators of the games with ``seed``, ``seed + 1``, ... or with a list
                of seeds; None leaves them as they are.
            options: ``reset_mask``, bool ``[B]``, restricts the reset to some games.

        Returns:
            The observation and the infos ``x``, ``max_x``, ``time`` and ``score``.
        """
        if seed is not None:
            if isinstance(seed, int | np.integer):
                seed = [int(seed) + game for game in range(self.num_envs)]
            if len(seed) != self.num_envs:
                raise ValueError(f"There must be {self.num_envs} seeds, not {len(seed)}.")
            for game, game_seed in enumerate(seed):
                if game_seed is not None:
                    self._generators[game] = np.random.default_rng(game_seed)
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, dtype=np.bool_))
        if self._stack is None:
            stack = np.zeros(self.observation_space.shape or (), dtype=np.uint8)
        else:
            stack = self._stack.copy()
        self._begin(np.flatnonzero(mask), stack)
        self._stack = stack
        return stack, self._positions()

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[
        NDArray[np.uint8],
        NDArray[np.float32],
        NDArray[np.bool_],
        NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Make one decision in every game; see the class for what comes back."""
        if self._stack is None:
            raise ResetNeeded("Call reset before step.")
        actions = np.asarray(actions)
        infos: dict[str, Any] = {}
        if self._disturbance is not None:
            actions, infos["random"] = self._disturbance.disturb(actions, self._generators)
            infos["taken"] = actions
        pressed = self._bytes[actions]
        frames, over = self._consoles.hold(pressed, self._skip)
        stack = np.empty_like(self._stack)
        stack[:, :-1] = self._stack[:, 1:]
        stack[:, -1] = self._consoles.picture
        if self._display_buttons:
            show_buttons(stack[:, -1], pressed)

        change = self._progress.update(self.engine.ram)
        reason = self._endings.reasons(actions, over, self._progress.idle, self.engine.ram)
        completed = reason == EndReason.COMPLETED
        died = reason == EndReason.DIED
        reward = self._reward.total(change, completed, died)
        self._return += reward
        ended = reason != EndReason.NONE
        terminated = np.isin(reason, self._terminating)
        infos.update(completed=completed, frames=frames)
        if self._retries is not None:
            self._remember(self._retries, reason, stack)
        if ended.any():
            infos["final_obs"] = _where_ended([picture.copy() for picture in stack], ended)
            infos["final_info"] = self._final_info(reason, ended)
            infos["_final_obs"] = infos["_final_info"] = ended
            for game in np.flatnonzero(ended & ~self._began_elsewhere).tolist():
                self.completions.record(int(self._noops[game]), bool(completed[game]))
            self._begin(np.flatnonzero(ended), stack)
        infos.update(self._positions())
        self._stack = stack
        return stack, reward, terminated, ended & ~terminated, infos

    def close_extras(self, **kwargs: Any) -> None:
        """Free the consoles."""
        self.engine.close()

    def _begin(self, games: NDArray[np.intp], stack: NDArray[np.uint8]) -> None:
        """Start a new episode in some games and write its observation into their stacks."""
        self._return[games] = 0.0
        self._endings.begin(games)
        for game in games.tolist():
            retry = self._draw_retry(game)
            start = self._draw_start(game) if retry is None else retry.start
            self._began_elsewhere[game] = start is not None
            if start is not None:
                self._begin_at(game, start, stack)
            if self._disturbance is not None:
                self._disturbance.begin(game, self._disturbed_decisions(game, retry))
        games = games[~self._began_elsewhere[games]]
        if len(games):
            indices = games.tolist()
            noops = [self._draw_noops(game) for game in indices]
            self._noops[games] = noops
            self._consoles.reset(indices, noops)
            pictures = self._consoles.picture[games]
            if self._display_buttons:
                show_buttons(pictures, np.zeros(len(games), dtype=np.uint8))
            stack[games] = pictures[:, None]
            self._progress.begin(games, self.engine.ram)

    def _draw_retry(self, game: int) -> Moment | None:
        """Return the moment before a failure that an episode begins at, if it does."""
        if self._retries is None:
            return None
        share = self._retry_fraction
        if self.gradual_noops is not None:
            share *= self.gradual_noops.mastery
        self._retries.begin(game)
        generator = self._generators[game]
        if self._retries.kept and generator.random() < share:
            return self._retries.draw(game, generator)
        return None

    def _disturbed_decisions(self, game: int, retry: Moment | None) -> int:
        """Return how many decisions are disturbed: some retries of a stubborn failure, up to it."""
        if retry is None or self._retries is None or not self._retries.stubborn(game):
            return 0
        return retry.left if self._generators[game].random() < NOISY else 0

    def _draw_start(self, game: int) -> Start | None:
        """Return where else an episode begins, or None for the start of the stage."""
        generator, share = self._generators[game], self._start_fraction
        if self.gradual_noops is not None:
            share *= 1 - self.gradual_noops.mastery
        if share and generator.random() < share:
            return self._starts[int(generator.integers(len(self._starts)))]
        return None

    def _begin_at(self, game: int, start: Start, stack: NDArray[np.uint8]) -> None:
        self._consoles.begin_at(game, start)
        stack[game] = start.stack
        only = np.array([game], dtype=np.intp)
        self._progress.begin(only, self.engine.ram, start.furthest)

    def _remember(
        self, retries: Retries, reason: NDArray[np.int8], stack: NDArray[np.uint8]
    ) -> None:
        """Remember those that go on, and what each that has ended failed at or got past."""
        lengths = self._endings.length.tolist()
        for game, (why, length) in enumerate(zip(reason.tolist(), lengths, strict=True)):
            if self._disturbance is not None and self._disturbance.begun[game]:
                continue  # it tells nothing of what the agent does by itself
            if why == EndReason.NONE:
                if retries.due(length):
                    state, pressed = self.engine.save(game), self._consoles.pressed(game)
                    furthest = self._progress.furthest[game].copy()
                    moment = Start(state, stack[game].copy(), furthest, pressed)
                    retries.remember(game, length, moment)
            elif why == EndReason.COMPLETED:
                retries.succeed(game)
            else:
                retries.fail(game, length, self._progress.furthest[game])

    def _random_noops(self, game: int) -> int:
        generator = self._generators[game]
        if self.gradual_noops is not None:
            return self.gradual_noops.draw(generator)
        return int(generator.integers(self._noop_max + 1))

    def _positions(self) -> dict[str, Any]:
        progress = self._progress
        return {
            "x": progress.x.copy(),
            "max_x": progress.max_x.copy(),
            "time": progress.time.copy(),
            "score": progress.score.copy(),
        }

    def _final_info(self, reason: NDArray[np.int8], ended: NDArray[np.bool_]) -> dict[str, Any]:
        info = self._positions()
        info["completed"] = reason == EndReason.COMPLETED
        info["episode_return"] = self._return.copy()
        info["episode_length"] = self._endings.length.copy()
        info["end_reason"] = reason
        info["began_elsewhere"] = self._began_elsewhere.copy()
        logs = self._consoles.logs
        if logs is not None:
            info["buttons"] = _where_ended(logs, ended)
        info.update({f"_{key}": ended for key in list(info)})
        return info


def _where_ended(values: Sequence[Any] | NDArray[Any], ended: NDArray[np.bool_]) -> NDArray[Any]:
    """Return an object array ``[B]`` with the values of ended games and None elsewhere."""
    chosen = np.full(len(ended), None, dtype=object)
    for game in np.flatnonzero(ended).tolist():
        chosen[game] = values[game]
    return chosen


def _check_at_least(smallest: int, **numbers: int) -> None:
    for name, number in numbers.items():
        if number < smallest:
            raise ValueError(f"{name} must be {smallest} or more, not {number}.")
